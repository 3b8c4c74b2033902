"""Imports optional SDKs; every missing package is reported the same way."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType


class MissingDependencyError(ImportError):
    """An optional package is not installed; the message has the pip command."""


def require(module: str, *, extra: str | None = None) -> ModuleType:
    """Import an optional module.

    Args:
        module: Import name, for example ``onnxruntime``.
        extra: The extra of edgedeblur that installs it; None if the base install does.

    Raises:
        MissingDependencyError: the module, or one it imports, cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = (
            f"{module} cannot be imported ({error}). Install it with: {install_command(extra)}"
        )
        raise MissingDependencyError(message) from error


def install_command(extra: str | None) -> str:
    """The pip command for an extra, from the package index and, in a checkout, from there."""
    if extra is None:
        return "pip install edgedeblur"
    command = f"pip install 'edgedeblur[{extra}]'"
    if (Path(__file__).resolve().parent.parent / "pyproject.toml").is_file():
        command += f", or in the checkout: pip install -e '.[{extra}]'"
    return command


# What the base install leaves out although modules of ours import it at their top.
_BROUGHT_BY = {"torch": "torch", "safetensors": "torch", "cv2": "bench", "tomli": "train"}


def missing_dependency(error: ModuleNotFoundError, extra: str | None) -> MissingDependencyError:
    """The error of a plain ``import``, as `require` words it.

    Args:
        error: What the import raised.
        extra: The extra for all that a command does; None takes the module's own.

    Raises:
        ModuleNotFoundError: ``error`` itself, if no extra brings the module: a fault of ours.
    """
    module = (error.name or "").partition(".")[0]
    if module not in _BROUGHT_BY:
        raise error
    command = install_command(extra or _BROUGHT_BY[module])
    return MissingDependencyError(f"{module} is not installed. Install it with: {command}")


def available(module: str) -> bool:
    """Whether the module can be imported; does not import it."""
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
