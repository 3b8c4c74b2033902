"""Command ``deblur-debug``: the first layer at which an artifact leaves its network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.command_line.common_options import add_common_options
from ...runtimes.command_line.console import DONE, FAILED, print_json, progress_bar, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...quantize.search.sensitivity import Limits
    from ...runtimes.artifact import Manifest
    from ...runtimes.pictures.sample_inputs import SampleInput
    from .bisect import FloatSet
    from .compare import Comparison
    from .taps import Taps


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(build_parser(), work, argv, extra="export-onnx")


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="deblur-debug",
        description="Run an artifact and the network that it was made from on pictures, compare "
        "the outputs of every layer that both have, and name the first layer whose "
        "signal-to-noise ratio falls by more than 6 dB.",
    )
    add_common_options(parser)
    add = parser.add_argument
    add(
        "artifact",
        type=Path,
        metavar="ARTIFACT",
        help="ONNX, OpenVINO, TFLite or Core ML artifact, or TensorRT engine (--typed-graph)",
    )
    add(
        "--against",
        metavar="FILE",
        help="checkpoint or artifact to compare with (default: the checkpoint that the artifact "
        "was made from)",
    )
    add(
        "--input",
        type=Path,
        action="append",
        default=[],
        metavar="PHOTO",
        help="picture to run both on; repeat for more (default: two packaged samples)",
    )
    add(
        "--bisect",
        action="store_true",
        help="also find the smallest set of layers that must stay in float for an 8-bit network to "
        "keep --max-drop and --min-snr; for onnx-int8 and openvino-int8",
    )
    add("--max-drop", type=float, default=0.1, metavar="DB", help="see --bisect (default: 0.1)")
    add("--min-snr", type=float, default=20.0, metavar="DB", help="see --bisect (default: 20)")
    add(
        "--typed-graph",
        type=Path,
        metavar="FILE.onnx",
        help="for a TensorRT engine: the graph that it was built from, which deblur-export "
        "--keep-onnx writes; its layers are read in onnxruntime, the engine's are fused",
    )
    add("--chart", type=Path, metavar="FILE.png", help="also draw the layers")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    add("--json", action="store_true", help="print JSON instead of the table")
    return parser


def work(arguments: argparse.Namespace) -> int:
    """Run the parsed command; exit code 1 if a layer falls."""
    from ...quantize.search.sensitivity import Limits
    from ...runtimes.artifact import read_manifest
    from ...runtimes.files import check_folder_writable
    from .chart import write_chart
    from .show import body, print_comparison, print_float_set

    path: Path = arguments.artifact
    manifest = read_manifest(path)
    samples = _pictures(arguments.input, manifest)
    if (arguments.typed_graph is not None) and path.suffix != ".plan":
        raise ValueError(f"{path}: --typed-graph is for TensorRT engines (.plan)")
    if arguments.chart is not None:
        check_folder_writable(arguments.chart.parent)
    comparison, torch_layers = _compared(arguments, path, manifest, samples)
    caption = _caption(path, samples, torch_layers)
    if arguments.chart is not None:
        write_chart(comparison, caption, arguments.chart)
    found = None
    if arguments.bisect:
        limits = Limits(arguments.max_drop, arguments.min_snr)
        found = _bisected(arguments, manifest, comparison, limits)
    if arguments.json:
        print_json(body(comparison, found))
    else:
        print_comparison(comparison, caption)
        if found is not None:
            print_float_set(found)
    return DONE if comparison.first_fall is None else FAILED


def _compared(
    arguments: argparse.Namespace, path: Path, manifest: Manifest, samples: Sequence[SampleInput]
) -> tuple[Comparison, str]:
    """The comparison, and what the artifact was compared with."""
    from ...runtimes.artifact import read_manifest
    from .compare import CEILINGS_DB, compare
    from .sources import FORMATS, checkpoint_of, open_taps, reference_of

    size = (samples[0].image.shape[2], samples[0].image.shape[3])
    given = arguments.against
    other = Path(given) if given is not None and Path(given).suffix in FORMATS else None
    checkpoint = checkpoint_of(manifest, path, None if other else given)
    network = reference_of(manifest, checkpoint, size)
    first: Taps = network
    if other is not None:
        first = open_taps(other, read_manifest(other), network.layers, threads=arguments.threads)
    second = open_taps(
        path, manifest, network.layers, threads=arguments.threads, typed=arguments.typed_graph
    )
    kind = manifest.target.rpartition("-")[2]
    with progress_bar("layers") as update:
        comparison = compare(
            first,
            second,
            [sample.image for sample in samples],
            network.inputs,
            ceiling_db=CEILINGS_DB.get(kind, CEILINGS_DB["int8"]),
            progress=update,
        )
    return comparison, str(other or checkpoint.source)


def _pictures(paths: Sequence[Path], manifest: Manifest) -> list[SampleInput]:
    from ...models.network.registry import get_network
    from ...runtimes.pictures.read import read_picture
    from ...runtimes.pictures.sample_inputs import load_sample_inputs, to_sample_input

    multiple = get_network(manifest.backbone).size_multiple
    size = manifest.input.size
    if not paths:
        return load_sample_inputs(size or (256, 256), multiple, dynamic=False, count=2)
    found: list[SampleInput] = []
    for path in paths:
        pixels = read_picture(path).pixels
        if pixels.dtype.itemsize != 1:
            raise ValueError(
                f"{path}: {pixels.dtype} pixels; layers are compared on 8-bit pictures"
            )
        height, width = size or tuple(
            max(side // multiple, 1) * multiple for side in pixels.shape[:2]
        )
        cut = pixels[:height, :width]
        found.append(
            to_sample_input(path.name, cut, None, (height, width), multiple, dynamic=False)
        )
    if len({sample.image.shape for sample in found}) > 1:
        raise ValueError("the pictures have several sizes; give some of one size")
    return found


def _bisected(
    arguments: argparse.Namespace, manifest: Manifest, comparison: Comparison, limits: Limits
) -> FloatSet:
    """Quantise the network again with ever other layers in float.

    Raises:
        ValueError: not an 8-bit artifact of an ONNX graph.
    """
    from ...quantize.calibration import calibration_set
    from ...quantize.pipeline import QuantPlan
    from ...quantize.recipe import read_recipe
    from ...runtimes.pictures.sample_inputs import load_sample_inputs
    from ..graph import ExportSpec
    from ..prepare import prepare
    from ..rewrites.rewrite import apply_rewrites, parse_steps
    from ..to_onnx.target import to_model
    from .bisect import measure_with_float_layers, smallest_float_set
    from .sources import checkpoint_of

    size = manifest.input.size
    if manifest.target not in ("onnx-int8", "openvino-int8") or size is None:
        raise ValueError(f"{arguments.artifact}: --bisect takes onnx-int8 and openvino-int8 files")
    checkpoint = checkpoint_of(manifest, arguments.artifact, None)
    graph = apply_rewrites(
        prepare(checkpoint, norm=manifest.norm), parse_steps(",".join(manifest.rewrites) or "none")
    )
    model = to_model(graph, ExportSpec(manifest.target, size))
    samples = load_sample_inputs(size, checkpoint.described.size_multiple, dynamic=False)
    with progress_bar("calibrating") as update:
        plan = QuantPlan(
            read_recipe(None, checkpoint.key),
            calibration_set(None, size, count=16),
            threads=arguments.threads,
        )
        update(0, 1)
        measure = measure_with_float_layers(model, plan, samples)
    order = sorted(comparison.layers, key=lambda layer: layer.fall_db, reverse=True)
    return smallest_float_set([layer.name for layer in order], measure, limits)


def _caption(path: Path, samples: Sequence[SampleInput], against: str) -> str:
    from ...runtimes.artifact import read_manifest
    from ...runtimes.files import sha256_of

    manifest = read_manifest(path)
    size = samples[0].image.shape
    text = f"{path.name} against {against}; {len(samples)} pictures, {size[2]}x{size[3]}"
    if path.is_file() and sha256_of(path) != manifest.sha256:
        text += "; the file is not the one that its manifest describes"
    if path.suffix == ".plan":
        text += "; the engine's typed graph, run by onnxruntime"
    return f"{text} (emulated)" if path.suffix == ".mlpackage" else text
