"""PyTorch on an NVIDIA GPU, in five variants: the baselines of TensorRT engines.

``fp32`` is eager in full float32; ``tf32`` is eager with TensorFloat-32 convolutions, PyTorch's
default; ``fp16`` is eager in float16 with channels last, the layout of tensor cores; ``compile`` is
``fp16`` through ``torch.compile``; ``graph`` is ``fp16`` replayed from a CUDA graph. All infer the
folded generator. Every `infer` waits for its result, so no time is that of a launch alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtimes.run_torch import TorchRunner

VARIANTS = ("fp32", "tf32", "fp16", "compile", "graph")
_FULL_PRECISION = ("fp32", "tf32")
_WARMUPS = 3  # on a side stream before a capture, as PyTorch's notes on CUDA graphs ask for


class TorchVariant(TorchRunner):
    """The folded generator on a device, in a variant named by the manifest's target."""

    def _open(self) -> None:
        super()._open()
        torch = self._torch
        self._variant = self.manifest.target.rpartition("-")[2]
        self._dtype = torch.float32 if self._variant in _FULL_PRECISION else torch.float16
        self._run: Any = self._generator
        if self._dtype is torch.float16:
            self._run = self._generator.half().to(memory_format=torch.channels_last)
        if self.device == "cuda":
            torch.backends.cudnn.allow_tf32 = self._variant == "tf32"
            torch.backends.cudnn.benchmark = True
            self._start, self._stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self._free_bytes = torch.cuda.mem_get_info()[0]
        if self._variant == "compile":
            self._run = torch.compile(self._run)
        self._graph: Any = None
        self._static: Any = None
        self._ran = False

    @property
    def precision(self) -> str:
        """The precision, and how the network is run."""
        if self._variant in _FULL_PRECISION:
            return self._variant
        how = {"compile": ", torch.compile", "graph": ", CUDA graph"}.get(self._variant, "")
        return f"fp16 channels last{how}"

    @property
    def gpu_ms(self) -> float | None:
        """See `Runner.gpu_ms`."""
        return self._start.elapsed_time(self._stop) if self.device == "cuda" and self._ran else None

    @property
    def device_memory_bytes(self) -> int | None:
        """See `Runner.device_memory_bytes`."""
        if self.device != "cuda":
            return None
        return max(0, self._free_bytes - self._torch.cuda.mem_get_info()[0])

    def _infer(self, image: np.ndarray) -> np.ndarray:
        torch = self._torch
        with torch.inference_mode():
            tensor = torch.from_numpy(image).to(self.device, self._dtype)
            if self._dtype is torch.float16:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            if self._variant == "graph":
                self._capture(tensor)
            self._mark("_start")
            result = self._compute(tensor)
            self._mark("_stop")
            # The copy to the host waits for the arithmetic, and so for both events.
            output = result.float().contiguous().cpu().numpy()
        self._ran = True
        return output

    def _compute(self, tensor: Any) -> Any:  # noqa: ANN401 - a tensor
        if self._graph is None:
            return self._run(tensor)
        self._graph.replay()
        return self._static[1]

    def _mark(self, event: str) -> None:
        if self.device == "cuda":
            getattr(self, event).record()

    def _capture(self, tensor: Any) -> None:  # noqa: ANN401 - a tensor
        """Copy the tensor into the graph's input; capture the graph first if the shape is new."""
        if self._static is not None and self._static[0].shape == tensor.shape:
            self._static[0].copy_(tensor)
            return
        torch = self._torch
        static_input = tensor.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARMUPS):
                self._run(static_input)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            result = self._run(static_input)
        self._static = (static_input, result)

    def _close(self) -> None:
        self._graph = self._static = self._run = None
        super()._close()
