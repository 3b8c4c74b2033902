"""``deblur-data restore``: from a folder to what deblur-bench reads."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from edgedeblur.models.command.cli import main
from edgedeblur.models.data.registry import find_pairs
from edgedeblur.models.data.restore import KINDS, write_restore_set

ALL = ("motion", *KINDS)


@pytest.fixture
def source(tmp_path):
    for side, seed in (("blurry", 1), ("sharp", 2)):
        folder = tmp_path / "pairs" / side
        folder.mkdir(parents=True)
        for index, name in enumerate(("a", "b", "c")):
            rng = np.random.default_rng(seed + index)
            small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(small, (96, 72)))
    return tmp_path / "pairs"


def blurry_bytes(folder):
    return {pair.name: pair.blurry.read_bytes() for pair in find_pairs(folder).pairs}


def test_pairs_are_written_as_by_the_function(source, tmp_path, capsys):
    assert main(["restore", str(source), "-o", str(tmp_path / "set"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == dict.fromkeys(ALL, 3)
    write_restore_set(find_pairs(source).pairs, tmp_path / "again")
    assert blurry_bytes(tmp_path / "set") == blurry_bytes(tmp_path / "again")


def test_some_pictures_in_other_amounts(source, tmp_path, capsys):
    wanted = ["restore", str(source), "--limit", "1"]
    assert main([*wanted, "-o", str(tmp_path / "plain")]) == 0
    out = capsys.readouterr().out
    assert " ".join(out.split()).endswith(
        "motion 1, gaussian 1, speckle 1, jpeg 1, upscale 1 pairs"
    )
    amounts = ["--set", "jpeg_min_quality=1", "--set", "jpeg_max_quality=2"]
    assert main([*wanted, *amounts, "-o", str(tmp_path / "worse")]) == 0
    plain, worse = blurry_bytes(tmp_path / "plain"), blurry_bytes(tmp_path / "worse")
    assert [name for name in plain if plain[name] != worse[name]] == ["jpeg/a"]


def test_sharp_pictures_are_blurred_alike_each_time(source, tmp_path):
    wanted = ["restore", str(source / "sharp"), "--sharp", "-o"]
    for name in ("one", "two"):
        assert main([*wanted, str(tmp_path / name)]) == 0
    assert blurry_bytes(tmp_path / "one") == blurry_bytes(tmp_path / "two")
    for pair in find_pairs(tmp_path / "one").pairs:
        stem = pair.name.partition("/")[2]
        blurry, sharp = (cv2.imread(str(path)) for path in (pair.blurry, pair.sharps[0]))
        assert np.array_equal(sharp, cv2.imread(str(source / "sharp" / f"{stem}.png")))
        assert np.abs(blurry.astype(int) - sharp).mean() > 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--set", "fog=1"], "--set fog: no such amount; there are gaussian_min, gaussian_max"),
        (["--set", "jpeg_min_quality=0"], "JPEG qualities are a range in 1 to 100"),
        (["--set", "jpeg_share=1"], "--set jpeg_share: no such amount"),
        (["-o", "."], "is not empty; choose another folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_1(source, tmp_path, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(source)
    assert main(["restore", str(source), "-o", str(tmp_path / "set"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("deblur-data: error: ")
    assert text in error
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--set", "jpeg"], []])
def test_wrong_usage_exits_with_2(source, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["restore", str(source), *arguments])
