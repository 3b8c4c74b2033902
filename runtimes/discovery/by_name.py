"""Modules whose name says what they are: ``to_<x>``, ``run_<x>``, or every module of a folder.

The search goes along a package's ``__path__``, so a folder that is appended to it counts as well.
"""

from __future__ import annotations

import importlib
import pkgutil


def import_matching(package: str, prefix: str, inner: str) -> None:
    """Import ``<package>.<prefix>*``, and of those that are packages the module ``inner``.

    Args:
        package: Full name of the package to search, which is imported.
        prefix: How the names begin: ``to_``.
        inner: What registers in a package: ``target`` for ``to_<x>/target.py``.

    Raises:
        ImportError: one of the modules cannot be imported; the others may not have been.
    """
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.name.startswith(prefix):
            module = f"{info.name}.{inner}" if info.ispkg else info.name
            importlib.import_module(f"{package}.{module}")
