from __future__ import annotations

import cv2
import numpy as np
import pytest
from edgedeblur.models.training.config import load_config

TINY = (
    "model.backbone=mobilenet_dsc",
    "loss.pixel_kind=l1",
    "loss.pixel=1.0",
    "loss.perceptual=0",
    "loss.adversarial=0",
    "optim.flat_epochs=1",
    "optim.decay_epochs=1",
    "optim.lr=1e-3",
    "optim.ema=0.9",
    "optim.clip=1.0",
    "data.crop=64",
    "data.batch=2",
    "data.epoch_steps=4",
    "data.workers=0",
    "run.save_steps=2",
    "run.tensorboard=false",
)


def picture(seed, height=96, width=112):
    """Something with edges: a few random rectangles."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), rng.integers(0, 255, 3), dtype=np.uint8)
    for _ in range(12):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        bottom, right = top + rng.integers(8, 40), left + rng.integers(8, 40)
        image[top:bottom, left:right] = rng.integers(0, 255, 3)
    return image


@pytest.fixture(scope="session")
def sharp_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharp")
    for seed in range(4):
        cv2.imwrite(str(folder / f"{seed}.png"), picture(seed))
    return folder


@pytest.fixture
def tiny():
    """A run of 8 steps that takes a second."""

    def config(*overrides):
        return load_config("paper", [*TINY, *overrides])

    return config
