"""The text in a ``.safetensors`` header: which network the tensors belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..network.registry import backbone_names, get_network
from ..network.widths import Widths, widths_from_json
from .files import shown

if TYPE_CHECKING:
    from ..network.generator import Generator


def widths_header(generator: Generator) -> dict[str, str]:
    """Only for compressed networks, so that files of the published ones stay as they were."""
    record = generator.record
    if record is None or record == get_network(generator.backbone).widths:
        return {}
    return {"widths": record.to_json()}


def stored_widths(metadata: Mapping[str, str], backbone: str, path: Path) -> Widths | None:
    """The header's record; ValueError for one that does not fit, and for a misleading name."""
    default = get_network(backbone).widths
    try:
        stored = metadata.get("widths")
        widths = default if stored is None or default is None else widths_from_json(stored, default)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; use another checkpoint") from error
    name = metadata.get("network", "default")
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,60}", name):
        raise ValueError(f"{path}: its header names the network {shown(name, 40)!r}; a name is of "
                         "lower-case letters, digits, _ and -")  # fmt: skip
    if name in backbone_names() and (name != backbone or widths != default):
        raise ValueError(f"{path}: its header names the network {name!r}, which it is not")
    return widths


def check_header(
    metadata: Mapping[str, str], found: Mapping[str, str], norm: str, path: Path
) -> None:
    """Check that the header agrees with ``found``, which comes from the tensors' names."""
    from ..network.norm import NORM_MODES

    for key, actual in found.items():
        stated = metadata.get(key, actual)
        if stated != actual:
            raise ValueError(
                f"{path}: its header says {key} {shown(stated, 40)!r}, but its tensors are those "
                f"of {actual!r}; save it again with the right header"
            )
    if norm not in NORM_MODES:
        raise ValueError(
            f"{path}: its header says norm {shown(norm, 40)!r}, which is neither "
            f"{' nor '.join(map(repr, NORM_MODES))}; save it again with the mode it was trained for"
        )
