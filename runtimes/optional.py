"""The one way to import an optional SDK, so that every missing package is reported alike."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from types import ModuleType


class MissingDependencyError(ImportError):
    """An optional package is not installed; the message says what to type."""


def require(module: str, *, extra: str | None = None) -> ModuleType:
    """Import an optional module.

    Args:
        module: Import name, for example ``onnxruntime``.
        extra: The extra of this package that brings it; None if the base install does.

    Raises:
        MissingDependencyError: The module, or something it needs, cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wanted = f"'edgedeblur[{extra}]'" if extra else "edgedeblur"
        message = f"{module} cannot be imported ({error}). Install it with: pip install {wanted}"
        raise MissingDependencyError(message) from error


def available(module: str) -> bool:
    """Whether the module could be imported, found out without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, or None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
