"""Activation statistics of a Core ML program, collected without a Mac.

coremltools calibrates with Core ML's predictor, which exists on macOS only. Here the interpreter
(`runtimes.run_coreml.interpreter`) runs the saved float16 program and reports every activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtimes.run_coreml.interpreter import MilProgram
from .coreml_layers import Layer
from .ranges import TensorStats

if TYPE_CHECKING:
    from torch import Tensor

Stats = Mapping[str, TensorStats]
LogStep = Callable[[str], None]
_STRIDE = 4  # in rows and columns, of the values that are kept; minima and maxima are exact
_VALUES = 100_000  # kept of each tensor over all pictures


def load_float(model: Any, folder: Path) -> MilProgram:  # noqa: ANN401
    """The float model as a program for `collect_stats`; saves it into ``folder`` first."""
    path = folder / "float.mlpackage"
    model.save(str(path))
    return MilProgram(path)


def collect_stats(
    program: MilProgram,
    images: Iterable[Tensor],
    layers: Mapping[str, Layer],
    *,
    count: int,
    log: LogStep = lambda _: None,
) -> dict[str, TensorStats]:
    """Statistics of every activation over calibration pictures, by tensor name.

    Args:
        program: The float16 program.
        images: Inputs in the form the program takes.
        layers: From `coreml_layers.convolutions`; of their inputs, channel means are kept too.
        count: Number of pictures.
        log: Called with a progress line for each picture.

    Raises:
        ValueError: no pictures, or an activation is not finite.
    """
    inputs = {layer.input for layer in layers.values()}
    quota = max(_VALUES // max(count, 1), 64)
    seen: dict[str, list[TensorStats]] = {}

    def note(name: str, value: Tensor) -> None:
        if value.ndim == 4 and value.is_floating_point():
            seen.setdefault(name, []).append(_picture_stats(value, quota, means=name in inputs))

    for number, image in enumerate(images):
        log(f"calibrating: {number + 1} of {count}")
        program.run({program.inputs[0]: image}, note)
    if not seen:
        raise ValueError("no calibration pictures; quantisation ranges need some")
    return {name: _merge_pictures(name, parts) for name, parts in seen.items()}


def _picture_stats(value: Tensor, quota: int, *, means: bool) -> TensorStats:
    some = value[..., ::_STRIDE, ::_STRIDE].reshape(-1)
    some = some[:: max(some.numel() // quota, 1)].float()
    mean = value.float().mean(dim=(0, 2, 3)).double().numpy() if means else np.empty(0)
    low, high = float(value.amin()), float(value.amax())
    return TensorStats(low, high, some.numpy().copy(), mean)


def _merge_pictures(name: str, parts: list[TensorStats]) -> TensorStats:
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"activation {name} holds NaN or infinity; it cannot be quantised")
    values = np.concatenate([part.values for part in parts])
    return TensorStats(low, high, values, np.mean([part.means for part in parts], axis=0))
