"""Measures artifacts: size, arithmetic, latency, memory, and what the conversion cost in dB.

``docs/API.md`` shows how these names are used. Each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import measure
    from .result import BenchResult, Conditions, Row, read_result

__all__ = [
    "BenchResult",
    "Conditions",
    "Row",
    "measure",
    "read_result",
]

_HOMES = {
    "BenchResult": ".result",
    "Conditions": ".result",
    "Row": ".result",
    "measure": ".api",
    "read_result": ".result",
}

if not TYPE_CHECKING:  # or checkers would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
