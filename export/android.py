"""Copies an artifact into the Android app's assets, with a golden input and PyTorch output.

The app measures parity on the phone: it runs the model on the golden picture, on the accelerator
that is selected there, and compares the result with the golden output.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtimes.artifact import Manifest, manifest_path, manifest_text
from ..runtimes.files import replacing_all
from ..runtimes.pictures.sample_inputs import load_sample_inputs, to_uint8
from .registry import Option
from .verify import run_reference

if TYPE_CHECKING:
    from ..models.checkpoints.checkpoint import Checkpoint

ASSETS = (
    Path(__file__).parent.parent / "android_demo" / "app" / "src" / "main" / "assets" / "models"
)

ANDROID_OPTION = Option(
    flag="--android",
    help="also copy the file, its manifest and a golden tensor into the Android app's assets",
    parse=bool,
    default=False,
    recorded=False,
)


def copy_to_app(
    artifact: Path, manifest: Manifest, checkpoint: Checkpoint, assets: Path | None = None
) -> tuple[Path, ...]:
    """Copy an artifact into the app, with its manifest and golden tensor: all three, or none.

    Args:
        artifact: The file, just exported.
        manifest: Its manifest.
        checkpoint: The weights it was exported from.
        assets: The app's model folder, `ASSETS` if None; files of the same name are replaced.

    Returns:
        Paths of the three files.

    Raises:
        FileNotFoundError: the app is missing: it is part of a checkout, not of a wheel.
        ValueError: the artifact has a dynamic size, which the app does not support.
        OSError: the folder cannot be written, or the disk is full.
    """
    assets = assets or ASSETS
    if not assets.is_dir():
        raise FileNotFoundError(
            f"{assets}: the Android app is missing; use --android in a checkout of the repository"
        )
    copy = assets / artifact.name
    targets = (copy, manifest_path(copy), golden_path(copy))
    arrays = golden_tensor(manifest, checkpoint)
    with replacing_all(targets) as (model, manifest_file, golden):
        shutil.copyfile(artifact, model)
        manifest_file.write_text(manifest_text(manifest), encoding="utf-8")
        with golden.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
    return targets


def golden_path(artifact: Path) -> Path:
    """``model.tflite`` -> ``model.tflite.golden.npz``."""
    return artifact.with_name(artifact.name + ".golden.npz")


def golden_tensor(manifest: Manifest, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The golden input and output for the app, for an artifact of fixed size.

    Returns:
        ``image``: uint8 (H, W, 3), RGB: the first packaged sample, reflected to the size.
        ``output``: float32 (H, W, 3) in [-1, 1]: PyTorch's output in fp32, norms as exported.
        ``model_sha256``: uint8 (32,): hash of the artifact it belongs to.

    Raises:
        ValueError: the artifact has a dynamic size.
    """
    from ..models.checkpoints.checkpoint import generator_from

    size = manifest.input.size
    if size is None:
        raise ValueError("the Android app takes models of a fixed size; leave out --dynamic")
    (sample,) = load_sample_inputs(size, manifest.size_multiple, dynamic=False, count=1)
    expected = run_reference(generator_from(checkpoint, norm=manifest.norm), sample.image)
    return {
        "image": to_uint8(sample.image),
        "output": np.ascontiguousarray(expected[0].transpose(1, 2, 0)),
        "model_sha256": np.frombuffer(bytes.fromhex(manifest.sha256), np.uint8),
    }
