"""Pictures inside tar and Parquet files; no Ray."""

from pathlib import Path

import pytest
from edgedeblur.runtimes.archive.shards import Columns, read_shard

from tests.runtimes.archive.support import encoded, write_parquet, write_tar


def members(path, *, finished=(), suffix=None, columns=None):
    with Path(path).open("rb") as stream:
        return list(
            read_shard(
                stream,
                str(path),
                "shard",
                columns=columns or Columns(),
                suffix=suffix,
                finished=lambda output: output in finished,
            )
        )


def test_pictures_of_a_tar_in_its_order_and_nothing_else(tmp_path):
    path = write_tar(
        tmp_path / "s.tar",
        [("b/2.jpg", b"two"), ("b/2.json", b"{}"), ("b/2.cls", b"7"), ("b/1.PNG", b"one")],
    )
    found = members(path)
    assert [(m.name, m.output, m.data, m.reason) for m in found] == [
        (f"{path}!b/2.jpg", "shard/b/2.jpg", b"two", None),
        (f"{path}!b/1.PNG", "shard/b/1.PNG", b"one", None),
    ]
    assert [m.output for m in members(path, suffix=".webp")] == ["shard/b/2.webp", "shard/b/1.webp"]


def test_finished_pictures_carry_no_bytes(tmp_path):
    path = write_tar(tmp_path / "s.tar", [("1.png", b"one"), ("2.png", b"two")])
    first, second = members(path, finished={"shard/1.png"})
    assert (first.finished, first.data) == (True, None)
    assert (second.finished, second.data) == (False, b"two")


def test_names_that_lead_out_and_names_twice_are_failures(tmp_path):
    path = write_tar(
        tmp_path / "s.tar", [("../../evil.png", b"x"), ("1.png", b"one"), ("1.png", b"again")]
    )
    evil, good, again = members(path)
    assert "'../../evil.png' leads out of the output folder" in evil.reason
    assert (good.data, good.reason) == (b"one", None)
    assert "two pictures would be written to shard/1.png" in again.reason


@pytest.mark.parametrize("keep", [0.3, 0.8])
def test_a_tar_that_is_cut_off_gives_what_comes_before(tmp_path, keep):
    path = write_tar(tmp_path / "s.tar", [(f"{n}.png", bytes(5000)) for n in range(8)])
    path.write_bytes(path.read_bytes()[: int(keep * 8 * 5632)])  # 512 of header, 5120 of content
    *good, bad = members(path)
    assert [m.output for m in good] == [f"shard/{n}.png" for n in range(int(keep * 8))]
    assert all(m.data == bytes(5000) for m in good)
    assert f"cannot be read on after {len(good)} pictures" in bad.reason.replace(
        f"after {len(good) + 1} pictures", f"after {len(good)} pictures"
    )


def test_a_shard_that_is_none(tmp_path):
    for name in ("s.tar", "s.parquet"):
        (tmp_path / name).write_bytes(b"not a shard at all" * 100)
        (bad,) = members(tmp_path / name)
        assert bad.reason.startswith(f"{tmp_path / name}: cannot be read on after 0 pictures (")


def test_parquet_with_names_with_structs_and_with_neither(tmp_path):
    jpeg, png = encoded(1, "JPEG"), encoded(2)
    path = write_parquet(tmp_path / "s.parquet", {"image": [jpeg, png], "key": ["x/a.jpg", "b"]})
    named = members(path, columns=Columns("image", "key"))
    assert [(m.output, m.data) for m in named] == [("shard/x/a.jpg", jpeg), ("shard/b.png", png)]
    numbered = members(path)
    assert [m.output for m in numbered] == ["shard/00000000.jpg", "shard/00000001.png"]
    path = write_parquet(
        tmp_path / "h.parquet", {"picture": [{"bytes": png, "path": "in/c.png"}, {"bytes": jpeg}]}
    )
    structs = members(path, columns=Columns("picture"))
    assert [(m.output, m.data) for m in structs] == [
        ("shard/in/c.png", png),
        ("shard/00000001.jpg", jpeg),
    ]


def test_parquet_rows_without_bytes_and_columns_that_are_not_there(tmp_path):
    png = encoded(1)
    path = write_parquet(tmp_path / "s.parquet", {"image": [png, None, b"", png]})
    found = members(path)
    assert [m.output for m in found if m.data] == ["shard/00000000.png", "shard/00000003.png"]
    reasons = [m.reason for m in found if m.reason]
    assert [r.rpartition(": ")[2] for r in reasons] == [
        "column 'image' of row 1 holds no bytes",
        "column 'image' of row 2 holds no bytes",
    ]
    (bad,) = members(path, columns=Columns("photo"))
    assert "no column 'photo', only image; choose with --column" in bad.reason
