"""PyTorch: runs checkpoints, folded (as exported) or as the reference code infers.

The only module here that imports `models`: a checkpoint is PyTorch's artifact, and only the
generator's code can open it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .artifact import CheckpointInfo, Manifest, TensorSpec
from .base import Runner
from .files import size_of
from .optional import MissingDependencyError, require, version_of
from .registry import runtime


@runtime("torch", formats=(".safetensors", ".h5", ".pth", ".pt"), module="torch", extra="torch")
class TorchRunner(Runner):
    """The generator itself: frozen norms are folded, live norms use the picture's statistics."""

    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    @classmethod
    def read_manifest(cls, path: Path) -> Manifest:
        """The checkpoint's own description; there is no manifest file."""
        return _manifest_of(path, norm=None, size=None)

    def _open(self) -> None:
        torch = require("torch", extra="torch")
        from ..models.checkpoints.checkpoint import generator_from, load_checkpoint
        from ..models.network.norm import fold_norms

        if self.device == "cuda" and not torch.cuda.is_available():
            raise MissingDependencyError(
                "PyTorch sees no CUDA device; check nvidia-smi, or use --device cpu"
            )
        if self.device == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # its results say fp32
        torch.set_num_threads(self.threads)
        checkpoint = load_checkpoint(str(self.path))
        generator = generator_from(checkpoint, norm=self.manifest.norm)
        if self.manifest.norm == "frozen":
            generator = fold_norms(generator)
        self._torch = torch
        self._generator = generator.to(self.device)

    def _infer(self, image: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            result: Any = self._generator(self._torch.from_numpy(image).to(self.device))
            return result.cpu().numpy()

    def _close(self) -> None:
        del self._generator


def open_reference(
    checkpoint: Path,
    *,
    norm: str | None = None,
    size: tuple[int, int] | None = None,
    threads: int = 1,
    device: str = "cpu",
) -> TorchRunner:
    """The PyTorch reference of an artifact: same weights, norm mode and tiling.

    Args:
        checkpoint: File as `models.checkpoints.checkpoint.load_checkpoint` reads it.
        norm: ``frozen`` or ``live``; None for the mode the weights were trained for.
        size: Fixed (height, width) of the artifact it is compared with, or None.
        threads: CPU threads.
        device: ``cpu`` or ``cuda``.

    Raises:
        FileNotFoundError, ValueError: see `models.checkpoints.checkpoint.load_checkpoint`.
    """
    manifest = _manifest_of(checkpoint, norm=norm, size=size)
    return TorchRunner(checkpoint, manifest, threads=threads, device=device)


def _manifest_of(path: Path, *, norm: str | None, size: tuple[int, int] | None) -> Manifest:
    require("torch", extra="torch")
    from ..models.checkpoints.checkpoint import load_checkpoint
    from ..models.network.receptive_field import receptive_radius_px

    checkpoint = load_checkpoint(str(path))
    norm = norm or checkpoint.norm
    sides: tuple[int | str, int | str] = size or ("height", "width")
    shape = ("batch", 3, *sides)
    running = ("running_mean", "running_var", "num_batches_tracked")
    stored = [t for name, t in checkpoint.state.items() if not name.endswith(running)]
    return Manifest(
        target="torch-fp32",
        backbone=checkpoint.backbone,
        network=checkpoint.network,
        widths=checkpoint.widths.to_dict() if checkpoint.widths else None,
        checkpoint=CheckpointInfo(checkpoint.sha256, str(path)),
        norm=norm,
        input=TensorSpec("image", shape, "float32"),
        output=TensorSpec("deblurred", shape, "float32"),
        size_multiple=checkpoint.size_multiple,
        smallest_side=checkpoint.described.smallest_side_of_free_size,
        receptive_radius_px=(
            receptive_radius_px(checkpoint.backbone, checkpoint.widths)
            if norm == "frozen"
            else None
        ),
        params=sum(t.numel() for t in stored),
        macs=None,  # a checkpoint is no graph of one size
        macs_size=None,
        bytes=size_of(path),
        sha256=checkpoint.sha256,
        tools={"torch": version_of("torch") or "?"},
        trained_norm=checkpoint.norm,
    )
