"""``deblur-data restore``: pairs with the degradations of DeblurGAN-v2's section 4.7."""

from __future__ import annotations

import argparse
import dataclasses
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtimes.command_line.console import DONE, console, print_json

if TYPE_CHECKING:
    from ..data.restore import Restore

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]


def add_parser(commands: _Commands) -> None:
    """Add the sub-command's options."""
    parser = commands.add_parser(
        "restore",
        help="pairs with noise, JPEG and the traces of enlargement, the same ones each time",
        description="Write pairs as they are, and with each degradation of DeblurGAN-v2's "
        "section 4.7. What a picture gets depends on its name alone. deblur-bench --data OUT "
        "reports each kind.",
    )
    add = parser.add_argument
    add("source", type=Path, metavar="SRC", help="a data set of pairs, as of deblur-bench --data")
    add("--sharp", action="store_true",
        help="SRC is a folder of sharp pictures, which get a motion blur first")  # fmt: skip
    add("--split", default="test", metavar="NAME", help="split of the data set (default: test)")
    add("--subset", choices=("blur", "blur_gamma"), default="blur",
        help="blurry side of GOPRO_Large (default: blur)")  # fmt: skip
    add("--limit", type=_count, metavar="N", help="only the first N pictures")
    add("--set", dest="amounts", action="append", type=_amount, default=[], metavar="KEY=VALUE",
        help="change one amount, as jpeg_min_quality=30; repeat for more")  # fmt: skip
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="a new or empty folder")
    add("--json", action="store_true", help="print the numbers of pairs as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the set."""
    from ..data.registry import find_pairs
    from ..data.restore import blurred_pictures, write_restore_set

    if arguments.sharp:
        pairs = blurred_pictures(arguments.source)
    else:
        pairs = find_pairs(arguments.source, arguments.split, arguments.subset).pairs
    amounts = _amounts(dict(arguments.amounts))
    written = write_restore_set(islice(pairs, arguments.limit), arguments.output, amounts)
    if arguments.json:
        print_json(written)
    else:
        numbers = ", ".join(f"{kind} {count}" for kind, count in written.items())
        console().print(f"{arguments.output}: {numbers} pairs", markup=False)
    return DONE


def _amounts(given: dict[str, float]) -> Restore:
    from ..data.restore import Restore

    plain: dict[str, Any] = dataclasses.asdict(Restore())
    known = [name for name in plain if not name.endswith("_share")]
    for name in given:
        if name not in known:
            raise ValueError(f"--set {name}: no such amount; there are {', '.join(known)}")
    values: dict[str, Any] = {name: type(plain[name])(value) for name, value in given.items()}
    return Restore(**values)


def _amount(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=NUMBER") from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return int(text)
