"""Pairs out of clips: the means are right, cuts are refused, and training reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.models.command import cli
from edgedeblur.models.data.clip_pairs import CUT_BELOW, likeness, make_pairs
from edgedeblur.models.data.registry import find_pairs
from edgedeblur.runtimes.pictures.read import read_picture

from tests.runtimes.video.support import frames_of, make_clip, sample


def pan(name, count, step=4, height=160, width=224):
    photo = sample(name)
    return [np.ascontiguousarray(photo[:height, step * n : step * n + width]) for n in range(count)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pair(name):
    return [read_picture(f"pairs/{side}/{name}.png").pixels for side in ("blurry", "sharp")]


def test_the_mean_is_of_light_and_the_middle_is_sharp(here, capsys):
    make_clip("in.mp4", pan("coffee", 21))
    assert cli.main(["video", "in.mp4", "-o", "pairs", "--frames", "7"]) == 0
    assert capsys.readouterr().out == "in.mp4 -> pairs 3 pairs\n"
    frames = frames_of("in.mp4")
    for middle in (3, 10, 17):
        blurry, sharp = pair(f"in_{middle:06d}")
        np.testing.assert_array_equal(sharp, frames[middle])
        light = np.mean([(f / 255) ** 2.2 for f in frames[middle - 3 : middle + 4]], axis=0)
        np.testing.assert_allclose(blurry, 255 * light ** (1 / 2.2), atol=0.51)
    found = find_pairs(Path("pairs"), split="train")
    assert [p.name for p in found.pairs] == ["in_000003", "in_000010", "in_000017"]


def test_no_pair_spans_a_cut(here, capsys):
    make_clip("in.mp4", [*pan("coffee", 10), *pan("room", 10)])
    assert cli.main(["video", "in.mp4", "-o", "pairs", "--frames", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"] == 2
    assert list(found["cuts"]) == ["10"]
    assert found["cuts"]["10"] < CUT_BELOW
    assert sorted(p.stem for p in Path("pairs/sharp").iterdir()) == ["in_000003", "in_000013"]


@pytest.mark.parametrize("name", ["mountains", "coffee", "room", "stream", "dogs"])
def test_a_pan_is_no_cut(name):
    first, second = pan(name, 2, step=12)
    assert likeness(first, second) > 0.85


def test_every_change_of_scene_is_a_cut():
    names = ("mountains", "coffee", "room", "stream", "dogs", "pagoda", "cat", "brushes")
    scenes = {name: pan(name, 1)[0] for name in names}
    pairs = [(a, b) for a in names for b in names if a != b]
    missed = [(a, b) for a, b in pairs if likeness(scenes[a], scenes[b]) >= CUT_BELOW]
    assert missed == []


def test_windows_are_drawn_from_the_range_by_the_seed(here):
    make_clip("in.mp4", pan("mountains", 60))
    names = {}
    for seed in (0, 0, 1):
        made = make_pairs(Path("in.mp4"), Path("pairs"), window=(3, 9), seed=seed, force=True)
        names.setdefault(seed, []).append(made.pairs)
    assert names[0][0] == names[0][1]
    assert 60 // 9 <= names[0][0] <= 60 // 3
    limited = make_pairs(Path("in.mp4"), Path("few"), window=(3, 3), limit=2)
    assert limited.pairs == len(list(Path("few/blurry").iterdir())) == 2


def test_existing_pairs_are_kept_without_force(here, capsys):
    make_clip("in.mp4", pan("coffee", 7))
    argv = ["video", "in.mp4", "-o", "pairs", "--frames", "7"]
    assert cli.main(argv) == 0
    assert cli.main(argv) == 1
    assert "pairs/blurry/in_000003.png exists already" in capsys.readouterr().err
    assert cli.main([*argv, "--force"]) == 0


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (5, "in.mp4: no 7 frames in a row without a cut; take a longer clip or fewer --frames"),
        (0, "in.mp4: no such file"),
    ],
)
def test_clips_that_make_no_pair(here, capsys, count, line):
    if count:
        make_clip("in.mp4", pan("coffee", count))
    assert cli.main(["video", "in.mp4", "-o", "pairs"]) == 1
    assert capsys.readouterr().err == f"deblur-data: error: {line}\n"
    assert not Path("pairs").exists()


@pytest.mark.parametrize("frames", ["8", "7..12", "13..7", "1", "x"])
def test_windows_that_have_no_middle(frames, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["video", "in.mp4", "-o", "pairs", "--frames", frames])
    assert ended.value.code == 2
