"""Modules of other distributions that register targets or runners, found by entry point.

An entry names a module, and importing that module registers. In such a distribution's
``pyproject.toml``::

    [project.entry-points."edgedeblur.targets"]
    example = "example_deblur.target"
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import sys
from typing import Any

TARGETS, RUNNERS = "edgedeblur.targets", "edgedeblur.runners"


class DuplicateNameError(ValueError):
    """Two modules register the same name; the message says which."""


def import_entry_points(group: str, registered: dict[str, Any]) -> None:
    """Import what installed distributions have under ``group``; each module is tried once.

    A module that fails leaves nothing in ``registered``. One line on standard error names its
    distribution, and the rest goes on.

    Raises:
        DuplicateNameError: a module registers a name that is taken; the message names its
            distribution as well.
    """
    for distribution, module in _entries(group, tuple(sys.path)):
        before = dict(registered)
        try:
            failure = _import(distribution, module)
        except DuplicateNameError as error:
            _restore(registered, before)
            raise DuplicateNameError(f"plug-in {distribution}: {error}") from error
        if failure is not None:
            _restore(registered, before)


def _restore(registered: dict[str, Any], before: dict[str, Any]) -> None:
    registered.clear()
    registered.update(before)


@functools.cache
def _entries(group: str, search_path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(distribution and version, module) of each entry; looked up once per search path."""
    del search_path  # the key alone: what is installed is what lies on it
    found: list[tuple[str, str]] = []
    for entry in importlib.metadata.entry_points(group=group):
        owner = entry.dist
        name = "?" if owner is None else f"{owner.metadata['Name']} {owner.version}"
        found.append((name, entry.module))
    return tuple(sorted(found))


@functools.cache
def _import(distribution: str, module: str) -> str | None:
    """Import a module once; what went wrong, after a warning, or None."""
    try:
        importlib.import_module(module)
    except DuplicateNameError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever other people's code raises is reported
        failure = " ".join(f"{type(error).__name__}: {error}".split())
        sys.stderr.write(
            f"edgedeblur: warning: plug-in {distribution} is left out: {module} cannot be imported "
            f"({failure}); update or uninstall it\n"
        )
        return failure
    return None
