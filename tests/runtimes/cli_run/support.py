"""Calls `deblur-run` as a user does, on real files; the network is a stand-in that inverts."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from edgedeblur.runtimes import cli
from edgedeblur.runtimes.artifact import TensorSpec
from edgedeblur.runtimes.base import Runner
from PIL import Image


class Inverter(Runner):
    """Returns the negative, so that a picture which was not deblurred shows."""

    def _open(self):
        pass

    def _infer(self, image):
        time.sleep(0.002)
        return -image


def manifest(norm="frozen", size=None):
    """What `deblur-run` reads of a manifest."""
    return SimpleNamespace(
        size_multiple=32,
        smallest_side=None,
        receptive_radius_px=20 if norm == "frozen" else None,
        norm=norm,
        input=TensorSpec("image", (1, 3, *(size or ("height", "width"))), "float32"),
    )


def pixels(height=20, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(name, seed=0, **options):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed=seed)).save(path, **options)
    return path


def run(*argv):
    return cli.main(["model.onnx", *map(str, argv)])


def files(folder="."):
    return sorted(str(p) for p in Path(folder).rglob("*") if p.is_file())


def refused(capsys, *argv):
    assert run(*argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.removeprefix("deblur-run: error: ").rstrip("\n")
