"""Options that belong to a format: gathered from the targets, checked against the chosen one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from .registry import Option, Target, targets


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """Add every target's own options; a flag that several share takes all their choices."""
    for flag, (owners, options) in sorted(_by_flag(targets().values()).items()):
        first = options[0]
        text = f"{', '.join(owners)}: {first.help}"
        if first.parse is bool:
            parser.add_argument(flag, action="store_const", const=True, default=None, help=text)
            continue
        words = list(dict.fromkeys(word for option in options for word in option.choices))
        parser.add_argument(
            flag,
            type=first.parse,
            choices=words or None,
            metavar=first.metavar or ("|".join(words) if words else None),
            default=None,
            help=text,
        )


def option_values(target: Target, arguments: argparse.Namespace) -> dict[str, Any]:
    """The target's options by `Option.key`: what was given, else the defaults.

    Raises:
        ValueError: a word that another format has, but not this one.
    """
    values: dict[str, Any] = {}
    for option in target.options:
        given = getattr(arguments, option.key, None)
        if given is not None and option.choices and given not in option.choices:
            raise ValueError(
                f"{target.name} has no {option.flag} {given}; known: {', '.join(option.choices)}"
            )
        values[option.key] = option.default if given is None else given
    return values


def unused_flags(chosen: Iterable[Target], arguments: argparse.Namespace) -> list[str]:
    """Format options that were given although none of the chosen targets has them."""
    had = {option.flag for target in chosen for option in target.options}
    return [
        flag
        for flag, (_, options) in sorted(_by_flag(targets().values()).items())
        if flag not in had and getattr(arguments, options[0].key, None) is not None
    ]


def _by_flag(known: Iterable[Target]) -> dict[str, tuple[list[str], list[Option]]]:
    """Flag -> the formats that have it, and their options."""
    found: dict[str, tuple[list[str], list[Option]]] = {}
    for target in known:
        for option in target.options:
            formats, options = found.setdefault(option.flag, ([], []))
            if target.format not in formats:
                formats.append(target.format)
            options.append(option)
    return found
