"""Interprets a saved Core ML package, so that its program can be checked without a Mac.

Each result is rounded to the type that the program states (`operations`), so a float16 program has
float16's rounding. An interpreter cannot show how a device's own kernels differ from that, such as
the Neural Engine's accumulation. So results are labelled ``emulated``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..optional import require
from .operations import Operation, UnknownOperationError, operation

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path("Data") / "com.apple.CoreML"
MODEL_FILE = FOLDER / "model.mlmodel"
WEIGHTS = FOLDER / "weights"
_BEHIND = ("clip", "relu", "relu6", "pixel_shuffle", "quantize", "dequantize")
Watch = Callable[[str, "Tensor"], None]


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Discard coremltools' progress bars and warnings; its exceptions pass.

    It warns of every torch later than the one it was tested with, and off a Mac of each part of
    Core ML that is missing.
    """
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def coremltools(module: str = "coremltools") -> ModuleType:
    """coremltools, or one of its modules, imported without its warnings.

    Raises:
        MissingDependencyError: it is not installed.
    """
    with quiet():
        return require(module, extra="coreml")


@dataclass
class _Step:
    """One operation: its inputs (a `_Ref` stands for an earlier result) and its output."""

    kind: str
    run: Operation
    inputs: dict[str, Any]
    output: str
    dtype: Any
    last_use_of: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Ref:
    name: str


class MilProgram:
    """The function ``main`` of a package's ML Program.

    Attributes:
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        kinds: The operations in order, by MIL's names; constants are not among them.
        layers: For every convolution the name of its weight, and the name of its output, or of the
            activation or pixel shuffle that alone reads it.

    Args:
        path: The ``.mlpackage`` folder.

    Raises:
        ValueError: not an ML Program that coremltools can read.
        UnknownOperationError: an operation that `operations` does not have.
        MissingDependencyError: coremltools is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        main = _main_function(path)
        self.inputs = tuple(main.inputs)
        self.outputs = tuple(var.name for var in main.outputs)
        self._constants: dict[str, Tensor] = {}
        self._steps: list[_Step] = []
        operations = list(main.operations)
        for op in operations:
            if op.op_type != "const":
                self._add(op)
        self.layers = tuple(_layers(operations))
        self._plan_frees()
        self.kinds = tuple(step.kind for step in self._steps)

    def run(self, values: Mapping[str, Tensor], watch: Watch | None = None) -> dict[str, Tensor]:
        """Compute the outputs.

        Args:
            values: All inputs by name, float32.
            watch: Called with the name and value of every tensor that is not constant.

        Raises:
            ValueError: an input is missing.
        """
        missing = [name for name in self.inputs if name not in values]
        if missing:
            raise ValueError(f"{self._path}: input {missing[0]!r} is missing")
        torch = require("torch", extra="torch")
        computed: dict[str, Tensor] = dict(values)
        with torch.inference_mode():
            for name in self.inputs if watch else ():
                assert watch is not None
                watch(name, computed[name])
            for step in self._steps:
                computed[step.output] = self._run_step(step, computed)
                if watch is not None:
                    watch(step.output, computed[step.output])
                for name in step.last_use_of:
                    del computed[name]
        return {name: computed[name] for name in self.outputs}

    def _run_step(self, step: _Step, computed: Mapping[str, Tensor]) -> Tensor:
        def resolved(value: Any) -> Any:  # noqa: ANN401 - whatever the operation takes
            if isinstance(value, _Ref):
                known = computed if value.name in computed else self._constants
                return known[value.name]
            return [resolved(item) for item in value] if isinstance(value, list) else value

        inputs = {name: resolved(value) for name, value in step.inputs.items()}
        return step.run(inputs).to(step.dtype)

    def _add(self, op: Any) -> None:  # noqa: ANN401 - coremltools' operations have no types
        try:
            run = operation(op.op_type)
            if len(op.outputs) != 1 or op.blocks:
                raise UnknownOperationError(
                    f"operation {op.op_type!r} has several outputs or holds blocks"
                )
        except UnknownOperationError as error:
            raise UnknownOperationError(f"{self._path}: {error}") from error
        inputs = {name: self._input(var) for name, var in op.inputs.items() if var is not None}
        var = op.outputs[0]
        step = _Step(op.op_type, run, inputs, var.name, _torch_type(var.dtype))
        if op.op_type.startswith("constexpr_"):
            self._constants[step.output] = self._run_step(step, {})
        self._steps.append(step)

    def _input(self, var: Any) -> Any:  # noqa: ANN401 - a Var or a list of them
        """An operation's input: constants as they are, the rest by name."""
        if isinstance(var, (list, tuple)):
            return [self._input(item) for item in var]
        if var.op is None or var.op.op_type != "const":
            return _Ref(var.name)
        return self._constant(var.val)

    def _constant(self, value: Any) -> Any:  # noqa: ANN401
        """Arrays of numbers as tensors, integer vectors as tuples, the rest as it is."""
        if isinstance(value, (str, bool, int, np.bool_)):
            return value
        array = np.asarray(value)
        if array.dtype.name in ("int32", "int64", "bool") and array.ndim < 2:
            return tuple(array.tolist()) if array.ndim else array.item()
        return require("torch", extra="torch").from_numpy(np.array(array))

    def _plan_frees(self) -> None:
        """Drop steps that depend on constants alone, and free each tensor after its last use."""
        self._steps = [step for step in self._steps if step.output not in self._constants]
        seen = set(self.outputs)
        for step in reversed(self._steps):
            for name in dict.fromkeys(_names(step.inputs)):
                if name not in seen and name not in self._constants:
                    seen.add(name)
                    step.last_use_of.append(name)


def _layers(operations: list[Any]) -> Generator[tuple[str, str]]:
    """Weight and output of every convolution."""
    for op in operations:
        if op.op_type in ("conv", "conv_transpose"):
            output = op.outputs[0]
            readers = list(output.child_ops)
            while len(readers) == 1 and readers[0].op_type in _BEHIND:
                output = readers[0].outputs[0]
                readers = list(output.child_ops)
            yield op.inputs["weight"].name, output.name


def _names(value: Any) -> Generator[str]:  # noqa: ANN401
    """The names of earlier results in an operation's inputs."""
    if isinstance(value, _Ref):
        yield value.name
    elif isinstance(value, dict):
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)


def load_spec(path: Path) -> Any:  # noqa: ANN401 - a protobuf message without types
    """A package's specification: description, metadata, program.

    Raises:
        ValueError: it cannot be read.
        MissingDependencyError: coremltools is not installed.
    """
    tools = coremltools()
    try:
        with quiet():
            return tools.utils.load_spec(str(path))
    except Exception as error:  # protobuf and the package reader each raise their own
        raise ValueError(f"{path}: coremltools cannot read it ({error})") from error


def _main_function(path: Path) -> Any:  # noqa: ANN401
    spec = load_spec(path)
    milproto = coremltools("coremltools.converters.mil.frontend.milproto.load")
    try:
        with quiet():
            program = milproto.load(spec, spec.specificationVersion, str(path / WEIGHTS))
        return program.functions["main"]
    except Exception as error:  # its reader asserts, looks up, and raises all kinds
        raise ValueError(f"{path}: no ML Program that coremltools can read ({error})") from error


def _torch_type(kind: Any) -> Any:  # noqa: ANN401
    """MIL's type of a tensor as PyTorch's."""
    torch = require("torch", extra="torch")
    types = coremltools("coremltools.converters.mil.mil.types")
    numpy_type = np.dtype(types.nptype_from_builtin(kind))
    return torch.from_numpy(np.empty(0, numpy_type)).dtype
