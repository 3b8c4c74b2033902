"""Command ``deblur-export``: a checkpoint becomes an artifact with a manifest."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..models.registry import backbone_names, get_backbone
from ..runtimes.console import DONE, console, print_json, progress_bar, run_command
from .registry import Target, get_target, targets

if TYPE_CHECKING:
    from ..runtimes.artifact import Manifest

MULTIPLE = 32
DEFAULT_SIZE = (736, 1280)  # 720p, padded
MAX_SIDE = 8192


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv)


def build_parser() -> argparse.ArgumentParser:
    """All options; the choices come from the registries."""
    parser = argparse.ArgumentParser(
        prog="deblur-export",
        description="Convert a DeblurGAN-v2 checkpoint, run the result and compare it with "
        "PyTorch. The artifact and its manifest (<artifact>.json) appear only if they agree.",
    )
    add = parser.add_argument
    add("--target", type=_target, metavar="TARGET", help=f"one of: {', '.join(targets())}")
    add("--backbone", type=_backbone, metavar="NAME", help=f"one of: {', '.join(backbone_names())}")
    add(
        "--checkpoint",
        metavar="FILE|released",
        help="weights (.safetensors, .h5, .pth); 'released' downloads DeblurGAN-v2's "
        "fpn_mobilenet.h5; default: the one shipped for the backbone",
    )
    add(
        "--size",
        type=parse_size,
        default=None,
        metavar="HxW",
        help="height x width in pixels, multiples of 32 (default 736x1280, a padded 720p frame)",
    )
    add("--dynamic", action="store_true", help="leave height and width free (multiples of 32)")
    add(
        "--norm",
        choices=("frozen", "live"),
        help="running statistics, folded; or each picture's own (as the reference code infers). "
        "Default: what the checkpoint was trained for",
    )
    add(
        "-o",
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR|FILE",
        help="where to (default: this folder, <backbone>_<target>_<size>)",
    )
    add(
        "--threads",
        type=_threads,
        default=0,
        metavar="N",
        help="CPU threads for the comparison (default: all)",
    )
    add("--force", action="store_true", help="replace an existing artifact")
    add("--list", action="store_true", help="show the targets and whether they work here")
    add("--json", action="store_true", help="machine-readable output")
    return parser


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    if arguments.list:
        return list_targets(as_json=arguments.json)
    if arguments.target is None:
        build_parser().error("--target is required (deblur-export --list shows them)")
    if arguments.backbone is None and arguments.checkpoint is None:
        build_parser().error("--backbone is required unless --checkpoint FILE tells it")
    return export(arguments)


def export(arguments: argparse.Namespace) -> int:
    """Load, produce, report."""
    from ..models.checkpoint import load_checkpoint
    from ..models.sources import default_source, resolve_source
    from ..runtimes.base import usable_cores
    from ..runtimes.optional import require
    from .graph import ExportSpec
    from .produce import produce

    target: Target = arguments.target
    threads: int = arguments.threads or usable_cores()
    require("torch").set_num_threads(threads)
    source = arguments.checkpoint or default_source(arguments.backbone)
    remarks = console(stderr=True)
    with progress_bar(f"fetching {source}", enabled=source == "released") as progress:
        resolve_source(source, progress=progress)
    checkpoint = load_checkpoint(source, backbone=arguments.backbone)
    spec = ExportSpec(target.name, arguments.size or DEFAULT_SIZE, dynamic=arguments.dynamic)
    output = output_path(
        arguments.output, target, checkpoint.backbone, spec.size, dynamic=spec.dynamic
    )
    with remarks.status("starting") as status:
        manifest = produce(
            target,
            checkpoint,
            spec,
            output,
            norm=arguments.norm or checkpoint.norm,
            force=arguments.force,
            threads=threads,
            say=status.update,
        )
    if arguments.json:
        print_json({"artifact": str(output), "manifest": manifest.to_dict()})
    else:
        _print_summary(output, manifest)
    return DONE


def output_path(
    wanted: Path, target: Target, backbone: str, size: tuple[int, int], *, dynamic: bool
) -> Path:
    """The artifact's path: as given if it ends in the target's suffix, else a name in that folder.

    Raises:
        ValueError: a file name with another ending.
    """
    if wanted.suffix == target.suffix and not wanted.is_dir():
        return wanted
    if wanted.suffix and not wanted.is_dir():
        raise ValueError(
            f"{wanted}: {target.name} writes {target.suffix} files; "
            "change the ending or give an existing folder"
        )
    shape = "dynamic" if dynamic else f"{size[0]}x{size[1]}"
    return wanted / f"{backbone}_{target.name}_{shape}{target.suffix}"


def list_targets(*, as_json: bool) -> int:
    """Print what can be built and run on this machine."""
    rows = [
        {
            "target": t.name,
            "file": t.suffix,
            "about": t.about,
            "tolerance_psnr_db": t.tolerance_psnr_db,
            "extra": t.extra,
            "needs": list(dict.fromkeys((*t.build_modules, *t.run_modules))),
            "missing": list(t.missing()),
            "works_here": not t.missing(),
        }
        for t in targets().values()
    ]
    if as_json:
        print_json(rows)
        return DONE
    from rich.table import Table

    table = Table(title="Targets")
    for heading in ("target", "file", "what it is", "gate (PSNR to PyTorch)", "here"):
        table.add_column(heading)
    for t in targets().values():
        missing = t.missing()
        here = "builds and runs"
        if missing:
            here = f"missing {', '.join(missing)}: pip install 'edgedeblur\\[{t.extra}]'"
        table.add_row(t.name, t.suffix, t.about, f">= {t.tolerance_psnr_db:g} dB", here)
    console().print(table)
    return DONE


def parse_size(text: str) -> tuple[int, int]:
    """``736x1280`` -> (736, 1280): height, width.

    Raises:
        argparse.ArgumentTypeError: not that form, not multiples of 32, zero, or too large.
    """
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, for example 736x1280")
    height, width = int(match[1]), int(match[2])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise argparse.ArgumentTypeError(f"{text}: sides go from {MULTIPLE} to {MAX_SIDE} pixels")
    if height % MULTIPLE or width % MULTIPLE:
        up = "x".join(str(-(-side // MULTIPLE) * MULTIPLE) for side in (height, width))
        raise argparse.ArgumentTypeError(
            f"{text}: both sides must be multiples of {MULTIPLE}; the next larger is {up}"
        )
    return height, width


def _print_summary(output: Path, manifest: Manifest) -> None:
    parity = manifest.parity
    assert parity is not None
    rows = {
        "artifact": f"{output} ({manifest.bytes / 1e6:.2f} MB) and {output.name}.json",
        "input": f"{manifest.input.name} {list(manifest.input.shape)} {manifest.input.dtype}, RGB "
        "in [-1, 1]",
        "norms": manifest.norm,
        "arithmetic": f"{_billions(manifest.macs)} GMACs (convolutions only) at "
        f"{_size(manifest.macs_size)}, {manifest.params / 1e6:.2f} M parameters",
        "against PyTorch": f"PSNR {_db(parity.psnr_db)} (worst {_db(parity.worst_psnr_db)}), "
        f"SSIM {parity.ssim:.6f}, residual SNR {_db(parity.residual_snr_db)}, largest "
        f"difference {parity.max_abs:.2g} on {parity.pictures} samples",
        "ran on": parity.ran_on,
    }
    if manifest.freezing_psnr_db is not None:
        rows["freezing"] = (
            f"these weights were trained with live norms; freezing them changed the PyTorch "
            f"output to {_db(manifest.freezing_psnr_db)} PSNR of the live one. Use --norm live "
            "for the reference behaviour, or re-estimate and fine-tune first"
        )
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for key, value in rows.items():
        table.add_row(f"[bold]{key}[/bold]", value.replace("[", "\\["))
    console().print(table)


def _billions(value: int | None) -> str:
    return "?" if value is None else f"{value / 1e9:.2f}"


def _size(size: tuple[int, int] | None) -> str:
    return "?" if size is None else f"{size[0]}x{size[1]}"


def _db(value: float) -> str:
    return "identical" if value == math.inf else f"{value:.2f} dB"


def _target(text: str) -> Target:
    try:
        return get_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _backbone(text: str) -> str:
    # A known name needs no import; get_backbone (which imports torch) words the error.
    if text in backbone_names():
        return text
    try:
        return get_backbone(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _threads(text: str) -> int:
    if not text.isdigit() or int(text) > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads (0 means all)")
    return int(text)
