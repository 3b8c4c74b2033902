"""Command ``deblur-quantize``: layer sensitivity, recipe search, quantisation-aware training."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtimes.command_line.common_options import Group, add_common_options
from ..runtimes.command_line.console import DONE, console, print_json, run_command

if TYPE_CHECKING:
    from .quality_drop import QualityDrop
    from .recipe import Recipe
    from .search.candidate_bench import CandidateBench
    from .search.results_cache import ResultsCache
    from .search.sensitivity import LayerCost

TABLE_ROWS = 12  # layers in the printed table


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="export")


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="deblur-quantize",
        description="Find out what 8 bits cost a network, and keep the picture. The artifacts "
        "themselves come from deblur-export --target onnx-int8 and its like.",
    )
    add_common_options(parser)
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    sensitivity = commands.add_parser(
        "sensitivity", help="find which layers suffer; writes JSON and a picture",
        description="Measure what 8 bits cost: weights against activations, then each layer alone.",
    )  # fmt: skip
    search = commands.add_parser(
        "search",
        help="find the recipe that keeps the picture with the fewest layers in float",
        description="Find the recipe that keeps the picture with the fewest layers in float.",
    )
    for command in (sensitivity, search):
        _add_bench(command)
    _add_limits(search.add_argument_group("what to find"))
    qat = commands.add_parser(
        "qat",
        help="train a network that computes as its int8 form would",
        description="Train a network that computes as its int8 form would.",
    )
    _add_qat(qat)
    return parser


def _add_bench(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--engine", type=Path, required=True, metavar="FILE",
        help="a float artifact of a fixed size, from deblur-export --target onnx-fp32")  # fmt: skip
    add("--recipe", metavar="NAME|FILE", help="recipe to start from (default: the network's, "
        "with the last convolution in float)")  # fmt: skip
    add("--json", action="store_true", help="print the result as JSON")
    add = parser.add_argument_group("calibration").add_argument
    add("--calib", type=Path, metavar="DIR", help="blurry pictures that set the ranges (default: "
        "the packaged samples)")  # fmt: skip
    add("--calib-count", type=int, default=64, metavar="N", help="number of crops (default: 64)")
    add = parser.add_argument_group("timing").add_argument
    add("--runtime", choices=("onnxruntime", "openvino"), default="onnxruntime",
        help="what runs and times the candidates (default: onnxruntime)")  # fmt: skip
    add("--threads", type=int, default=0, metavar="N", help="CPU threads (default: all)")
    add("--rounds", type=int, default=8, metavar="N", help="timed rounds per layer (default: 8)")
    add = parser.add_argument_group("where to").add_argument
    add("-o", "--output", type=Path, default=Path("quantisation"), metavar="DIR",
        help="folder of the measurements; a run that broke off goes on there (default: "
        "quantisation)")  # fmt: skip
    add("--force", action="store_true", help="measure anew what the folder already holds")


def _add_limits(group: Group) -> None:
    add = group.add_argument
    add("--max-drop", type=float, default=0.1, metavar="DB",
        help="largest loss of PSNR against sharp pictures (default: 0.1)")  # fmt: skip
    add("--min-snr", type=float, default=20.0, metavar="DB",
        help="least residual SNR against the float network (default: 20)")  # fmt: skip
    add("--table", type=Path, metavar="FILE",
        help="also put recipe and evidence under the network's key into this table")  # fmt: skip


def _add_qat(parser: argparse.ArgumentParser) -> None:
    from ..models.training.cli import add_options

    add_options(parser, preset="qat")
    parser.add_argument_group("quantisation").add_argument(
        "--recipe", metavar="NAME|FILE", help="recipe to imitate (default: the backbone's)"
    )


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command."""
    if arguments.command == "qat":
        return _qat(arguments)
    with console(stderr=True).status("starting") as status:
        bench = _bench(arguments, lambda text: status.update(text))
        start = _start_recipe(arguments, bench)
        arguments.output.mkdir(parents=True, exist_ok=True)
        if arguments.command == "search":
            return _search(arguments, bench, start)
        return _sensitivity(arguments, bench, start)


def _qat(arguments: argparse.Namespace) -> int:
    from ..models.training.cli import read_config
    from .qat.session import run_qat
    from .recipe import read_recipe

    config = read_config(arguments)
    return run_qat(config, arguments, read_recipe(arguments.recipe, config.model.backbone))


def _bench(arguments: argparse.Namespace, log: Callable[[str], None]) -> CandidateBench:
    from ..runtimes.machine import usable_cores
    from .calibration import calibration_set
    from .search.candidate_bench import open_bench

    log("reading calibration pictures")
    return open_bench(
        arguments.engine,
        lambda size: calibration_set(arguments.calib, size, count=arguments.calib_count),
        runtime=arguments.runtime,
        threads=arguments.threads or usable_cores(),
        log=log,
    )


def _start_recipe(arguments: argparse.Namespace, bench: CandidateBench) -> Recipe:
    from .recipe import Recipe, default_recipe, read_recipe

    if arguments.recipe is not None:
        return read_recipe(arguments.recipe, bench.network)
    found = default_recipe(bench.network)
    return dataclasses.replace(found, keep=Recipe().keep)


