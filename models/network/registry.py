"""Backbones by name. A backbone is one file in ``backbones/``; its name is the file's name."""

from __future__ import annotations

import difflib
import importlib
import json
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .widths import Widths, network_key, widths_from_json

if TYPE_CHECKING:
    from .backbone import Backbone
    from .generator import Generator

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


def stored_network_key(backbone: str, network: str | None, widths: Mapping[str, Any] | None) -> str:
    """`Checkpoint.key` of the network that a manifest describes with these three fields.

    Raises:
        ValueError: an unknown backbone, or widths that do not fit it.
    """
    if widths is None or network == backbone:  # only a backbone at full width has its name
        return backbone
    default = get_backbone(backbone).widths
    return network_key(backbone, widths_from_json(json.dumps(widths), default), default)


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
