"""``executorch-fp16``: the traced network in float16, its weights stored in 16 bits.

ExecuTorch's serialiser for XNNPACK writes the kernels of all convolutions as float32 even where the
network is float16 (``force_fp32=True`` in ``backends/xnnpack/operators/op_conv2d.py``, version
1.5.1), so the file would not be smaller. XNNPACK itself takes float16 kernels in convolutions; in
transposed ones it does not, and these stay float32. The arithmetic is the same for both: it rounds
the kernels to float16 when it loads them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...runtimes.optional import require

if TYPE_CHECKING:
    from torch import nn

_EXTRA = "export-executorch"
_CONVOLUTION = "aten.convolution.default"  # of the table of visitors


def half_module(network: nn.Module) -> nn.Module:
    """The network, changed: computes in float16 between a float32 input and a float32 output."""
    torch = require("torch", extra=_EXTRA)
    inner = network.half()

    class Half(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, image: Any) -> Any:  # noqa: ANN401 - torch is imported lazily
            return self.inner(image.half()).float()

    return Half()


@contextlib.contextmanager
def float16_kernels() -> Generator[None]:
    """While it lasts, ExecuTorch stores the kernels of float16 convolutions in 16 bits."""
    module = require("executorch.backends.xnnpack.operators.node_visitor", extra=_EXTRA)
    visitors: dict[str, type] = module._node_visitor_dict
    usual = visitors[_CONVOLUTION]

    class HalfKernels(usual):  # type: ignore[misc, valid-type]
        def define_node(self, node: Any, *args: Any, **keywords: Any) -> None:  # noqa: ANN401
            self._transposed = bool(node.args[6])
            super().define_node(node, *args, **keywords)

        def define_tensor(self, *args: Any, **keywords: Any) -> None:  # noqa: ANN401
            # Of the tensors of a convolution only the kernel has both.
            if keywords.get("convert_to_nhwc") and not self._transposed:
                keywords.pop("force_fp32", None)
            super().define_tensor(*args, **keywords)

    visitors[_CONVOLUTION] = HalfKernels
    try:
        yield
    finally:
        visitors[_CONVOLUTION] = usual
