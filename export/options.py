"""Options that belong to a format: gathered from the targets, checked against the chosen one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from ..runtimes.command_line.common_options import Group
from .registry import Option, Target, targets

TITLES = {
    "coreml": "Core ML",
    "executorch": "ExecuTorch",
    "onnx": "ONNX",
    "openvino": "OpenVINO",
    "tflite": "TFLite",
    "trt": "TensorRT",
}


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """Add every target's own options, in one group for each format.

    A flag that several formats share takes all their choices and stands in a group of theirs.
    """
    groups: dict[str, Group] = {}
    flags = _by_flag(targets().values()).items()
    for flag, options in sorted(flags, key=lambda item: (len(item[1]) > 1, list(item[1]), item[0])):
        title = _listed(options)
        if title not in groups:
            groups[title] = parser.add_argument_group(f"{title} targets")
        _add_option(groups[title], flag, options)


def _add_option(group: Group, flag: str, options: Mapping[str, Option]) -> None:
    """One flag; help says what it means to each format where that differs."""
    first = next(iter(options.values()))
    owners: dict[str, list[str]] = {}
    for owner, option in options.items():
        owners.setdefault(option.help, []).append(owner)
    text = first.help
    if len(owners) > 1:
        text = "; ".join(f"{_listed(names)}: {help_}" for help_, names in owners.items())
    if first.parse is bool:
        group.add_argument(flag, action="store_const", const=True, default=None, help=text)
        return
    words = list(dict.fromkeys(word for option in options.values() for word in option.choices))
    group.add_argument(
        flag,
        type=first.parse,
        choices=words or None,
        metavar=first.metavar or ("|".join(words) if words else None),
        default=None,
        help=text,
    )


def _listed(formats: Iterable[str]) -> str:
    """``Core ML, TFLite and TensorRT``."""
    *others, last = (TITLES.get(name, name) for name in formats)
    return f"{', '.join(others)} and {last}" if others else last


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
    known = {option.flag: option.key for t in targets().values() for option in t.options}
    return [
        flag
        for flag, key in sorted(known.items())
        if flag not in had and getattr(arguments, key, None) is not None
    ]


def _by_flag(known: Iterable[Target]) -> dict[str, dict[str, Option]]:
    """Flag -> format -> the first of its options of that flag."""
    found: dict[str, dict[str, Option]] = {}
    for target in known:
        for option in target.options:
            found.setdefault(option.flag, {}).setdefault(target.format, option)
    return found
