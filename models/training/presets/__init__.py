"""Shipped settings of ``deblur-train``: one TOML file each, named after what it is for."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def preset_names() -> tuple[str, ...]:
    """All shipped presets."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
