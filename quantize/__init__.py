"""Quantisation: recipes, calibration, sensitivity and quantisation-aware training.

``docs/API.md`` shows how these names are used. Each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calibration import CalibrationSet, calibration_set
    from .recipe import Recipe, default_recipe, read_recipe

__all__ = [
    "CalibrationSet",
    "Recipe",
    "calibration_set",
    "default_recipe",
    "read_recipe",
]

_HOMES = {
    "CalibrationSet": ".calibration",
    "Recipe": ".recipe",
    "calibration_set": ".calibration",
    "default_recipe": ".recipe",
    "read_recipe": ".recipe",
}

if not TYPE_CHECKING:  # or checkers would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
