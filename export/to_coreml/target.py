"""Core ML: ``.mlpackage`` folders with an ML Program, for iPhones, iPads and Macs.

Norms are folded before coremltools gets the network (`prepare`): coremltools 9.0 silently turns a
frozen InstanceNorm into a live one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.run_coreml.interpreter import quiet
from ...runtimes.run_coreml.runner import COMPUTE_UNITS
from ..graph import ExportSpec, Graph
from ..registry import Converted, Option, Target, register
from .model import expected_package, io_tensors, package_metadata, scratch_folder, to_model

if TYPE_CHECKING:
    from ...quantize.recipe import Recipe

INT8_TOLERANCE_DB = 35.0  # on every picture; the drop against sharp ones has its own gate


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write a package with float16 weights and activations."""
    from .package import check_package, write_package

    with scratch_folder(), quiet():
        write_package(to_model(graph, spec), path, package_metadata(graph, spec))
    check_package(path, expected_package(graph, spec))


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write a package with 8-bit weights, and 8-bit activations if the recipe has them.

    Raises:
        ValueError: live norms, or a recipe that Core ML or the iOS version does not support.
    """
    from .int8 import quantised_model
    from .package import check_package, write_package

    with scratch_folder():
        model, int8_count, stability = quantised_model(graph, spec)
        with quiet():
            write_package(model, path, package_metadata(graph, spec))
    check_package(path, expected_package(graph, spec, int8_weights=int8_count))
    return Converted(quantised=stability)


def size_list(text: str) -> str:
    """``256x256,736x1280``, in that form; stays text, as the manifest records it.

    Raises:
        argparse.ArgumentTypeError: as `arguments.parse_size`.
    """
    from ..arguments import parse_size

    return ",".join("x".join(map(str, parse_size(word))) for word in text.split(","))


_OPTIONS = (
    Option(
        "--io",
        "what goes in and out: image (8-bit pixels) or tensor (float32 in [-1, 1]) "
        "(default: image)",
        choices=("image", "tensor"),
        default="image",
    ),
    Option(
        "--ios",
        "oldest iOS version that must run it (default: 16)",
        choices=("15", "16", "17", "18"),
        default="16",
    ),
    Option(
        "--enumerate",
        "further sizes that the same package takes",
        parse=size_list,
        metavar="HxW,...",
    ),
    Option(
        "--compute-units",
        "processors that the app should ask Core ML for; noted in the package (default: all)",
        choices=tuple(COMPUTE_UNITS),
        default="all",
    ),
)

_CONVERT = {"fp16": convert_fp16, "int8": convert_int8}


def _weight_only_recipe(recipe: Recipe) -> Recipe:
    """The recipe with 8-bit weights and float16 arithmetic, supported from iOS 16 on."""
    import dataclasses

    return dataclasses.replace(
        recipe, name="weight_only_w8_perchannel", equalise=False, correct_bias=False, keep=()
    )


def _target(precision: str, about: str, tolerance_psnr_db: float) -> Target:
    return Target(
        name=f"coreml-{precision}",
        format="coreml",
        precision=precision,
        suffix=".mlpackage",
        extra="export-coreml",
        build_modules=("torch", "coremltools"),
        run_modules=("coremltools",),
        convert=_CONVERT[precision],
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=precision == "int8",
        about=about,
        options=_OPTIONS,
        tensors=io_tensors,
        free_size=False,
        recipe=_weight_only_recipe if precision == "int8" else None,
    )


register(
    _target("fp16", "Core ML package, ML Program in float16, picture in and out; emulated "
            "except on a Mac", 50.0)
)  # fmt: skip
register(
    _target("int8", "Core ML package, int8 weights, float16 arithmetic (or 8-bit activations, "
            "from iOS 17), picture in and out; emulated except on a Mac", INT8_TOLERANCE_DB)
)  # fmt: skip
