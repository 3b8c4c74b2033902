"""Backbones by name. A backbone is one file in ``backbones/``; its name is the file's name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .backbone import Backbone
    from .generator import Generator


def backbone_names() -> tuple[str, ...]:
    """All backbones, from the file names alone (imports nothing heavy)."""
    folder = Path(__file__).parent / "backbones"
    return tuple(sorted(info.name for info in pkgutil.iter_modules([str(folder)])))


def get_backbone(name: str) -> Backbone:
    """The backbone of that name.

    Raises:
        ValueError: unknown; the message lists the known and the nearest names.
    """
    names = backbone_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown backbone {name!r}{hint} Known: {', '.join(names)}")
    package = __name__.rpartition(".")[0]
    module = importlib.import_module(f"{package}.backbones.{name}")
    return cast("Backbone", module.BACKBONE)


def build_generator(
    backbone: str, *, decoder_norm: str = "batch", dead_features: bool = False
) -> Generator:
    """A generator with fresh random weights; see `generator.Generator`."""
    from .generator import Generator as GeneratorClass

    return GeneratorClass(
        get_backbone(backbone), decoder_norm=decoder_norm, dead_features=dead_features
    )
