"""The options of ``deblur-run --ray``."""

from __future__ import annotations

import argparse
import math

from ..command_line.common_options import Group
from .ray_session import LOCAL, check_address

# Option -> its value where it was not given.
DEFAULTS = {
    "actors": None,
    "gpus": None,
    "retries": None,
    "column": None,
    "name_column": None,
    "price": None,
}
DEFAULT_RETRIES = 3


def add_archive_options(group: Group) -> None:
    """Add ``--ray`` and what belongs to it."""
    add = group.add_argument
    add_ray_option(
        group,
        "deblur by many workers: of the Ray cluster at HOST:PORT or 'auto', or, without an "
        "address, of a local Ray that ends with the run. Inputs may also be .parquet files, "
        "WebDataset's .tar files and addresses such as s3://bucket/photos; so may the output "
        "folder. What is there already from the same artifact and settings is skipped",
    )
    add("--actors", type=_positive, metavar="N", help="workers (default: one a core)")
    add("--gpus", type=_share, metavar="N", help="GPUs of each worker, also a fraction")
    add(
        "--retries",
        type=_natural,
        metavar="N",
        help=f"tries of a read or write, or of a picture whose worker died, after the first "
        f"(default: {DEFAULT_RETRIES})",
    )
    add(
        "--column",
        metavar="NAME",
        help="column of .parquet files that holds the pictures' bytes (default: image)",
    )
    add("--name-column", metavar="NAME", help="column that holds the pictures' names")
    add(
        "--price",
        type=_price,
        metavar="P",
        help="what all machines cost an hour: adds the cost of a thousand pictures",
    )


def add_ray_option(group: Group, text: str) -> None:
    """Add ``--ray [ADDRESS]`` with this help text."""
    group.add_argument("--ray", nargs="?", const=LOCAL, type=_address, metavar="ADDRESS", help=text)


def given_without_ray(arguments: argparse.Namespace) -> str | None:
    """An option that needs ``--ray``, which is not there; None if there is no such option."""
    if arguments.ray is not None:
        return None
    given = [name for name, default in DEFAULTS.items() if getattr(arguments, name) != default]
    return f"--{given[0].replace('_', '-')}" if given else None


def _address(text: str) -> str:
    try:
        return check_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _natural(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _positive(text: str) -> int:
    number = _natural(text)
    if not number:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return number


def _share(text: str) -> float:
    """A fraction of a GPU, or a whole number of them: Ray splits no more than one."""
    share = _number(text)
    if share <= 0 or (share > 1 and share != int(share)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction of 1, nor a whole number")
    return share


def _price(text: str) -> float:
    price = _number(text)
    if price < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than nothing")
    return price


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number
