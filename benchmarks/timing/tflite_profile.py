"""Profiles a .tflite file: times each operator alone, in a file of its own.

LiteRT's Python interpreter has no profiler, and XNNPACK runs many operators as one. So every
operator is extracted with its constants and timed by itself on random input. The sum differs from
the whole file's time: alone, an operator's input is in no cache, and what XNNPACK fuses runs
separately. Both are shown.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtimes.command_line.console import DONE, console, print_json
from ...runtimes.files import replacing
from ...runtimes.run_tflite.runner import interpreters
from ...runtimes.run_tflite.tflite_file import TfliteFile
from ...runtimes.sdk_errors import suppress_native_stderr

_WARMUP = 2
_SHOWN = 20


@dataclass(frozen=True)
class OperatorTime:
    """One operator: its kind, the tensor it writes, and its median milliseconds alone."""

    kind: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    xnnpack: bool
    median_ms: float


@dataclass(frozen=True)
class Profile:
    """A file's operators in order, and the median milliseconds of the whole file."""

    file: str
    threads: int
    runs: int
    whole_ms: float
    operators: tuple[OperatorTime, ...]

    @property
    def sum_ms(self) -> float:
        """Sum over all operators."""
        return sum(operator.median_ms for operator in self.operators)


def profile(
    path: Path,
    *,
    threads: int,
    runs: int,
    progress: Callable[[float, float], None] = lambda _done, _all: None,
) -> Profile:
    """Time every operator that reads something computed.

    Args:
        path: A .tflite file.
        threads: CPU threads.
        runs: Timed runs of each operator and of the whole.
        progress: Called with (operators done, operators in all).

    Raises:
        OSError, ValueError: no readable TFLite file.
        MissingDependencyError: LiteRT is not installed.
    """
    data = path.read_bytes()
    file = TfliteFile(data, origin=str(path))
    whole, _ = _median_ms(data, threads, runs)
    times: list[OperatorTime] = []
    dequantised = _dequantised_constants(file)
    for index, operator in enumerate(file.operators):
        if _computed_inputs(file, operator, dequantised):
            written = int(operator.outputs[0])
            median, delegated = _median_ms(single_operator(data, index), threads, runs)
            times.append(
                OperatorTime(file.kind(operator), file.name(written), file.shape(written),
                             file.dtype(written), delegated, median)
            )  # fmt: skip
        progress(index + 1, len(file.operators))
    return Profile(path.name, threads, runs, whole, tuple(times))


def single_operator(data: bytes, index: int) -> bytes:
    """The file reduced to the operator at ``index`` and the DEQUANTIZEs of its constants."""
    file = TfliteFile(data)
    operator = file.operators[index]
    dequantised = _dequantised_constants(file)
    fed = _computed_inputs(file, operator, dequantised)
    wanted = dequantised.intersection(operator.inputs)
    kept = [o for o in file.operators if o.outputs[0] in wanted]
    file.graph.operators = [*kept, operator]
    file.graph.inputs, file.graph.outputs = fed, [int(t) for t in operator.outputs]
    file.model.signatureDefs, file.model.metadata = [], []
    return file.pack()


def _dequantised_constants(file: TfliteFile) -> set[int]:
    """Tensors that a DEQUANTIZE computes from constants."""
    return {
        operator.outputs[0]
        for operator in file.operators
        if file.kind(operator) == "DEQUANTIZE" and file.is_constant(operator.inputs[0])
    }


def _computed_inputs(file: TfliteFile, operator: Any, dequantised: set[int]) -> list[int]:  # noqa: ANN401
    """The operator's inputs that are computed, not constant; each once."""
    inputs = dict.fromkeys(tensor for tensor in operator.inputs if tensor >= 0)
    return [t for t in inputs if t not in dequantised and not file.is_constant(t)]


def _median_ms(data: bytes, threads: int, runs: int) -> tuple[float, bool]:
    """Median milliseconds of a file on random input, and whether XNNPACK took all of it."""
    random = np.random.default_rng(0)
    with suppress_native_stderr():
        interpreter = interpreters().Interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
        names = [entry["op_name"] for entry in interpreter._get_ops_details()]
    for entry in interpreter.get_input_details():
        kind = np.dtype(entry["dtype"])
        values = random.uniform(-1, 1, entry["shape"])
        if kind.kind in "iu":
            values = random.integers(0, 127, entry["shape"])
        interpreter.set_tensor(entry["index"], values.astype(kind))
    taken: list[float] = []
    for number in range(_WARMUP + runs):
        start = time.perf_counter()
        interpreter.invoke()
        if number >= _WARMUP:
            taken.append((time.perf_counter() - start) * 1e3)
    return float(np.median(taken)), "DELEGATE" in names


def report_profile(found: Profile, *, json_to: str | None) -> int:
    """Print the slowest operators and the sums by kind, or write everything as JSON."""
    if json_to == "-":
        print_json({**dataclasses.asdict(found), "sum_ms": found.sum_ms})
        return DONE
    if json_to is not None:
        import json

        with replacing(Path(json_to)) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(found), indent=2) + "\n", "utf-8")
    slowest = sorted(found.operators, key=lambda o: -o.median_ms)[:_SHOWN]
    rows = [
        (o.name, o.kind, "x".join(map(str, o.shape)), o.dtype, "yes" if o.xnnpack else "no",
         f"{o.median_ms:.2f}", f"{100 * o.median_ms / found.sum_ms:.1f}")
        for o in slowest
    ]  # fmt: skip
    headings = ("writes", "operator", "shape", "type", "xnnpack", "ms", "%")
    _print(f"{found.file}: slowest of {len(found.operators)} operators", headings, rows)
    kinds = sorted({o.kind for o in found.operators}, key=lambda kind: -_sum(found, kind))
    by_kind = [(k, f"{_sum(found, k):.2f}", f"{100 * _sum(found, k) / found.sum_ms:.1f}")
               for k in kinds]  # fmt: skip
    _print("By kind", ("operator", "ms", "%"), by_kind)
    console().print(
        f"Each operator alone: {found.sum_ms:.1f} ms together; the whole file: "
        f"{found.whole_ms:.1f} ms. Medians of {found.runs} runs, {found.threads} threads.",
        markup=False,
    )
    return DONE


def _sum(found: Profile, kind: str) -> float:
    return sum(o.median_ms for o in found.operators if o.kind == kind)


def _print(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if heading in ("ms", "%") else "left",
                         overflow="fold" if number == 0 else "ellipsis")  # fmt: skip
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)
