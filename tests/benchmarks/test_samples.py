"""The shipped samples: complete, licensed, really blurred, and made by their own recipe."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import cv2
import edgedeblur.benchmarks.samples.make_samples as make_samples
import numpy as np
import pytest
from edgedeblur.models.data import find_pairs

FOLDER = Path(make_samples.__file__).parent
ENTRIES: list[dict[str, Any]] = json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))[
    "samples"
]
FREE = {"CC0 1.0", "CC BY 2.0", "CC BY 4.0", "public domain"}


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1])


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def test_at_least_eight_pairs_are_found_and_are_the_listed_ones() -> None:
    found = find_pairs(FOLDER)
    assert found.layout == "flat:blurry/sharp"
    assert len(found.pairs) >= 8
    assert [pair.name for pair in found.pairs] == sorted(entry["name"] for entry in ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_a_pair_has_one_shape_and_a_blur_that_can_be_measured(entry: dict[str, Any]) -> None:
    sharp = _read(FOLDER / "sharp" / f"{entry['name']}.png")
    blurry = _read(FOLDER / "blurry" / f"{entry['name']}.png")
    width, height = entry["size"]
    assert sharp.shape == blurry.shape == (height, width, 3)
    assert sharp.dtype == blurry.dtype == np.uint8
    assert 18 < _psnr(sharp, blurry) < 40


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_licence_author_and_source_are_stated_twice(entry: dict[str, Any]) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| {entry['name']} |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert entry["licence"] in FREE
    left, top, width, height = entry["crop"]
    assert cells == [
        entry["name"],
        entry["author"],
        entry["title"],
        entry["source"]["package"],
        f"`{entry['source']['file']}`",
        f"[{entry['licence']}]({entry['licence_url']})",
        f"{left}, {top}, {width}x{height}",
        "x".join(str(side) for side in entry["size"]),
        str(entry["length_px"]),
        str(entry["seed"]),
    ]
    assert all(cells)


def test_sizes_include_a_720p_frame_and_odd_sides_and_fit_the_budget() -> None:
    sizes = [tuple(entry["size"]) for entry in ENTRIES]
    assert (1280, 720) in sizes
    assert any(width % 32 and height % 32 for width, height in sizes)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.png")) <= 8 * 2**20


def test_a_shipped_blurry_picture_is_what_its_recipe_makes_of_the_sharp_one() -> None:
    recipe = {sample.name: sample for sample in make_samples.load_recipe()}
    sharp = _read(FOLDER / "sharp" / "cat.png")
    made = make_samples.blur_sample(sharp, recipe["cat"]).astype(int)
    shipped = _read(FOLDER / "blurry" / "cat.png").astype(int)
    # 1 step for other versions of OpenCV's arithmetic; the wrong seed gives far more.
    assert np.abs(made - shipped).max() <= 1
    other = make_samples.blur_sample(sharp, recipe["coffee"]).astype(int)
    assert np.abs(other - shipped).max() > 20


def _source(folder: Path, crop: tuple[int, int, int, int]) -> make_samples.Sample:
    path = folder / "source.png"
    picture = np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), picture)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return make_samples.Sample("one", "deep/source.png", digest, crop, (20, 15), 6.0, 1, 1.0)


def test_make_sample_writes_both_sides_and_the_same_bytes_twice(tmp_path: Path) -> None:
    sample = _source(tmp_path, (10, 5, 40, 30))
    for out in ("first", "second"):
        make_samples.make_sample(tmp_path, sample, tmp_path / out)
    source = _read(tmp_path / "source.png")[5:35, 10:50].astype(float)
    # Halving by area averaging is the mean of 2 x 2 blocks.
    mean = source.reshape(15, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(_read(tmp_path / "first/sharp/one.png") - mean).max() <= 0.5
    for side in ("sharp", "blurry"):
        first, second = (tmp_path / out / side / "one.png" for out in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_make_sample_refuses_wrong_sources_and_crops(tmp_path: Path) -> None:
    outside = _source(tmp_path, (30, 5, 40, 30))
    with pytest.raises(ValueError, match="leaves the picture"):
        make_samples.make_sample(tmp_path, outside, tmp_path / "out")
    with pytest.raises(ValueError, match="would enlarge"):
        make_samples.make_sample(tmp_path, _source(tmp_path, (0, 0, 10, 10)), tmp_path / "out")
    sample = _source(tmp_path, (0, 0, 40, 30))
    (tmp_path / "source.png").write_bytes(b"another file")
    with pytest.raises(FileNotFoundError, match=r"no source\.png with SHA-256"):
        make_samples.make_sample(tmp_path, sample, tmp_path / "out")


def test_the_command_fails_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_samples.main([str(tmp_path), "--only", "cat"]) == 1
    assert capsys.readouterr().err.startswith("make_samples: ")
    with pytest.raises(SystemExit, match="2"):
        make_samples.main([str(tmp_path), "--only", "unheard-of"])
