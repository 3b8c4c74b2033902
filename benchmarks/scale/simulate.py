"""Simulates archives and services of a thousand workers from measured times.

    python -m edgedeblur.benchmarks.scale.simulate [--workers N] [--pictures N] [--json]

Nothing here is a measurement of a thousand workers: the times of pictures are measured, and the
shares of slow and lost machines are assumptions, which the table names.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from ...runtimes.command_line.console import DONE, console, print_json, progress_bar, run_command
from .archive_model import Archive, simulate_archive
from .burst_model import Service, simulate_service
from .parameters import MEASURED, Measured, read_measured

# Assumptions: none of these was measured.
ARCHIVES: dict[str, dict[str, Any]] = {
    "as measured": {},
    "2 % stragglers, 3 times slower": {"slow_share": 0.02},
    "10 % stragglers, 3 times slower": {"slow_share": 0.10},
    "spot, 5 % lost an hour": {"losses_per_hour": 0.05},
    "spot, 50 % lost an hour": {"losses_per_hour": 0.5},
    "store of 10 Gbit/s": {"store_gbit_s": 10.0},
    "store of 2 Gbit/s": {"store_gbit_s": 2.0},
    "all: 10 % slow, 50 % lost, 10 Gbit/s": {
        "slow_share": 0.10,
        "losses_per_hour": 0.5,
        "store_gbit_s": 10.0,
    },
}
SERVICES: dict[str, dict[str, Any]] = {
    "load 60 %, no bursts": {"burst_load": 0.6},
    "load 80 %, no bursts": {"load": 0.8, "burst_load": 0.8},
    "load 60 %, bursts of 100 %": {"burst_load": 1.0},
    "load 60 %, bursts of 150 %": {"burst_load": 1.5},
    "load 60 %, bursts of 300 %": {"burst_load": 3.0},
}


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="ray")


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    described = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="simulate", description=described)
    add = parser.add_argument
    add("--workers", type=int, default=1000, metavar="N", help="default: %(default)s")
    add("--pictures", type=int, default=1_000_000, metavar="N", help="default: %(default)s")
    add("--replicas", type=int, default=100, metavar="N", help="of a service (default: 100)")
    add("--seed", type=int, default=0, metavar="N", help="of the random numbers (default: 0)")
    add("--measured", type=Path, default=MEASURED, metavar="FILE", help="other measured figures")
    add("--json", action="store_true", help="print the result as JSON")
    return parser


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    measured = read_measured(arguments.measured)
    with progress_bar("scenarios", enabled=not arguments.json) as update:
        body = simulate(
            measured,
            workers=arguments.workers,
            pictures=arguments.pictures,
            replicas=arguments.replicas,
            seed=arguments.seed,
            progress=update,
        )
    if arguments.json:
        print_json(body)
    else:
        _print(measured, body)
    return DONE


def simulate(
    measured: Measured,
    *,
    workers: int,
    pictures: int,
    replicas: int,
    seed: int = 0,
    progress: Any = lambda _done, _total: None,  # noqa: ANN401 - (float, float) -> None
) -> dict[str, Any]:
    """All scenarios, as ``--json`` prints them.

    Raises:
        MissingDependencyError: SimPy is not installed.
        ValueError: no workers, pictures or replicas.
    """
    total = len(ARCHIVES) + len(SERVICES)
    archives: dict[str, Any] = {}
    for name, assumed in ARCHIVES.items():
        archive = Archive(workers, pictures, **assumed, seed=seed)
        archives[name] = dataclasses.asdict(simulate_archive(measured, archive))
        progress(len(archives), total)
    services: dict[str, Any] = {}
    for name, assumed in SERVICES.items():
        service = Service(replicas, **assumed, seed=seed)
        services[name] = dataclasses.asdict(simulate_service(measured, service))
        progress(len(archives) + len(services), total)
    return {
        "machine": measured.machine,
        "artifact": measured.artifact,
        "conditions": measured.conditions,
        "workers": workers,
        "pictures": pictures,
        "replicas": replicas,
        "seed": seed,
        "archives": archives,
        "services": services,
    }


def _print(measured: Measured, body: dict[str, Any]) -> None:
    from rich.table import Table

    shown = console()
    table = Table(title=f"{body['pictures']} pictures, {body['workers']} workers (simulated)")
    for heading in ("scenario", "pictures/s", "efficiency", "repeated", "tail s", "losses"):
        table.add_column(heading, justify="left" if heading == "scenario" else "right")
    for name, found in body["archives"].items():
        table.add_row(
            name,
            f"{found['pictures_per_s']:.0f}",
            f"{found['efficiency']:.1%}",
            f"{found['repeated_share']:.2%}",
            f"{found['tail_s']:.0f}",
            f"{found['losses']}",
        )
    shown.print(table)
    table = Table(title=f"a service of {body['replicas']} replicas (simulated)")
    for heading in ("scenario", "requests", "refused", "p50 ms", "p99 ms", "p99 / alone"):
        table.add_column(heading, justify="left" if heading == "scenario" else "right")
    for name, found in body["services"].items():
        table.add_row(
            name,
            f"{found['requests']}",
            f"{found['refused_share']:.2%}",
            f"{found['p50_s'] * 1e3:.0f}",
            f"{found['p99_s'] * 1e3:.0f}",
            f"{found['p99_s'] / found['alone_s']:.2f}",
        )
    shown.print(table)
    shown.print(f"Measured: {measured.artifact} on {measured.machine}; {measured.conditions}")


if __name__ == "__main__":
    sys.exit(main())
