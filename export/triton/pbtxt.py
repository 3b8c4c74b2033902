"""Writes ``config.pbtxt``: protocol buffers' text format, as much of it as a configuration takes.

Values are dictionaries (messages), lists (repeated fields), `Word` (enumerations), strings,
numbers and booleans. Whether a field exists is for the schema to say; tests take it from Triton's
client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


class Word(str):
    """The name of an enumeration's value, which is written without quotes."""

    __slots__ = ()


def to_pbtxt(message: Mapping[str, Any], indent: str = "") -> str:
    """The message's fields, one a line; maps are lists of ``{"key": ..., "value": ...}``.

    Raises:
        TypeError: a value of a kind that text format does not have.
    """
    return "".join(_field(name, value, indent) for name, value in message.items())


def _field(name: str, value: Any, indent: str) -> str:  # noqa: ANN401 - one of several
    if isinstance(value, Mapping):
        inner = to_pbtxt(value, indent + "  ")
        return f"{indent}{name} {{\n{inner}{indent}}}\n"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(item, int) for item in value):
            return f"{indent}{name}: [ {', '.join(map(_scalar, value))} ]\n"
        return "".join(_field(name, item, indent) for item in value)
    return f"{indent}{name}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:  # noqa: ANN401 - one of several
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)  # the same escapes, as the texts are ASCII
    raise TypeError(f"text format has no {type(value).__name__}")
