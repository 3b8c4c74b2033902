"""Output of ``deblur-export``: the target list, an artifact's summary, the tuning table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtimes.command_line.console import DONE, console, print_json
from ..runtimes.discovery.entry_points import DuplicateNameError
from ..runtimes.optional import available
from ..runtimes.registry import runtime_for
from .registry import Target, targets

if TYPE_CHECKING:
    from ..runtimes.artifact import Manifest, TensorSpec
    from .rewrites.tune import TimedCandidate

_NO_RUNNER = "no runner opens"


def list_targets(*, as_json: bool) -> int:
    """Print each target's packages, and whether it builds and runs on this machine."""
    rows = [_target_row(target) for target in targets().values()]
    if as_json:
        print_json(rows)
    else:
        _print_targets(rows)
    return DONE


def _target_row(target: Target) -> dict[str, Any]:
    """A row of ``--list --json``; ``missing`` joins the missing build and run modules."""
    lacks = {
        "build": [module for module in target.build_modules if not available(module)],
        "run": [module for module in target.run_modules if not available(module)],
    }
    reason = _cannot_run(target)
    return {
        "target": target.name,
        "file": target.suffix,
        "about": target.about,
        "tolerance_psnr_db": target.tolerance_psnr_db,
        "extra": target.extra,
        "run_extra": target.run_extra,
        "build_needs": list(target.build_modules),
        "run_needs": list(target.run_modules),
        "builds_here": not lacks["build"],
        "runs_here": not lacks["run"] and reason is None,
        "cannot_run": reason,
        "missing": list(dict.fromkeys((*lacks["build"], *lacks["run"]))),
    }


def _cannot_run(target: Target) -> str | None:
    """Why this machine cannot run the target's artifacts, packages aside; None if it can."""
    try:
        runner = runtime_for(Path(f"net{target.suffix}")).runner
    except DuplicateNameError:
        raise
    except ValueError:  # a target of another distribution whose runner is not there
        return f"{_NO_RUNNER} {target.suffix} files"
    reason = runner.cannot_run()
    if reason is None and runner.emulated:
        return "its runtime does not exist on this system; it is emulated"
    return reason


