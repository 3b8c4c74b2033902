"""What both contracts use: a small size, PyTorch's output, copies of artifacts, and requests."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.registry import Target
from edgedeblur.models.checkpoints.checkpoint import Checkpoint, generator_from
from edgedeblur.quantize.calibration import calibration_set
from edgedeblur.quantize.pipeline import QuantPlan
from edgedeblur.quantize.recipe import default_recipe

SIZE = (64, 96)


def pytorch(checkpoint: Checkpoint, image: np.ndarray, *, norm: str | None = None) -> np.ndarray:
    """The output of the unprepared generator."""
    with torch.no_grad():
        return generator_from(checkpoint, norm=norm)(torch.from_numpy(image)).numpy()


def copied(artifact: Path, folder: Path) -> Path:
    """The artifact, a file or a folder, without its manifest, in another folder."""
    if artifact.is_dir():
        return Path(shutil.copytree(artifact, folder / artifact.name))
    return Path(shutil.copy(artifact, folder))


def spec_for(target: Target, *, size: tuple[int, int] = SIZE, dynamic: bool = False) -> ExportSpec:
    """A request, calibrated on a few of the packaged samples where the target needs that."""
    plan = None
    if target.needs_calibration:
        pictures = calibration_set(None, size, count=8)
        # At this size a layer's edge pixels are most of the picture, so more is lost than at 720p.
        recipe = default_recipe("mobilenet_dsc")
        recipe = recipe if target.recipe is None else target.recipe(recipe)
        plan = QuantPlan(recipe, pictures, max_drop_db=0.3, threads=2)
    options = {option.key: option.default for option in target.options}
    return ExportSpec(target.name, size, dynamic=dynamic, quantise=plan, options=options)
