"""Turns a checkpoint into an artifact with a manifest, and proves that the two agree.

``docs/API.md`` shows how these names are used. Each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import Exported, export
    from .build import Settings
    from .registry import Target, get_target, targets
    from .verify import ParityError

__all__ = [
    "Exported",
    "ParityError",
    "Settings",
    "Target",
    "export",
    "get_target",
    "targets",
]

_HOMES = {
    "Exported": ".api",
    "ParityError": ".verify",
    "Settings": ".build",
    "Target": ".registry",
    "export": ".api",
    "get_target": ".registry",
    "targets": ".registry",
}

if not TYPE_CHECKING:  # or checkers would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
