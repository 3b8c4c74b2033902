"""The DeblurGAN-v2 generators in PyTorch: network, norms, checkpoints, data, shipped weights.

``docs/API.md`` shows how these names are used. Each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checkpoints.checkpoint import Checkpoint, generator_from, load_checkpoint, save_checkpoint
    from .network.generator import Generator
    from .network.registry import backbone_names, build_generator

__all__ = [
    "Checkpoint",
    "Generator",
    "backbone_names",
    "build_generator",
    "generator_from",
    "load_checkpoint",
    "save_checkpoint",
]

_HOMES = {
    "Checkpoint": ".checkpoints.checkpoint",
    "Generator": ".network.generator",
    "backbone_names": ".network.registry",
    "build_generator": ".network.registry",
    "generator_from": ".checkpoints.checkpoint",
    "load_checkpoint": ".checkpoints.checkpoint",
    "save_checkpoint": ".checkpoints.checkpoint",
}

if not TYPE_CHECKING:  # or checkers would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
