"""The prepared network as a Core ML model: inputs, outputs, sizes and metadata."""

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
    from .io_types import trace

    ct = coremltools()
    for size in sizes(spec):
        graph.checkpoint.described.check_size(*size)
    pictures = has_image_io(spec)
    shape: Any = (1, 3, *spec.size)
    if len(sizes(spec)) > 1:
        shapes = [(1, 3, *size) for size in sizes(spec)]
        shape = ct.EnumeratedShapes(shapes, default=shapes[0])
    if pictures:
        layout = ct.colorlayout.RGB
        input_spec = ct.ImageType(name=INPUT_NAME, shape=shape, color_layout=layout)
        output_spec = ct.ImageType(name=OUTPUT_NAME, color_layout=layout)
    else:
        input_spec = ct.TensorType(name=INPUT_NAME, shape=shape)
        output_spec = ct.TensorType(name=OUTPUT_NAME)
    precision = ct.precision.FLOAT16
    if graph.norm == "live":
        precision = ct.transform.FP16ComputePrecision(
            op_selector=lambda op: op.op_type not in _FLOAT32_OPS
        )
    # Or the 127.5 of the pixels is multiplied into a last convolution that no tanh follows, and its
    # weights have neither their values nor their name.
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes({"common::fuse_conv_scale"})
    return ct.convert(
        trace(graph, spec.size, pictures=pictures),
        inputs=[input_spec],
        outputs=[output_spec],
        convert_to="mlprogram",
        minimum_deployment_target=getattr(ct.target, f"iOS{spec.options['ios']}"),
        compute_precision=precision,
        pass_pipeline=pipeline,
        skip_model_load=True,
    )


@contextlib.contextmanager
def scratch_folder() -> Generator[None]:
    """Collect coremltools' temporary folders in one, and remove it.

    It makes one for each model it holds and removes them when the process ends.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="edgedeblur-coreml-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def has_image_io(spec: ExportSpec) -> bool:
    """Whether input and output are images (``--io image``)."""
    return spec.options["io"] == "image"


def sizes(spec: ExportSpec) -> tuple[tuple[int, int], ...]:
    """All (height, width) that the package accepts, the default first."""
    from ..arguments import parse_size

    more = [parse_size(word) for word in (spec.options["enumerate"] or "").split(",") if word]
    return tuple(dict.fromkeys((spec.size, *more)))


def io_tensors(spec: ExportSpec) -> tuple[TensorSpec, TensorSpec]:
    """Input and output as an app sees them: 8-bit pictures, NHWC, or float32 NCHW in [-1, 1]."""
    import dataclasses

    from ...runtimes.artifact import TensorSpec

    more = sizes(spec) if len(sizes(spec)) > 1 else ()
    if has_image_io(spec):
        height, width = spec.size
        input_spec = TensorSpec(
            INPUT_NAME, (1, height, width, 3), "uint8", layout="NHWC", value_range=(0.0, 255.0),
            sizes=more,
        )  # fmt: skip
    else:
        input_spec = dataclasses.replace(spec.tensor(INPUT_NAME), sizes=more)
    return input_spec, dataclasses.replace(input_spec, name=OUTPUT_NAME)


def package_metadata(graph: Graph, spec: ExportSpec) -> Any:  # noqa: ANN401 - imported late
    """The package's metadata: author, licence, descriptions."""
    from .package import PackageMetadata

    source = graph.checkpoint.source.partition(":")[0]
    licence = _LICENCES.get(source, "that of the checkpoint it was made from")
    size_text = " or ".join(f"{height} high and {width} wide" for height, width in sizes(spec))
    if has_image_io(spec):
        io_text = f"RGB picture, 8 bits per channel, upright, {size_text}"
    else:
        io_text = f"float32, 1 x 3 x height x width, RGB in [-1, 1], {size_text}"
    return PackageMetadata(
        author="edgedeblur",
        licence=licence,
        description="Removes motion blur from a photograph. DeblurGAN-v2 generator "
        f"({graph.checkpoint.network}; Kupyn et al., ICCV 2019), norms {graph.norm}.",
        input=f"The blurry picture: {io_text}",
        output=f"The deblurred picture: {io_text}",
        user_defined={**spec.embed, "edgedeblur.compute_units": spec.options["compute_units"]},
    )


def expected_package(graph: Graph, spec: ExportSpec, *, int8_weights: int = 0) -> Any:  # noqa: ANN401
    """The structure that the saved package must have."""
    from .package import ExpectedPackage

    return ExpectedPackage(
        ios=spec.options["ios"],
        pictures=has_image_io(spec),
        sizes=sizes(spec),
        live_norms=graph.norm == "live",
        int8_weights=int8_weights,
    )
