"""Runners of the baselines: the original code's inference, stock exports, PyTorch on CUDA.

``train-mode``
    PyTorch eager as github.com/VITA-Group/DeblurGANv2 infers (predict.py: ``model.train(True)``):
    nothing folded, every norm computed from the picture at hand.
``openvino-f32``, ``openvino-bf16``
    OpenVINO's CPU plugin on a plain ONNX file, as its documentation recommends.
``cuda-fp32`` and others
    PyTorch on a GPU; see `torch_cuda`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtimes.artifact import read_manifest
from ...runtimes.base import Runner
from ...runtimes.optional import require
from ...runtimes.run_torch import TorchRunner
from .torch_cuda import VARIANTS, TorchVariant

_PRECISIONS = {"f32": "fp32", "bf16": "bf16"}  # OpenVINO's names -> ours


@dataclass(frozen=True)
class BaselineRuntime:
    """How a baseline is opened.

    Attributes:
        module: What ``runner`` imports; its import time is measured apart.
        target: The baseline's name in results.
        runner: The runner's class.
        norm: Norm mode of a checkpoint, ``live`` or ``frozen``.
    """

    module: str
    target: str
    runner: Callable[..., Runner]
    norm: str = "live"

    def open(self, path: Path, *, threads: int, device: str) -> Runner:
        """Open a checkpoint (train mode) or a stock ONNX file with its manifest.

        Raises:
            FileNotFoundError, ValueError: the file is missing or not what it should be.
            MissingDependencyError: the runtime is not installed.
        """
        if self.module == "torch":
            manifest = TorchRunner.read_manifest(path)
            # One picture at a time: training arithmetic would mix the statistics of a batch.
            shape = (1, *manifest.input.shape[1:])
            manifest = dataclasses.replace(
                manifest,
                norm=self.norm,
                receptive_radius_px=None,
                input=dataclasses.replace(manifest.input, shape=shape),
                output=dataclasses.replace(manifest.output, shape=shape),
            )
        else:
            manifest = read_manifest(path)
        manifest = dataclasses.replace(manifest, target=self.target)
        return self.runner(path, manifest, threads=threads, device=device)


class TrainModeRunner(TorchRunner):
    """The generator with its norm layers in training mode."""

    def _open(self) -> None:
        from ...models.network.norm import norms, set_norm_mode

        super()._open()  # unfolded, as the manifest says live
        set_norm_mode(self._generator, "frozen")  # PyTorch's own forward, not our live one
        for norm in norms(self._generator).values():
            # A norm layer that has no running statistics computes as in training and has nothing
            # to update, so every picture is treated alike.
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None


class StockOpenVino(Runner):
    """An ONNX file in OpenVINO, tuned for one picture at a time like every runner here."""

    def _open(self) -> None:
        openvino = require("openvino")
        wanted = self.manifest.target.rpartition("-")[2]
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": wanted,
        }
        try:
            core = openvino.Core()
            self._model = core.compile_model(core.read_model(self.path), "CPU", hints)
        except RuntimeError as error:
            raise ValueError(f"{self.path}: OpenVINO cannot load it ({error})") from error
        used = self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != wanted:
            raise ValueError(f"OpenVINO computes in {used} on this CPU, not in {wanted}")
        self._precision = _PRECISIONS[wanted]

    @property
    def precision(self) -> str:
        """The precision that the plugin reports."""
        return self._precision

    def _infer(self, image: np.ndarray) -> np.ndarray:
        return self._model(image)[0]

    def _close(self) -> None:
        del self._model


BASELINE_RUNTIMES = {
    "train-mode": BaselineRuntime("torch", "torch-fp32", TrainModeRunner),
    "openvino-f32": BaselineRuntime("openvino", "stock-openvino-f32", StockOpenVino),
    "openvino-bf16": BaselineRuntime("openvino", "stock-openvino-bf16", StockOpenVino),
    **{
        f"cuda-{variant}": BaselineRuntime("torch", f"torch-cuda-{variant}", TorchVariant, "frozen")
        for variant in VARIANTS
    },
}
