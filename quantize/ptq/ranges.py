"""Activation statistics of a float ONNX graph on real pictures: extremes, samples, means."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...runtimes.optional import require

if TYPE_CHECKING:
    from onnx import ModelProto

# Operations of our graphs that produce activations, without shape arithmetic.
ACTIVATION_OPS = frozenset(
    {"Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "MaxPool",
     "Mul", "Pad", "Relu", "Resize", "Slice", "Tanh"}
)  # fmt: skip
_STRIDE = 4  # in rows and columns, of the values that are kept; minima and maxima are exact
_VALUES = 100_000  # kept of each tensor over all pictures
_TO_THE_END = np.iinfo(np.int64).max  # what ONNX recommends where a side is not known
_STATISTICS = ("low", "high", "values", "means")


@dataclass
class TensorStats:
    """Statistics of one tensor over all pictures.

    Attributes:
        low: Minimum.
        high: Maximum.
        values: float32, at most 100 000 values, sampled evenly over pictures and positions.
        means: float64 (C,), the mean of each channel.
    """

    low: float
    high: float
    values: np.ndarray
    means: np.ndarray


def collect(
    model: ModelProto,
    images: Iterable[np.ndarray],
    *,
    count: int,
    threads: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, TensorStats]:
    """Statistics of all activations over one set of pictures; see `StatsCollector`."""
    return StatsCollector(model, threads).collect(images, count=count, progress=progress)


class StatsCollector:
    """Runs a float model on pictures and collects statistics of all its activations.

    Args:
        model: With 4-D activations (N, C, H, W) and one input.
        threads: CPU threads.
    """

    def __init__(self, model: ModelProto, threads: int) -> None:
        ort = require("onnxruntime", extra="export-onnx")
        self._input = model.graph.input[0].name
        self._names = activations(model)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = ort.InferenceSession(
            _with_statistics(model, self._names).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def collect(
        self,
        images: Iterable[np.ndarray],
        *,
        count: int,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> dict[str, TensorStats]:
        """Statistics by tensor name over ``count`` pictures, float32 (1, 3, H, W) in [-1, 1].

        ``progress`` is called with (pictures done, total).

        Raises:
            ValueError: no pictures, or an activation that is not finite.
        """
        wanted = [f"{name}/{kind}" for name in self._names for kind in _STATISTICS]
        quota = max(_VALUES // max(count, 1), 64)
        seen: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in self._names}
        done = 0
        for image in images:
            found = self._session.run(wanted, {self._input: image})
            self._add_picture(found, quota, done, seen)
            done += 1
            progress(done, count)
        if done == 0:
            raise ValueError("no calibration pictures; quantisation ranges need some")
        return {name: _merge_pictures(rows) for name, rows in seen.items()}

    def _add_picture(
        self,
        found: list[np.ndarray],
        quota: int,
        done: int,
        seen: dict[str, list[tuple[np.ndarray, ...]]],
    ) -> None:
        for index, name in enumerate(self._names):
            low, high, values, means = found[4 * index : 4 * index + 4]
            # The extremes alone would not do: onnxruntime's pass over single NaNs.
            if not (np.isfinite(low) and np.isfinite(high) and np.isfinite(means).all()):
                raise ValueError(
                    f"calibration picture {done + 1}: {name} has values from {low} to {high}; "
                    "NaN and infinity cannot be quantised, so the checkpoint is broken"
                )
            flat = values.ravel()
            seen[name].append((low, high, flat[:: max(flat.size // quota, 1)].copy(), means))


def activations(model: ModelProto) -> list[str]:
    """Names of all activations, the graph's input first."""
    outputs = [n.output[0] for n in model.graph.node if n.op_type in ACTIVATION_OPS]
    return [model.graph.input[0].name, *outputs]


def _merge_pictures(rows: list[tuple[np.ndarray, ...]]) -> TensorStats:
    lows, highs, values, means = zip(*rows, strict=True)
    return TensorStats(
        float(np.min(lows)),
        float(np.max(highs)),
        np.concatenate(values),
        np.mean(np.stack(means).astype(np.float64), axis=0),
    )


def _with_statistics(model: ModelProto, names: list[str]) -> ModelProto:
    """The model with four statistics outputs per activation instead of the activations."""
    onnx = require("onnx", extra="export-onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    watched = copy.deepcopy(model)
    constants = {
        "/starts": np.array([0, 0]),
        "/ends": np.array([_TO_THE_END, _TO_THE_END]),
        "/axes": np.array([2, 3]),
        "/steps": np.array([_STRIDE, _STRIDE]),
        "/places": np.array([0, 2, 3]),
    }
    for key, value in constants.items():
        watched.graph.initializer.append(numpy_helper.from_array(value.astype(np.int64), key))
    float32 = onnx.TensorProto.FLOAT
    del watched.graph.output[:]
    for name in names:
        low, high, values, means = (f"{name}/{kind}" for kind in _STATISTICS)
        watched.graph.node.extend(
            [
                helper.make_node("ReduceMin", [name], [low], keepdims=0),
                helper.make_node("ReduceMax", [name], [high], keepdims=0),
                helper.make_node("Slice", [name, "/starts", "/ends", "/axes", "/steps"], [values]),
                helper.make_node("ReduceMean", [name, "/places"], [means], keepdims=0),
            ]
        )
        for output in (low, high, values, means):
            watched.graph.output.append(helper.make_tensor_value_info(output, float32, None))
    return watched
