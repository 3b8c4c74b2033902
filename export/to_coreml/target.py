"""Core ML: ``.mlpackage`` folders with an ML Program, for iPhones, iPads and Macs.

Norms are folded before coremltools sees the network (`prepare`): coremltools 9.0 turns a frozen
InstanceNorm into a live one without a word.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtimes.run_coreml.interpreter import coremltools, quiet
from ...runtimes.run_coreml.runner import COMPUTE_UNITS
from ..graph import INPUT_NAME, OUTPUT_NAME, ExportSpec, Graph
from ..registry import Converted, Option, Target, register

if TYPE_CHECKING:
    from ...quantize.recipe import Recipe
    from ...runtimes.artifact import TensorSpec

# Half-precision sums over a whole map lose the variance; these few numbers per channel stay fp32.
_FLOAT32_OPS = ("reduce_mean", "sqrt", "real_div")
INT8_TOLERANCE_DB = 35.0  # on every picture; the drop against sharp ones has its own gate
_LICENCES = {
    "zoo": "Apache-2.0",
    "released": "BSD; see github.com/VITA-Group/DeblurGANv2",
}


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> None:
    """Write a package with float16 weights and activations."""
    from .package import check_package, write_package

    with scratch(), quiet():
        write_package(to_model(graph, spec), path, about(graph, spec))
    check_package(path, expected(graph, spec))


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Write a package with 8-bit weights, and 8-bit activations if the recipe says so.

    Raises:
        ValueError: live norms, or a recipe that Core ML or the chosen system cannot have.
    """
    from .int8 import quantised_model
    from .package import check_package, write_package

    with scratch():
        model, packed, settled = quantised_model(graph, spec)
        with quiet():
            write_package(model, path, about(graph, spec))
    check_package(path, expected(graph, spec, int8_weights=packed))
    return Converted(quantised=settled)


def to_model(graph: Graph, spec: ExportSpec) -> Any:  # noqa: ANN401 - coremltools has no types
    """The graph as a float16 ML Program (``coremltools.models.MLModel``, not loaded)."""
    from .io_types import traced

    ct = coremltools()
    pictures = takes_pictures(spec)
    shape: Any = (1, 3, *spec.size)
    if len(sizes(spec)) > 1:
        shapes = [(1, 3, *size) for size in sizes(spec)]
        shape = ct.EnumeratedShapes(shapes, default=shapes[0])
    if pictures:
        layout = ct.colorlayout.RGB
        taken = ct.ImageType(name=INPUT_NAME, shape=shape, color_layout=layout)
        given = ct.ImageType(name=OUTPUT_NAME, color_layout=layout)
    else:
        taken = ct.TensorType(name=INPUT_NAME, shape=shape)
        given = ct.TensorType(name=OUTPUT_NAME)
    precision = ct.precision.FLOAT16
    if graph.norm == "live":
        precision = ct.transform.FP16ComputePrecision(
            op_selector=lambda op: op.op_type not in _FLOAT32_OPS
        )
    return ct.convert(
        traced(graph, spec.size, pictures=pictures),
        inputs=[taken],
        outputs=[given],
        convert_to="mlprogram",
        minimum_deployment_target=getattr(ct.target, f"iOS{spec.options['ios']}"),
        compute_precision=precision,
        skip_model_load=True,
    )


