"""Command ``deblur-data``: makes data sets; every sub-command is one module of this folder."""

from __future__ import annotations

import argparse

from ...runtimes.command_line.common_options import add_common_options
from ...runtimes.command_line.console import run_command
from . import restore, video

# Each has `add_parser`, which sets ``run`` to what does the work.
COMMANDS = (restore, video)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    return run_command(build_parser(), work, argv, extra="train")


def build_parser() -> argparse.ArgumentParser:
    """All sub-commands."""
    parser = argparse.ArgumentParser(
        prog="deblur-data",
        description="Make pairs of blurry and sharp pictures to train or to measure on.",
    )
    add_common_options(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser


def work(arguments: argparse.Namespace) -> int:
    """Run the chosen sub-command."""
    return arguments.run(arguments)
