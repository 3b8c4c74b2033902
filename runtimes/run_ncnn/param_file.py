"""Reads and writes ncnn's ``model.param``: a text file with one line per layer.

ncnn's wiki describes the format (github.com/Tencent/ncnn/wiki, param-and-model-file-structure):
a magic number; the numbers of layers and blobs; then for each layer its type, its name, how many
blobs it reads and writes, their names, and ``id=value`` settings. An id of -23300 - n holds
an array: its length, then its values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

MAGIC = "7767517"
_ARRAYS_FROM = -23300


@dataclass(frozen=True)
class Layer:
    """One line; ``settings`` holds the values by id as the file spells them."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[int, str] = field(default_factory=dict)

    def number(self, setting: int, default: int = 0) -> int:
        """A setting as a whole number; ``default`` where the line does not hold it."""
        return int(self.settings.get(setting, default))


def parse_param(text: str, *, origin: str) -> list[Layer]:
    """The layers in the order of execution.

    Args:
        text: Contents of a ``model.param``.
        origin: The file's name, for errors.

    Raises:
        ValueError: not such a file.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or lines[0] != [MAGIC]:
        raise ValueError(f"{origin}: not an ncnn param file")
    try:
        layers = [_parse_line(words) for words in lines[2:]]
        count = int(lines[1][0])
    except (IndexError, ValueError) as error:
        raise ValueError(f"{origin}: not an ncnn param file ({error})") from error
    if count != len(layers):
        raise ValueError(f"{origin}: says {count} layers, holds {len(layers)}")
    return layers


def param_text(layers: list[Layer]) -> str:
    """The file's text; `parse_param` reads the same layers from it."""
    blobs = {name for layer in layers for name in (*layer.inputs, *layer.outputs)}
    lines = [MAGIC, f"{len(layers)} {len(blobs)}"]
    for layer in layers:
        words = [f"{layer.kind:24} {layer.name:24} {len(layer.inputs)} {len(layer.outputs)}"]
        words += [*layer.inputs, *layer.outputs]
        words += [f"{key}={value}" for key, value in sorted(layer.settings.items())]
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def with_blob_names(layers: list[Layer], names: dict[str, str]) -> list[Layer]:
    """The layers with blobs renamed; those that ``names`` does not hold keep theirs."""
    return [
        dataclasses.replace(
            layer,
            inputs=tuple(names.get(name, name) for name in layer.inputs),
            outputs=tuple(names.get(name, name) for name in layer.outputs),
        )
        for layer in layers
    ]


def _parse_line(words: list[str]) -> Layer:
    kind, name, count_in, count_out = words[:4]
    first = 4 + int(count_in)
    last = first + int(count_out)
    if last > len(words):
        raise ValueError(f"layer {name} names too few blobs")
    pairs = (word.partition("=") for word in words[last:])
    settings = {int(key): value for key, _, value in pairs}
    return Layer(kind, name, tuple(words[4:first]), tuple(words[first:last]), settings)


def array_setting(layer: Layer, setting: int) -> tuple[float, ...]:
    """The values of an array setting, empty where the line does not hold it."""
    text = layer.settings.get(_ARRAYS_FROM - setting, "0")
    return tuple(float(value) for value in text.split(",")[1:])
