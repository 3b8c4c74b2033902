"""Converts frozen dataclasses to JSON types and back, for result files and workers' jobs.

Infinity (identical pictures) is written as null where a field is a plain ``float``.
"""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json_types(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Convert to JSON types only.

    Raises:
        ValueError: a NaN or a negative infinity, which no measurement gives.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json_types(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json_types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_types(item) for item in value]
    if isinstance(value, float):
        if math.isnan(value) or value == -math.inf:
            raise ValueError(f"a result cannot hold {value}")
        return None if value == math.inf else value
    return value


def from_json_types(kind: type[T], body: object, *, origin: str) -> T:
    """Rebuild a dataclass from `to_json_types`'s output.

    Args:
        kind: The dataclass.
        body: Parsed JSON.
        origin: The file, for the message.

    Raises:
        ValueError: fields are missing, unknown or of another type.
    """
    try:
        return _dataclass(kind, body)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{origin}: does not have this version's fields ({error})") from error


def _dataclass(kind: type[T], body: object) -> T:
    if not isinstance(body, dict):
        raise TypeError(f"expected the fields of {kind.__name__}, found {type(body).__name__}")
    hints = get_type_hints(kind)
    unknown = sorted(set(body) - set(hints))
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r} of {kind.__name__}")
    return kind(**{name: _value(hints[name], item) for name, item in body.items()})


def _value(hint: Any, value: Any) -> Any:  # noqa: ANN401 - any type, any JSON value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        present = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _value(present[0], value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_value(arguments[0], item) for item in value)
        return tuple(_value(a, item) for a, item in zip(arguments, value, strict=True))
    if origin is dict:
        return {key: _value(arguments[1], item) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, value)
    if hint is float:
        return math.inf if value is None else float(value)
    if hint is not Any and type(value) is not hint:  # exact: True is no int here
        raise TypeError(f"expected {getattr(hint, '__name__', hint)}, found {value!r}")
    return value
