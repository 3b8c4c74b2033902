"""The prepared network as a Core ML model: inputs, outputs, sizes and what the package says."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ...runtimes.run_coreml.interpreter import coremltools
from ..graph import INPUT_NAME, OUTPUT_NAME, ExportSpec, Graph

if TYPE_CHECKING:
    from ...runtimes.artifact import TensorSpec

# Half-precision sums over a whole map lose the variance; these few numbers per channel stay fp32.
_FLOAT32_OPS = ("reduce_mean", "sqrt", "real_div")
_LICENCES = {
    "zoo": "Apache-2.0",
    "released": "BSD; see github.com/VITA-Group/DeblurGANv2",
}


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