@contextlib.contextmanager
def scratch() -> Generator[None]:
    """Gather coremltools' temporary folders in one, and remove it.

    It makes one for each model it holds and removes them when the process ends.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="edgedeblur-coreml-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def takes_pictures(spec: ExportSpec) -> bool:
    """Whether pixels go in and out, as ``--io image`` says."""
    return spec.options["io"] == "image"


def sizes(spec: ExportSpec) -> tuple[tuple[int, int], ...]:
    """All (height, width) that the package takes, the default first."""
    from ..arguments import parse_size

    more = [parse_size(word) for word in (spec.options["enumerate"] or "").split(",") if word]
    return tuple(dict.fromkeys((spec.size, *more)))


def tensors(spec: ExportSpec) -> tuple[TensorSpec, TensorSpec]:
    """The border as apps see it: pictures as rows of 8-bit pixels, or float32 NCHW in [-1, 1]."""
    import dataclasses

    from ...runtimes.artifact import TensorSpec

    more = sizes(spec) if len(sizes(spec)) > 1 else ()
    if takes_pictures(spec):
        height, width = spec.size
        taken = TensorSpec(
            INPUT_NAME, (1, height, width, 3), "uint8", layout="NHWC", value_range=(0.0, 255.0),
            sizes=more,
        )  # fmt: skip
    else:
        taken = dataclasses.replace(spec.tensor(INPUT_NAME), sizes=more)
    return taken, dataclasses.replace(taken, name=OUTPUT_NAME)


def about(graph: Graph, spec: ExportSpec) -> Any:  # noqa: ANN401 - imported late
    """What the package says of itself."""
    from .package import About

    source = graph.checkpoint.source.partition(":")[0]
    licence = _LICENCES.get(source, "that of the checkpoint it was made from")
    named = " or ".join(f"{height} high and {width} wide" for height, width in sizes(spec))
    if takes_pictures(spec):
        kind = f"RGB picture, 8 bits per channel, upright, {named}"
    else:
        kind = f"float32, 1 x 3 x height x width, RGB in [-1, 1], {named}"
    return About(
        author="edgedeblur",
        licence=licence,
        description="Removes motion blur from a photograph. DeblurGAN-v2 generator "
        f"({graph.checkpoint.backbone}; Kupyn et al., ICCV 2019), norms {graph.norm}.",
        input=f"The blurry picture: {kind}",
        output=f"The deblurred picture: {kind}",
        user_defined={**spec.embed, "edgedeblur.compute_units": spec.options["compute_units"]},
    )


def expected(graph: Graph, spec: ExportSpec, *, int8_weights: int = 0) -> Any:  # noqa: ANN401
    """What the saved package must be."""
    from .package import Expected

    return Expected(
        ios=spec.options["ios"],
        pictures=takes_pictures(spec),
        sizes=sizes(spec),
        live_norms=graph.norm == "live",
        int8_weights=int8_weights,
    )


def size_list(text: str) -> str:
    """``256x256,736x1280``, checked; stays text, as it stands in the manifest.

    Raises:
        argparse.ArgumentTypeError: as `arguments.parse_size`.
    """
    from ..arguments import parse_size

    return ",".join("x".join(map(str, parse_size(word))) for word in text.split(","))


_OPTIONS = (
    Option(
        "--io",
        "what goes in and out: image (8-bit pixels) or tensor (float in [-1, 1]) (default: image)",
        choices=("image", "tensor"),
        default="image",
    ),
    Option(
        "--ios",
        "oldest system that must run it (default: 16)",
        choices=("15", "16", "17", "18"),
        default="16",
    ),
    Option(
        "--enumerate",
        "more sizes that the same package takes, besides --size",
        parse=size_list,
        metavar="HxW,...",
    ),
    Option(
        "--compute-units",
        "what the app should ask Core ML for; noted in the package (default: all)",
        choices=tuple(COMPUTE_UNITS),
        default="all",
    ),
)

_CONVERT = {"fp16": convert_fp16, "int8": convert_int8}


def _weights_only(recipe: Recipe) -> Recipe:
    """8-bit weights and float16 arithmetic, which every system from iOS 16 on has."""
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
        extra="coreml",
        build_modules=("torch", "coremltools"),
        run_modules=("coremltools",),
        convert=_CONVERT[precision],
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=precision == "int8",
        about=about,
        options=_OPTIONS,
        tensors=tensors,
        free_size=False,
        recipe=_weights_only if precision == "int8" else None,
    )


register(
    _target("fp16", "Core ML package, ML Program in float16, picture in and out; emulated "
            "except on a Mac", 50.0)
)  # fmt: skip
register(
    _target("int8", "Core ML package, int8 weights, float16 arithmetic (or 8-bit activations, "
            "from iOS 17), picture in and out; emulated except on a Mac", INT8_TOLERANCE_DB)
)  # fmt: skip
