"""The options of every command: ``--version``, ``--print-completion``, and who completes what."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..optional import require, version_of

# What `argparse.ArgumentParser.add_argument_group` gives, which argparse itself does not name.
Group = argparse._ArgumentGroup  # pyright: ignore[reportPrivateUsage]
SHELLS = ("bash", "zsh", "tcsh")


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command has besides ``--help``."""
    add = parser.add_argument
    nothing = argparse.SUPPRESS  # neither leaves a value behind
    add("--version", action=_Version, nargs=0, default=nothing, help="show the version and exit")
    add(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        default=nothing,
        help="print a script that completes this command in a shell, and exit",
    )


def completed_by(action: argparse.Action, words: Iterable[str]) -> None:
    """Offer these words for an option whose ``type``, and not ``choices``, says what it takes."""
    setattr(action, "words", tuple(words))  # noqa: B010 - argparse's class does not know it


class _Version(argparse.Action):
    """As argparse's own, but the version is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"{parser.prog} {version_of('edgedeblur') or '(not installed)'}\n")
        parser.exit()


class _PrintCompletion(argparse.Action):
    """Prints what `shtab` makes of the parser."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: object, values: object, *_: object
    ) -> None:
        shtab = require("shtab")
        checked = {action: action.choices for action in _actions(parser)}
        for action in checked:
            words = getattr(action, "words", None)
            if words:
                action.choices = words  # for shtab alone: parsing would compare values with them
            elif kind := _kind_of_path(action):
                setattr(action, "complete", getattr(shtab, kind))  # noqa: B010 - shtab reads it
        sys.stdout.write(shtab.complete(parser, shell=values) + "\n")
        for action, choices in checked.items():
            action.choices = choices
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All options, those of sub-commands too."""
    for action in parser._actions:  # pyright: ignore[reportPrivateUsage] - there is no public list
        yield action
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                yield from _actions(inner)


def _kind_of_path(action: argparse.Action) -> str:
    """``FILE`` or ``DIRECTORY`` as shtab names what completes an option; empty for no path."""
    shown = action.metavar if isinstance(action.metavar, str) else action.dest
    if shown.partition("[")[0] in ("DIR", "ROOT"):
        return "DIRECTORY"
    words = ("FILE", "CHECKPOINT", "OUT", "input", "artifact")
    return "FILE" if action.type is Path or any(word in shown for word in words) else ""
