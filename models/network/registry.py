"""Backbones by name. A backbone is one file in ``backbones/``; its name is the file's name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .backbone import Backbone
    from .generator import Generator
    from .widths import Widths

_BACKBONES = f"{__name__.rpartition('.')[0]}.backbones"


def backbone_names() -> tuple[str, ...]:
    """All backbones, from the file names alone, along the folder's ``__path__``; light."""
    folders = importlib.import_module(_BACKBONES).__path__
    return tuple(sorted(info.name for info in pkgutil.iter_modules(folders)))


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
    module = importlib.import_module(f"{_BACKBONES}.{name}")
    return cast("Backbone", module.BACKBONE)


def build_generator(
    backbone: str,
    *,
    decoder_norm: str = "batch",
    dead_features: bool = False,
    widths: Widths | None = None,
) -> Generator:
    """A generator with fresh random weights; see `generator.Generator`."""
    from .generator import Generator as GeneratorClass

    return GeneratorClass(
        get_backbone(backbone),
        decoder_norm=decoder_norm,
        dead_features=dead_features,
        widths=widths,
    )
