"""Downloads without a known hash: limits of the size, the record, and what goes wrong."""

from __future__ import annotations

import hashlib

import edgedeblur.models.checkpoints.sources as sources
import pytest
from edgedeblur.models.checkpoints.recorded import UnpinnedFile, download_recorded
from edgedeblur.models.checkpoints.sources import UNPINNED, default_source, resolve_source

from .test_download import CONTENT, SHA384, server  # noqa: F401 - a fixture


def file_at(root, *modes, least=200_000, most=210_000):
    return UnpinnedFile("net.h5", tuple(f"{root}/{mode}" for mode in modes), least, most)


def test_the_first_download_is_recorded_and_a_change_noticed(server, tmp_path, capsys):  # noqa: F811
    target = tmp_path / "net.h5"
    file = file_at(server.root, "missing", "good")
    download_recorded(file, target)
    assert target.read_bytes() == CONTENT
    assert (tmp_path / "net.h5.sha384").read_text() == f"{SHA384}  net.h5\n"
    told = capsys.readouterr().err
    assert f"204800 bytes, SHA-384 {SHA384}" in told
    assert "names no hash to compare with" in told
    download_recorded(file, target)
    assert len(server.seen) == 2
    assert capsys.readouterr().err == ""
    target.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ValueError, match=r"net\.h5: changed since it was downloaded; delete it"):
        download_recorded(file, target)


@pytest.mark.parametrize(
    ("mode", "limits", "message"),
    [
        ("html", {}, "answered with a web page"),
        ("disguised", {}, "answered with a web page"),
        ("missing", {}, "Not Found"),
        ("garbage", {}, "broke off after 70000 of 204800|IncompleteRead"),
        ("endless", {"most": 204_800}, r"sent 204801 bytes; net\.h5 has 200000 to 204800"),
        ("short", {}, "sent 102400 bytes"),
    ],
)
def test_what_is_not_the_file_is_not_kept(server, tmp_path, mode, limits, message):  # noqa: F811
    with pytest.raises(OSError, match=message):
        download_recorded(file_at(server.root, mode, **limits), tmp_path / "net.h5")
    assert list(tmp_path.iterdir()) == []


def test_released_depends_on_the_backbone(server, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(tmp_path))
    monkeypatch.setattr(sources, "UNPINNED", {"inception": file_at(server.root, "good")})
    path = resolve_source("released", backbone="inception")
    assert hashlib.sha384(path.read_bytes()).hexdigest() == SHA384
    with pytest.raises(ValueError, match="nothing was released for msr2b; use --checkpoint FILE"):
        resolve_source("released", backbone="msr2b")


def test_facts_of_the_published_file():
    file = UNPINNED["inception"]
    assert file.name == "fpn_inception.h5"
    assert file.least_bytes < 4 * 60_929_291 < file.most_bytes
    assert all(address.startswith("https://") for address in file.addresses)
    with pytest.raises(ValueError, match=r"use --checkpoint released \(downloads fpn_inception"):
        default_source("inception")
