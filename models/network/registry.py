"""Networks by name: pyramids over a backbone, other networks, and those of other distributions.

A backbone is one file in ``backbones/``, another network one file in ``networks/``; the file's name
is its name. An installed distribution adds one by an entry point, see docs/ADDING.md.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import json
import pkgutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .widths import Widths, network_key, widths_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .backbone import Backbone
    from .generator import Generator
    from .network import Network
    from .pyramid import PyramidGenerator

_HERE = __name__.rpartition(".")[0]
_BACKBONES, _NETWORKS = f"{_HERE}.backbones", f"{_HERE}.networks"
ENTRY_POINTS = "edgedeblur.networks"


def backbone_names() -> tuple[str, ...]:
    """All that ``--backbone`` takes, from the names of files and entry points alone; light."""
    plugins = _entries(tuple(sys.path))
    return tuple(sorted({*pyramid_names(), *_files(_NETWORKS), *plugins}))


def pyramid_names() -> tuple[str, ...]:
    """The feature pyramid's backbones."""
    return _files(_BACKBONES)


def get_network(name: str) -> Network:
    """The network of that name.

    Raises:
        ValueError: unknown (the message lists the known and the nearest names), two of one name,
            or another distribution's that cannot be imported.
    """
    if name in pyramid_names():
        from .pyramid_network import pyramid_network

        return pyramid_network(_backbone(name))
    _check_known(name, backbone_names())
    plugin = _entries(tuple(sys.path)).get(name)
    if name in _files(_NETWORKS):
        if plugin is not None:
            raise ValueError(f"network {name!r} is taken; the plug-in {plugin[0]} needs another")
        return cast("Network", importlib.import_module(f"{_NETWORKS}.{name}").NETWORK)
    assert plugin is not None
    return _plugin(name, *plugin)


def networks() -> Iterator[Network]:
    """All of them; another distribution's that cannot be imported is left out, with a warning."""
    for name in backbone_names():
        try:
            yield get_network(name)
        except ValueError as error:
            sys.stderr.write(f"edgedeblur: warning: {error}\n")


def get_backbone(name: str) -> Backbone:
    """The pyramid's backbone of that name.

    Raises:
        ValueError: unknown; the message lists the known and the nearest names.
    """
    _check_known(name, pyramid_names())
    return _backbone(name)


def stored_network_key(backbone: str, network: str | None, widths: Mapping[str, Any] | None) -> str:
    """`Checkpoint.key` of the network that a manifest describes with these three fields.

    Raises:
        ValueError: an unknown backbone, or widths that do not fit it.
    """
    if widths is None or network == backbone:  # only a backbone at full width has its name
        return backbone
    default = get_network(backbone).widths
    if default is None:
        return backbone
    return network_key(backbone, widths_from_json(json.dumps(widths), default), default)


def build_generator(
    backbone: str,
    *,
    decoder_norm: str = "batch",
    dead_features: bool = False,
    widths: Widths | None = None,
) -> Generator:
    """A generator with fresh random weights.

    Args:
        backbone: The network's name.
        decoder_norm: ``batch`` or ``instance``; of no effect on networks without norms.
        dead_features: Also hold the layers that released files store and inference never touches.
        widths: The architecture record; None for the default.

    Raises:
        ValueError: unknown names, or a record that does not fit the network.
    """
    from .network import NO_NORM, Form

    network = get_network(backbone)
    if widths is not None and network.widths is None:
        raise ValueError(f"{backbone} has one form and takes no widths")
    norm = decoder_norm if network.norms else NO_NORM
    generator = network.build(Form(norm, dead_features, widths or network.widths))
    generator.backbone, generator.decoder_norm = network.name, norm
    return generator


def build_pyramid(
    backbone: str, *, decoder_norm: str = "batch", widths: Widths | None = None
) -> PyramidGenerator:
    """As `build_generator`, of a network that is known to be a pyramid."""
    generator = build_generator(backbone, decoder_norm=decoder_norm, widths=widths)
    return cast("PyramidGenerator", generator)


def _files(package: str) -> tuple[str, ...]:
    """Names of a folder's modules, along its ``__path__``."""
    folders = importlib.import_module(package).__path__
    return tuple(sorted(info.name for info in pkgutil.iter_modules(folders)))


def _backbone(name: str) -> Backbone:
    return cast("Backbone", importlib.import_module(f"{_BACKBONES}.{name}").BACKBONE)


def _check_known(name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown backbone {name!r}{hint} Known: {', '.join(names)}")


@functools.cache
def _entries(search_path: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Name -> (distribution and version, module) of each entry point on the search path."""
    del search_path  # the key alone: what is installed is what lies on it
    found: dict[str, tuple[str, str]] = {}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        owner = entry.dist
        who = "?" if owner is None else f"{owner.metadata['Name']} {owner.version}"
        found[entry.name] = (who, entry.module)
    return found


def _plugin(name: str, distribution: str, module: str) -> Network:
    try:
        network = importlib.import_module(module).NETWORK
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"network {name!r} of the plug-in {distribution} cannot be imported ({reason}); update "
            "or uninstall it"
        ) from error
    if network.name != name:
        raise ValueError(
            f"the plug-in {distribution} calls its network {network.name!r}, and its entry point "
            f"{name!r}; use one name"
        )
    return cast("Network", network)