def _header(arguments: argparse.Namespace, bench: CandidateBench) -> dict[str, Any]:
    """The conditions of the measurements, for the results cache and the evidence."""
    from ..runtimes.machine import machine
    from ..runtimes.optional import version_of

    size = bench.manifest.input.size
    assert size is not None
    return {
        "backbone": bench.manifest.backbone,
        "checkpoint_sha256": bench.manifest.checkpoint.sha256,
        "rewrites": list(bench.manifest.rewrites),
        "size": list(size),
        "calibration": bench.calibration.origin,
        "calibration_crops": len(bench.calibration.crops),
        "calibration_sha256": bench.calibration.list_sha256,
        "runtime": f"{bench.runtime} {version_of(bench.runtime)}",
        "machine": machine(),
        "threads": bench.threads,
        "rounds": arguments.rounds,
        "pictures": f"the packaged samples ({len(bench.samples)})",
    }


def _results_cache(
    arguments: argparse.Namespace, bench: CandidateBench, start: Recipe, name: str
) -> ResultsCache:
    from .search.results_cache import ResultsCache

    header = {**_header(arguments, bench), "start": start.to_dict()}
    return ResultsCache(arguments.output / name, header, force=arguments.force)


def _costs(arguments: argparse.Namespace, bench: CandidateBench, start: Recipe) -> list[LayerCost]:
    from .search.chart import write_chart
    from .search.sensitivity import layer_costs

    cache = _results_cache(arguments, bench, start, "layers.json")
    costs = layer_costs(bench, start, cache, rounds=arguments.rounds)
    header = _header(arguments, bench)
    size = "x".join(str(side) for side in header["size"])
    write_chart(
        costs,
        arguments.output / "layers.png",
        title=f"{bench.network}, {start.name}: sensitivity of layers to 8 bits",
        condition=f"{size}, {header['runtime']}, {header['threads']} threads of {header['machine']}"
        f"; {header['pictures']}",
    )
    return costs


def _sensitivity(arguments: argparse.Namespace, bench: CandidateBench, start: Recipe) -> int:
    from .quality_drop import float_outputs, measure_drop
    from .search.sensitivity import drop_by_operand

    costs = _costs(arguments, bench, start)
    floats = float_outputs(bench.infer(bench.source), bench.samples)
    parts = drop_by_operand(
        bench.quantise(start),
        start,
        lambda model: measure_drop(bench.infer(model), floats, bench.samples),
    )
    body = {
        "condition": _header(arguments, bench),
        "recipe": start.to_dict(),
        "split": {name: dataclasses.asdict(drop) for name, drop in parts.items()},
        "layers": [dataclasses.asdict(cost) for cost in costs],
    }
    _write_json(arguments.output / "sensitivity.json", body)
    if arguments.json:
        print_json(body)
    else:
        _print_drops(parts)
        _print_costs(costs, arguments.output)
    return DONE


def _search(arguments: argparse.Namespace, bench: CandidateBench, start: Recipe) -> int:
    from .search.search import Search
    from .search.sensitivity import Limits

    cache = _results_cache(arguments, bench, start, "recipes.json")
    limits = Limits(arguments.max_drop, arguments.min_snr)
    search = Search(bench, cache, limits)
    best = search.best_ranges(start)
    costs = _costs(arguments, bench, best)
    recipe, drop = search.run(best, costs)
    body = {
        "recipe": recipe.to_dict(),
        "evidence": {
            **_header(arguments, bench),
            "limits": dataclasses.asdict(limits),
            "drop": dataclasses.asdict(drop),
            "tried": cache.entries(),
            "layers": [dataclasses.asdict(cost) for cost in costs],
        },
    }
    _write_json(arguments.output / "recipe.json", body)
    if arguments.table is not None:
        table = json.loads(arguments.table.read_text("utf-8")) if arguments.table.exists() else {}
        _write_json(arguments.table, {**table, bench.network: body})
    if arguments.json:
        print_json(body)
    else:
        terminal = console()
        terminal.print(f"recipe: {arguments.output / 'recipe.json'}", markup=False)
        terminal.print(f"{recipe.name}, ranges by {recipe.observer}, in float: "
                    f"{', '.join(recipe.keep)}", markup=False)  # fmt: skip
        _print_drops({"found": drop})
    return DONE


def _write_json(path: Path, body: object) -> None:
    from ..runtimes.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n", "utf-8")


def _print_drops(parts: dict[str, QualityDrop]) -> None:
    from rich.table import Table

    table = Table("8 bits in", "PSNR lost, dB", "SSIM lost", "residual SNR, dB", "worst picture")
    for name, drop in parts.items():
        table.add_row(
            name,
            f"{drop.psnr_drop_db:.4f}",
            f"{drop.ssim_drop:.5f}",
            f"{drop.residual_snr_db:.2f}",
            f"{drop.worst_picture} ({drop.worst_drop_db:.3f} dB)",
        )
    console().print(table)


def _print_costs(costs: list[LayerCost], folder: Path) -> None:
    from rich.table import Table

    table = Table("layer", "in float gains, dB SNR", "and dB PSNR", "alone in int8, dB SNR",
                  "int8 saves, ms")  # fmt: skip
    for cost in costs[:TABLE_ROWS]:
        table.add_row(
            cost.layer,
            f"{cost.spared_snr_db:+.2f}",
            f"{cost.spared_psnr_db:+.4f}",
            f"{cost.alone_snr_db:.2f}",
            f"{cost.saved_ms:+.2f}",
        )
    console().print(table)
    console().print(
        f"the first {min(TABLE_ROWS, len(costs))} of {len(costs)}; all in "
        f"{folder}/sensitivity.json and layers.png", markup=False,
    )  # fmt: skip
