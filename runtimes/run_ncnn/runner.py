"""ncnn: runs ``.ncnn`` folders (model.param and model.bin) on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base import Runner
from ..optional import require
from ..registry import runtime
from ..sdk_errors import suppress_native_stderr

if TYPE_CHECKING:
    from pathlib import Path

PARAM_FILE, WEIGHTS_FILE = "model.param", "model.bin"
# ncnn takes these by default and rounds activations wherever the CPU allows it.
_HALF_OPTIONS = ("use_fp16_storage", "use_fp16_packed", "use_fp16_arithmetic")
_BFLOAT_OPTIONS = ("use_bf16_storage", "use_bf16_packed")


@runtime("ncnn", formats=(".ncnn",), module="ncnn", extra="ncnn")
class NcnnRunner(Runner):
    """One net, and one extractor for each picture; a net takes any size.

    fp32 artifacts run with ncnn's half-precision options off, fp16 artifacts with them on: Arm
    CPUs with float16 arithmetic then compute in it, other CPUs widen the weights to float32.
    """

    @property
    def precision(self) -> str:
        """The arithmetic that ncnn chooses for the artifact's weights on this CPU."""
        stored = self.manifest.target.rpartition("-")[2]
        if stored != "fp16":
            return stored
        if self._ncnn.cpu_support_arm_asimdhp():
            return "fp16"
        return "fp16 weights, fp32 arithmetic"

    def _open(self) -> None:
        self._ncnn = require("ncnn", extra="ncnn")
        self._net = self._ncnn.Net()
        options = self._net.opt
        options.num_threads = self.threads
        options.use_vulkan_compute = False
        half = self.manifest.target.endswith("-fp16")
        for name in _HALF_OPTIONS:
            setattr(options, name, half)
        for name in _BFLOAT_OPTIONS:
            setattr(options, name, False)
        with suppress_native_stderr():
            self._load(self.path / PARAM_FILE, self._net.load_param)
            self._load(self.path / WEIGHTS_FILE, self._net.load_model)
        found = (list(self._net.input_names()), list(self._net.output_names()))
        wanted = ([self.manifest.input.name], [self.manifest.output.name])
        if found != wanted:
            raise ValueError(
                f"{self.path}: inputs and outputs {found[0]}, {found[1]}; its manifest says "
                f"{wanted[0]}, {wanted[1]}"
            )

    def _load(self, path: Path, load: object) -> None:
        assert callable(load)
        if not path.is_file() or load(str(path)) != 0:
            raise ValueError(f"{path}: ncnn cannot load it; export the artifact again")

    def _infer(self, image: np.ndarray) -> np.ndarray:
        # One picture: a manifest of ncnn says a batch of 1. The Mat shares the array's memory,
        # which ncnn only reads; the result is copied out before the extractor frees it.
        with self._net.create_extractor() as extractor:
            extractor.input(self.manifest.input.name, self._ncnn.Mat(image[0]))
            code, result = extractor.extract(self.manifest.output.name)
            if code != 0:
                raise ValueError(f"{self.path}: ncnn failed with code {code}")
            return np.array(result)[None]

    def _close(self) -> None:
        del self._net
