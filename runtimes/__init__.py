"""Opens exported artifacts and runs them on pictures: numpy plus one lazily imported SDK each.

``docs/API.md`` shows how these names are used. Each is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .artifact import Manifest, read_manifest
    from .base import Runner
    from .compare import psnr_db, ssim
    from .optional import MissingDependencyError
    from .pictures.metadata import Picture
    from .pictures.read import read_picture
    from .pictures.tile_plan import TilingOptions
    from .pictures.write import write_picture
    from .registry import check_artifact, open_runner

__all__ = [
    "Manifest",
    "MissingDependencyError",
    "Picture",
    "Runner",
    "TilingOptions",
    "check_artifact",
    "open_runner",
    "psnr_db",
    "read_manifest",
    "read_picture",
    "ssim",
    "write_picture",
]

_HOMES = {
    "Manifest": ".artifact",
    "MissingDependencyError": ".optional",
    "Picture": ".pictures.metadata",
    "Runner": ".base",
    "TilingOptions": ".pictures.tile_plan",
    "check_artifact": ".registry",
    "open_runner": ".registry",
    "psnr_db": ".compare",
    "read_manifest": ".artifact",
    "read_picture": ".pictures.read",
    "ssim": ".compare",
    "write_picture": ".pictures.write",
}

if not TYPE_CHECKING:  # or checkers would believe in every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
