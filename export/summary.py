"""What ``deblur-export`` prints: the targets, an artifact's summary, a tuning table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtimes.console import DONE, console, print_json
from .registry import targets

if TYPE_CHECKING:
    from ..runtimes.artifact import Manifest
    from .tune import Measured


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


def print_summary(output: Path, manifest: Manifest) -> None:
    """Tell a person what was built and how close it is to PyTorch."""
    parity = manifest.parity
    assert parity is not None
    rows = {
        "artifact": f"{output} ({manifest.bytes / 1e6:.2f} MB) and {output.name}.json",
        "input": f"{manifest.input.name} {list(manifest.input.shape)} {manifest.input.dtype}, RGB "
        "in [-1, 1]",
        "norms": manifest.norm,
        "arithmetic": f"{_billions(manifest.macs)} GMACs (convolutions only) at "
        f"{_size(manifest.macs_size)}, {manifest.params / 1e6:.2f} M parameters",
        "rewrites": ", ".join(manifest.rewrites) or "none",
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


def print_tuning(key: str, measured: Sequence[Measured], chosen: Measured, table: Path) -> None:
    """Tell a person what was fastest."""
    from rich.table import Table

    shown = Table(title=f"{key}: milliseconds, in turns on this machine", title_justify="left")
    shown.add_column("rewrite", overflow="fold")
    for heading in ("median", "quartile", "fastest", "x none"):
        shown.add_column(heading, justify="right")
    stock = next(m for m in measured if m.rewrite == "none")
    for m in measured:
        mark = "* " if m is chosen else ""
        shown.add_row(
            f"{mark}{m.rewrite}",
            f"{m.median_ms:.1f}",
            f"{m.quartile_ms:.1f}",
            f"{m.fastest_ms:.1f}",
            f"{stock.quartile_ms / m.quartile_ms:.3f}",
        )
    console().print(shown)
    console().print(f"* goes into {table}, which --rewrite auto reads", markup=False)
