"""Reads and edits a .tflite file in memory: its operators and tensors.

It uses LiteRT's object API, which has a class per table of the FlatBuffers schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..optional import require

FILE_IDENTIFIER = b"TFL3"
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
_DTYPES = {
    "float32": "FLOAT32", "float16": "FLOAT16", "int32": "INT32", "uint8": "UINT8",
    "int64": "INT64", "int16": "INT16", "int8": "INT8", "bool": "BOOL",
}  # fmt: skip


def schema() -> Any:  # noqa: ANN401 - a generated module without types
    """LiteRT's generated classes.

    Raises:
        MissingDependencyError: LiteRT is not installed.
    """
    return require("ai_edge_litert.schema_py_generated", extra="litert")


class TfliteFile:
    """The main subgraph of a .tflite file.

    Args:
        data: The file's bytes.
        origin: Its name in errors.

    Attributes:
        model: The whole file as schema objects.
        graph: Its main subgraph.
    """

    def __init__(self, data: bytes, *, origin: str = "the converted network") -> None:
        if data[4:8] != FILE_IDENTIFIER:
            raise ValueError(f"{origin}: not a TFLite file")
        self.schema = schema()
        try:
            self.model = self.schema.ModelT.InitFromPackedBuf(data, 0)
        except Exception as error:
            raise ValueError(f"{origin}: broken TFLite file ({error})") from error
        if not self.model.subgraphs:
            raise ValueError(f"{origin}: broken TFLite file (no graph)")
        self.graph = self.model.subgraphs[0]
        self._make_editable(data)
        self._codes = _enum_names(self.schema.BuiltinOperator)
        self._types = _enum_names(self.schema.TensorType)

    @staticmethod
    def read(path: Path) -> TfliteFile:
        """The file at ``path``.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no TFLite file.
        """
        return TfliteFile(path.read_bytes(), origin=str(path))

    @property
    def operators(self) -> list[Any]:
        """The operators, in the order they run."""
        return self.graph.operators

    def kind(self, operator: Any) -> str:  # noqa: ANN401
        """``CONV_2D``, ...; a custom or composite operator has its own name."""
        entry = self.model.operatorCodes[operator.opcodeIndex]
        word = self._codes[max(entry.builtinCode, entry.deprecatedBuiltinCode)]
        if word == "CUSTOM":
            return f"CUSTOM:{_text(entry.customCode)}"
        if word == "STABLEHLO_COMPOSITE":
            return f"COMPOSITE:{_text(operator.builtinOptions2.name)}"
        return word

    def version(self, operator: Any) -> int:  # noqa: ANN401
        """The operator's version in the schema's sense."""
        return int(self.model.operatorCodes[operator.opcodeIndex].version)

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return _text(self.graph.tensors[tensor].name)

    def rename(self, tensor: int, name: str) -> None:
        """Rename a tensor."""
        self.graph.tensors[tensor].name = name

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape; a scalar has ()."""
        found = self.graph.tensors[tensor].shape
        return () if found is None else tuple(int(side) for side in found)

    def dtype(self, tensor: int) -> str:
        """``float32``, ``int8``, ... (the schema's name where numpy has none)."""
        word = self._types[self.graph.tensors[tensor].type]
        return next((ours for ours, theirs in _DTYPES.items() if theirs == word), word.lower())

    def constant(self, tensor: int) -> np.ndarray | None:
        """The values of a constant; None for inputs and computed tensors."""
        if not self.is_constant(tensor):
            return None
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        flat = np.asarray(data, dtype=np.uint8).view(np.dtype(self.dtype(tensor)))
        return flat.reshape(self.shape(tensor))

    def is_constant(self, tensor: int) -> bool:
        """Whether the file holds the tensor's values."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def set_constant(self, tensor: int, values: np.ndarray) -> None:
        """Give a tensor these values, in a buffer of its own."""
        entry = self.graph.tensors[tensor]
        entry.buffer = self._new_buffer(values.tobytes())
        entry.shape = list(values.shape)
        entry.type = self._type(str(values.dtype))

    def add_tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        values: np.ndarray | None = None,
        scale: float | None = None,
        zero_point: int = 0,
    ) -> int:
        """Append a tensor and return its index; with ``scale`` it is quantised."""
        entry = self.schema.TensorT()
        entry.name, entry.shape, entry.type = name, list(shape), self._type(dtype)
        entry.buffer = 0 if values is None else self._new_buffer(values.tobytes())
        if scale is not None:
            entry.quantization = self.schema.QuantizationParametersT()
            entry.quantization.scale = np.array([scale], np.float32)
            entry.quantization.zeroPoint = np.array([zero_point], np.int64)
        self.graph.tensors.append(entry)
        return len(self.graph.tensors) - 1

    def add_operator(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], *, at: int, version: int = 1
    ) -> Any:  # noqa: ANN401
        """Insert an operator without options before position ``at``."""
        operator = self.schema.OperatorT()
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self.set_kind(operator, kind, version=version)
        self.operators.insert(at, operator)
        return operator

    def set_kind(self, operator: Any, kind: str, *, version: int = 1) -> None:  # noqa: ANN401
        """Change an operator's kind; its options are dropped."""
        code = next(number for number, word in self._codes.items() if word == kind)
        operator.opcodeIndex = self._code_index(code, version)
        operator.builtinOptionsType, operator.builtinOptions = 0, None
        operator.builtinOptions2Type, operator.builtinOptions2 = 0, None

    def set_metadata(self, name: str, text: str) -> None:
        """Add or replace an entry of the file's metadata."""
        entry = self.schema.MetadataT()
        entry.name, entry.buffer = name, self._new_buffer(text.encode("utf-8"))
        others = [e for e in self.model.metadata or [] if _text(e.name) != name]
        self.model.metadata = [*others, entry]

    def metadata(self, name: str) -> str | None:
        """An entry of the file's metadata; None if there is none of that name."""
        for entry in self.model.metadata or []:
            if _text(entry.name) == name:
                return bytes(bytearray(self.model.buffers[entry.buffer].data)).decode("utf-8")
        return None

    def pack(self) -> bytes:
        """The file's bytes, without unused buffers, tensors and operator codes."""
        self._drop_unused()
        builder = _deduplicating_builder()
        builder.Finish(self.model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _make_editable(self, data: bytes) -> None:
        """Copy what is read-only or stored outside the FlatBuffer, so that it can be edited."""
        for buffer in self.model.buffers:
            if buffer.offset > 1:  # 0 and 1 mean no data outside the FlatBuffer
                held = data[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(held, np.uint8), 0, 0
        for operator in self.graph.operators:  # else they are views into the bytes, read-only
            operator.inputs = [int(tensor) for tensor in operator.inputs]
            operator.outputs = [int(tensor) for tensor in operator.outputs]

    def _drop_unused(self) -> None:
        graph = self.graph
        used = {*graph.inputs, *graph.outputs}
        for operator in graph.operators:
            used.update(int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0)
        keep = [i for i in range(len(graph.tensors)) if i in used]
        place = {old: new for new, old in enumerate(keep)}
        graph.tensors = [graph.tensors[i] for i in keep]
        for operator in graph.operators:
            operator.inputs = [place.get(int(i), -1) for i in operator.inputs]
            operator.outputs = [place[int(i)] for i in operator.outputs]
        graph.inputs = [place[int(i)] for i in graph.inputs]
        graph.outputs = [place[int(i)] for i in graph.outputs]
        for signature in self.model.signatureDefs or []:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = place[int(entry.tensorIndex)]
        self._drop_unused_buffers()
        self._drop_unused_codes()

    def _drop_unused_buffers(self) -> None:
        entries = [*(self.model.metadata or [])]
        for subgraph in self.model.subgraphs:
            entries.extend(subgraph.tensors)
        keep = sorted({0, *(int(entry.buffer) for entry in entries)})
        place = {old: new for new, old in enumerate(keep)}
        self.model.buffers = [self.model.buffers[i] for i in keep]
        for entry in entries:
            entry.buffer = place[int(entry.buffer)]

    def _drop_unused_codes(self) -> None:
        operators = [o for subgraph in self.model.subgraphs for o in subgraph.operators]
        keep = sorted({int(operator.opcodeIndex) for operator in operators})
        place = {old: new for new, old in enumerate(keep)}
        self.model.operatorCodes = [self.model.operatorCodes[i] for i in keep]
        for operator in operators:
            operator.opcodeIndex = place[int(operator.opcodeIndex)]

    def _new_buffer(self, data: bytes) -> int:
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def _code_index(self, code: int, version: int) -> int:
        for index, entry in enumerate(self.model.operatorCodes):
            found = max(entry.builtinCode, entry.deprecatedBuiltinCode)
            if found == code and entry.version == version:
                return index
        entry = self.schema.OperatorCodeT()
        entry.builtinCode, entry.version = code, version
        entry.deprecatedBuiltinCode = min(code, 127)  # what readers older than the wide field read
        self.model.operatorCodes.append(entry)
        return len(self.model.operatorCodes) - 1

    def _type(self, dtype: str) -> int:
        return next(number for number, word in self._types.items() if word == _DTYPES[dtype])


def _deduplicating_builder() -> Any:  # noqa: ANN401
    """A FlatBuffers builder that writes equal vectors and names once.

    Zero points, eight bytes for each channel of every weight and bias and all 0, would be a sixth
    of an int8 file.
    """
    flatbuffers = require("flatbuffers", extra="litert")

    class DeduplicatingBuilder(flatbuffers.Builder):
        def __init__(self) -> None:
            super().__init__(1 << 20)
            self.written: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 - its name there
            key = (str(x.dtype), x.tobytes())
            if key not in self.written:
                self.written[key] = super().CreateNumpyVector(x)
            return self.written[key]

        def CreateString(self, s: str | bytes, *args: Any) -> int:  # noqa: ANN401, N802
            key = ("string", s.encode() if isinstance(s, str) else s)
            if key not in self.written:
                self.written[key] = super().CreateString(s, *args)
            return self.written[key]

    return DeduplicatingBuilder()


def _enum_names(enumeration: object) -> dict[int, str]:
    return {value: key for key, value in vars(enumeration).items() if isinstance(value, int)}


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else (name or "")
