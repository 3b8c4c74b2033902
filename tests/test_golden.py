"""The golden vectors are what the Python code gives today, and what they say is true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes.artifact import Manifest

from .golden.make_golden import CASES, FOLDER, fake_network, make

# Written by the tests in Kotlin and JavaScript, and read in tests/benchmarks.
FROM_ELSEWHERE = ("phone.json", "browser.json")


def _names(folder: Path) -> list[str]:
    files = sorted(path.name for kind in ("*.json", "*.npz") for path in folder.glob(kind))
    return [name for name in files if name not in FROM_ELSEWHERE]


NAMES = _names(FOLDER)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    make(folder)
    return folder


def test_all_files_are_there(fresh: Path) -> None:
    assert _names(fresh) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".npz")])
def test_arrays_are_todays(name: str, fresh: Path) -> None:
    kept, today = np.load(FOLDER / name), np.load(fresh / name)
    assert kept.files == today.files
    for key in kept.files:
        np.testing.assert_array_equal(kept[key], today[key], err_msg=key)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".json")])
def test_numbers_are_todays(name: str, fresh: Path) -> None:
    kept, today = (json.loads((folder / name).read_text("utf-8")) for folder in (FOLDER, fresh))
    if name.endswith((".tflite.json", ".onnx.json")):
        # Fields that a later version added have defaults: what is kept still reads as today's.
        kept, today = (Manifest.from_dict(body, origin=name) for body in (kept, today))
    assert kept == today


def test_the_pictures_need_padding_tiles_and_blending() -> None:
    """A golden file of the trivial case would let any code pass."""
    arrays = np.load(FOLDER / "tiling.npz")
    for number, (picture, tile, _) in enumerate(CASES):
        before, after = arrays["picture"][: picture[0], : picture[1]], arrays[f"after{number}"]
        assert before.shape == after.shape
        image = before.transpose(2, 0, 1)[None] / np.float32(127.5) - np.float32(1)
        whole = np.rint((fake_network(image.astype(np.float32)) + 1) * 127.5).clip(0, 255)
        differs = bool((whole[0].transpose(1, 2, 0) != after).any())
        assert differs == (picture[0] > tile[0] or picture[1] > tile[1])


def test_parity_by_hand() -> None:
    arrays = np.load(FOLDER / "parity.npz")
    numbers = json.loads((FOLDER / "parity.json").read_text("utf-8"))
    image = arrays["image"].astype(np.float64) / 127.5 - 1
    noise = np.square(arrays["actual"].astype(np.float64) - arrays["output"]).sum()
    signal = np.square(arrays["output"] - image).sum()
    assert numbers["residual_snr_db"] == pytest.approx(10 * np.log10(signal / noise), abs=1e-4)
