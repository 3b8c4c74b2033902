"""PyTorch on an NVIDIA GPU in the ways a user would run it, to compare engines with.

``fp32`` is eager in full float32; ``tf32`` with the shorter mantissa that PyTorch allows
convolutions by default; ``fp16`` is eager in half with channels last, the layout that tensor cores
take; ``compile`` is that through ``torch.compile``; ``graph`` is it replayed from a CUDA graph. All
infer the folded generator. Every `infer` waits for its answer, so none times a launch alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtimes.run_torch import TorchRunner

VARIANTS = ("fp32", "tf32", "fp16", "compile", "graph")
_WHOLE = ("fp32", "tf32")
_WARMUPS = 3  # on a side stream before a capture, as PyTorch's notes on CUDA graphs ask for


class TorchVariant(TorchRunner):
    """The folded generator on a device, in a variant named by the manifest's target."""

    def _open(self) -> None:
        super()._open()
        torch = self._torch
        self._variant = self.manifest.target.rpartition("-")[2]
        self._dtype = torch.float32 if self._variant in _WHOLE else torch.float16
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
        self._held: Any = None
        self._ran = False

    @property
    def precision(self) -> str:
        """What it computes in, and how it is run."""
        if self._variant in _WHOLE:
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
            given = torch.from_numpy(image).to(self.device, self._dtype)
            if self._dtype is torch.float16:
                given = given.contiguous(memory_format=torch.channels_last)
            if self._variant == "graph":
                self._capture(given)
            self._mark("_start")
            result = self._compute(given)
            self._mark("_stop")
            # The copy to the host waits for the arithmetic, and so for both events.
            answer = result.float().contiguous().cpu().numpy()
        self._ran = True
        return answer

    def _compute(self, given: Any) -> Any:  # noqa: ANN401 - a tensor
        if self._graph is None:
            return self._run(given)
        self._graph.replay()
        return self._held[1]

    def _mark(self, event: str) -> None:
        if self.device == "cuda":
            getattr(self, event).record()

    def _capture(self, given: Any) -> None:  # noqa: ANN401 - a tensor
        """Record the arithmetic for this shape, unless it is recorded; give it the picture."""
        if self._held is not None and self._held[0].shape == given.shape:
            self._held[0].copy_(given)
            return
        torch = self._torch
        taken = given.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARMUPS):
                self._run(taken)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            result = self._run(taken)
        self._held = (taken, result)

    def _close(self) -> None:
        self._graph = self._held = self._run = None
        super()._close()