def _print_targets(rows: Sequence[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Targets", title_justify="left")
    headings = (
        "target", "file", "what it is", "gate (PSNR to PyTorch)", "needs", "builds here",
        "runs here",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        cells = (
            row["target"], row["file"], row["about"], f">= {row['tolerance_psnr_db']:g} dB",
            ", ".join(dict.fromkeys((*row["build_needs"], *row["run_needs"]))),
            "yes" if row["builds_here"] else "no", "yes" if row["runs_here"] else "no",
        )  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells))
    shown = console()
    shown.print(table)
    for row in rows:
        if row["missing"]:
            shown.print(
                f"{row['target']}: missing {', '.join(row['missing'])}; to export: "
                f"pip install 'edgedeblur[{row['extra']}]'; only to run: "
                f"pip install 'edgedeblur[{row['run_extra']}]'",
                markup=False,
            )
        elif (row["cannot_run"] or "").startswith(_NO_RUNNER):
            shown.print(f"{row['target']}: {row['cannot_run']}; install one", markup=False)
        elif row["cannot_run"]:
            shown.print(
                f"{row['target']}: cannot run here ({row['cannot_run']}); artifacts are verified "
                "with a stand-in, which the manifest names",
                markup=False,
            )
    shown.print("deblur-export needs both: it runs every artifact it builds.")


def list_operators(path: Path, *, as_json: bool) -> int:
    """Print a .tflite file's operators, and which delegates support them.

    Raises:
        OSError, ValueError: not a readable TFLite file.
    """
    from rich.table import Table

    from .to_tflite.delegates import DELEGATES, check_operators, summary

    checks = check_operators(path)
    if as_json:
        print_json([vars(check) for check in checks])
        return DONE
    table = Table(title=f"{path.name}: {len(checks)} operators", title_justify="left")
    for heading in ("operator", "writes", "shape", "type", *DELEGATES):
        table.add_column(heading)
    for check in checks:
        takers = (check.refused.get(delegate, "yes") for delegate in DELEGATES)
        shape = "x".join(map(str, check.shape))
        table.add_row(check.kind, check.name, shape, check.dtype, *takers)
    console().print(table)
    console().print(summary(checks), markup=False)
    return DONE


def print_summary(output: Path, manifest: Manifest, notes: Sequence[str] = ()) -> None:
    """Print what was built and how close it is to PyTorch, and ``notes`` below."""
    parity = manifest.parity
    assert parity is not None
    rows = {
        "artifact": f"{output} ({manifest.bytes / 1e6:.2f} MB) and {output.name}.json",
        "input": _tensor_text(manifest.input),
        "output": _tensor_text(manifest.output),
        "norms": manifest.norm,
        "arithmetic": f"{_gigamacs(manifest.macs)} GMACs (convolutions only) at "
        f"{_size_text(manifest.macs_size)}, {manifest.params / 1e6:.2f} M parameters",
        "rewrites": ", ".join(manifest.rewrites) or "none",
        "against PyTorch": ("emulated: " if parity.emulated else "")
        + f"PSNR {format_db(parity.psnr_db)} (worst {format_db(parity.worst_psnr_db)}), "
        f"SSIM {parity.ssim:.6f}, residual SNR {format_db(parity.residual_snr_db)}, largest "
        f"difference {parity.max_abs:.2g} on {parity.pictures} samples",
        "ran on": f"{parity.ran_on} ({parity.note})" if parity.note else parity.ran_on,
    }
    if manifest.engine is not None:
        engine = manifest.engine
        rows["engine"] = (
            f"built by {engine['builder']} in {engine['build_s']:.1f} s for {engine['gpu']}"
        )
    if manifest.freezing_psnr_db is not None:
        rows["freezing"] = (
            f"these weights were trained with live norms; freezing them changed the PyTorch "
            f"output to {format_db(manifest.freezing_psnr_db)} PSNR of the live one. Use "
            "--norm live for the reference behaviour, or re-estimate and fine-tune first"
        )
    rows |= _quantised_rows(manifest)
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for key, value in rows.items():
        table.add_row(f"[bold]{key}[/bold]", value.replace("[", "\\["))
    console().print(table)
    for note in notes:
        console().print(note, markup=False, soft_wrap=True)


def _quantised_rows(manifest: Manifest) -> dict[str, str]:
    cost, calibration = manifest.quantisation, manifest.calibration
    if cost is None:
        return {}
    recipe, stability = cost.recipe, cost.stability_db
    kept = ", ".join(recipe["keep"]) or "nothing"
    rows = {"recipe": f"{recipe['name']}, in float: {kept}"}
    if calibration is not None:
        apart = "not checked (one picture)" if stability is None else f"{stability:.3f} dB apart"
        rows["recipe"] += f", ranges by {recipe['observer']}"
        rows["calibrated on"] = (
            f"{calibration.images} crops of {calibration.origin}; its two halves: {apart}"
        )
    return rows | {
        "against sharp": f"PSNR {-cost.psnr_drop_db:+.3f} dB ({cost.max_drop_db:g} dB loss "
        f"allowed), SSIM {-cost.ssim_drop:+.5f}, worst {cost.worst_picture} "
        f"{-cost.worst_drop_db:+.3f} dB, on {cost.pictures} samples; against the float network: "
        f"PSNR {format_db(cost.psnr_to_float_db)}, residual SNR {format_db(cost.residual_snr_db)}",
    }


def _tensor_text(spec: TensorSpec) -> str:
    low, high = spec.value_range
    return (
        f"{spec.name} {list(spec.shape)} {spec.dtype}, {spec.layout}, {spec.colour} in "
        f"[{low:g}, {high:g}]"
    )


def _gigamacs(value: int | None) -> str:
    return "?" if value is None else f"{value / 1e9:.2f}"


def _size_text(size: tuple[int, int] | None) -> str:
    return "?" if size is None else f"{size[0]}x{size[1]}"


def format_db(value: float) -> str:
    """``83.20 dB``, or ``identical``."""
    return "identical" if value == math.inf else f"{value:.2f} dB"


def print_tuning(
    key: str, measured: Sequence[TimedCandidate], chosen: TimedCandidate, table: Path
) -> None:
    """Tell a person what was fastest."""
    from rich.table import Table

    shown = Table(
        title=f"{key}: milliseconds, interleaved runs on this machine", title_justify="left"
    )
    shown.add_column("rewrite", overflow="fold")
    drops = any(m.psnr_drop_db is not None for m in measured)
    headings = (
        "median",
        "quartile",
        "fastest",
        "x none",
        *(("dB lost", "residual SNR dB") if drops else ()),
    )
    for heading in headings:
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
            *(
                ()
                if m.psnr_drop_db is None
                else (f"{m.psnr_drop_db:.4f}", f"{m.residual_snr_db:.2f}")
            ),
        )
    console().print(shown)
    console().print(f"* saved in {table}, which --rewrite auto reads", markup=False)
