from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.released import released_state


@pytest.fixture(scope="session", autouse=True)
def _threads():
    """Two in all: one each where two processes share the work, as threads that spin do not."""
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(scope="session")
def released_h5(tmp_path_factory) -> Path:
    """A file laid out as fpn_mobilenet.h5, with the fixture's weights."""
    path = tmp_path_factory.mktemp("released") / "fpn_mobilenet.h5"
    torch.save({"model": released_state()}, path)
    return path


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A real picture from the packaged samples: uint8 (300, 451, 3)."""
    from edgedeblur.runtimes.pictures.read import read_picture

    folder = Path(__file__).parent.parent / "benchmarks" / "samples" / "blurry"
    return read_picture(folder / "cat.png").pixels


@pytest.fixture(scope="session")
def image(photo) -> np.ndarray:
    """Its corner as the network takes it: float32 (1, 3, 64, 96) in [-1, 1]."""
    corner = photo[100:164, 150:246].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(corner.astype(np.float32) / 127.5 - 1)
