"""TensorRT: ``trt-fp32``, ``trt-fp16`` and ``trt-int8``, a plan for NVIDIA GPUs.

The ONNX graph fixes the types (`to_onnx.float16`) and the Q/DQ pairs
(`quantize.ptq.tensorrt_pairs`); the builder keeps both. Where no GPU can run the plan, the same
typed graph runs in onnxruntime, and the manifest says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtimes.artifact import Manifest
from ...runtimes.base import Runner
from ...runtimes.files import replacing
from ...runtimes.optional import version_of
from ...runtimes.run_tensorrt.sdk import MODULES, TITLES, installed, system_name
from ..graph import INPUT_NAME, ExportSpec, Graph
from ..registry import Converted, StandIn, Target, register
from ..to_onnx.float16 import to_half
from ..to_onnx.target import INT8_TOLERANCE_DB, save_model, to_model, to_quantised
from .builder import BuildRequest, BuiltEngine, Shapes, build_engine
from .io_types import io_tensors, with_io_format
from .options import OPTIONS

if TYPE_CHECKING:
    from onnx import ModelProto

    from ...quantize.pipeline import QuantisedOnnx
    from ...quantize.recipe import Recipe

_RECIPE = "static_w8a8_perchannel_symmetric"
_DEFAULT_RTX_GPUS = "TensorRT for RTX's default: Ampere and newer"


def convert_fp32(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Build an engine that computes in float32."""
    return _build(to_model(graph, spec), spec, path)


def convert_fp16(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Build an engine that computes in float16, and in float32 from the tanh on."""
    return _build(to_half(to_model(graph, spec)), spec, path)


def convert_int8(graph: Graph, spec: ExportSpec, path: Path) -> Converted:
    """Build an engine whose dense convolutions are int8; the rest is as in ``trt-fp16``.

    Raises:
        ValueError: TensorRT has no kernels for the recipe.
    """
    plan = spec.quantise
    scheme = None if plan is None else plan.recipe.scheme
    if scheme is not None and (scheme.activation_bits != 8 or not scheme.symmetric):
        raise ValueError(f"TensorRT supports symmetric 8-bit recipes only; use --recipe {_RECIPE}")
    done = to_quantised(graph, spec)
    return _build(to_half(done.model), spec, path, done)


def int8_recipe(recipe: Recipe) -> Recipe:
    """The backbone's recipe for TensorRT: symmetric, with Q/DQ pairs where TensorRT fuses.

    Depthwise convolutions stay in half. TensorRT for RTX lowers an int8 one to plain arithmetic
    with three all-zero constants as large as its output: MobileNet-DSC at 256x256 gives a plan of
    25.1 MB with them and 9.3 MB without (pairs everywhere: 308 MB at 736x1280, against 11.1 MB),
    and the residual SNR rises from 22.4 to 25.8 dB.
    """
    keep = tuple(dict.fromkeys((*recipe.keep, "depthwise")))
    return dataclasses.replace(recipe, name=_RECIPE, keep=keep, pairs="fused")


def _build(
    model: ModelProto, spec: ExportSpec, path: Path, quantised: QuantisedOnnx | None = None
) -> Converted:
    """Set the input and output type, build, and add a stand-in if the plan cannot run here."""
    from ...runtimes.run_tensorrt.runner import cannot_run

    request = build_request(spec)
    reason = cannot_run(request.sdk)
    if reason is not None and request.detailed:
        raise ValueError(
            f"--layer-info reads the engine on a GPU; this machine has {reason}; leave it out"
        )
    data = typed_bytes(with_io_format(model, spec), spec)
    _log_build(spec, request, path)
    built = build_engine(data, request, spec.log)
    path.write_bytes(built.plan)
    _write_typed_onnx(spec, data)
    if request.detailed:
        _write_layers(spec.options["layer_info"], built.plan, request.sdk)
    return Converted(
        quantised=quantised,
        stand_in=None if reason is None else _stand_in(data, reason),
        engine=_engine_info(request, built, data),
        tools={MODULES[request.sdk]: built.version.rpartition(" ")[2]},
    )


def build_request(spec: ExportSpec) -> BuildRequest:
    """Build settings from the options.

    Raises:
        ValueError: options that contradict each other, or that the SDK does not support.
    """
    options = spec.options
    sdk = options["trt"] or default_sdk()
    capabilities: tuple[str, ...] = tuple(options["compute_capability"] or ())
    if sdk == "tensorrt" and capabilities:
        raise ValueError(
            "--compute-capability needs --trt rtx; TensorRT builds for the GPU it runs on"
        )
    if sdk == "rtx" and options["timing_cache"] is not None:
        raise ValueError(
            "--timing-cache needs --trt tensorrt; TensorRT for RTX compiles and times kernels "
            "where the engine runs, not during the build"
        )
    return BuildRequest(
        sdk=sdk,
        shapes=profile_shapes(spec),
        compute_capabilities=capabilities,
        workspace_mib=options["workspace"],
        level=options["opt_level"],
        timing_cache=options["timing_cache"],
        detailed=options["layer_info"] is not None,
    )


def default_sdk() -> str:
    """``tensorrt`` where it is installed and a GPU is usable, else ``rtx``, which needs none."""
    from ...runtimes.run_tensorrt.runner import cannot_run

    sdks = installed()
    return "tensorrt" if "tensorrt" in sdks and cannot_run("tensorrt") is None else "rtx"


def profile_shapes(spec: ExportSpec) -> Shapes | None:
    """Min, opt and max input shape; None if no dimension is dynamic.

    Raises:
        ValueError: ``--profile`` without ``--dynamic``, sizes that do not grow, or a side that is
            smaller than the network takes.
    """
    sizes, max_batch = spec.options["profile"], spec.options["max_batch"]
    if sizes is not None and not spec.dynamic:
        raise ValueError("--profile needs --dynamic")
    if not spec.dynamic and max_batch == 1:
        return None
    least, best, largest = spec.size, spec.size, spec.size
    if spec.dynamic:
        least, best, largest = sizes or (
            (spec.smallest_side, spec.smallest_side),
            spec.size,
            spec.size,
        )
    if any(not a <= b <= c for a, b, c in zip(least, best, largest, strict=True)):
        raise ValueError("--profile is MIN,OPT,MAX; each size is at least the one before")
    if spec.dynamic and min(least) < spec.smallest_side:
        raise ValueError(
            f"--profile begins with {least[0]}x{least[1]}; this network needs sides of "
            f"{spec.smallest_side} or more"
        )
    layout = io_tensors(spec)[0].layout

    def shape(batch: int, size: tuple[int, int]) -> tuple[int, ...]:
        return (batch, *size, 3) if layout == "NHWC" else (batch, 3, *size)

    return shape(1, least), shape(max_batch, best), shape(max_batch, largest)


def typed_bytes(model: ModelProto, spec: ExportSpec) -> bytes:
    """The ONNX file to build from; the same request gives the same bytes."""
    with tempfile.TemporaryDirectory(prefix="edgedeblur-trt-") as folder:
        path = Path(folder) / "typed.onnx"
        save_model(model, spec, path)
        return path.read_bytes()


def _log_build(spec: ExportSpec, request: BuildRequest, path: Path) -> None:
    spec.log(f"building with {TITLES[request.sdk]}")
    if spec.options["verbose"]:
        sys.stderr.write(f"deblur-export: {shell_command(spec, request, path.name)}\n")


def shell_command(spec: ExportSpec, request: BuildRequest, plan: str) -> str:
    """The same build as a trtexec (or tensorrt_rtx) command line."""
    words = ["trtexec" if request.sdk == "tensorrt" else "tensorrt_rtx"]
    words += [
        f"--onnx={spec.options['keep_onnx'] or 'typed.onnx'}",
        f"--saveEngine={plan}",
        "--skipInference",
    ]
    if request.sdk == "tensorrt" and (version_of("tensorrt") or "10").startswith("10"):
        words.append("--stronglyTyped")  # the only mode of TensorRT 11
    for name, shape in zip(("min", "opt", "max"), request.shapes or (), strict=False):
        words.append(f"--{name}Shapes={INPUT_NAME}:{'x'.join(map(str, shape))}")
    if "current" in request.compute_capabilities:
        words.append("--useGpu")
    elif request.compute_capabilities:
        words.append(f"--computeCapabilities={','.join(request.compute_capabilities)}")
    if request.workspace_mib is not None:
        words.append(f"--memPoolSize=workspace:{request.workspace_mib}M")
    if request.level is not None:
        words.append(f"--builderOptimizationLevel={request.level}")
    if request.timing_cache is not None:
        words.append(f"--timingCacheFile={request.timing_cache}")
    return " ".join(words)


def _write_typed_onnx(spec: ExportSpec, data: bytes) -> None:
    kept: Path | None = spec.options["keep_onnx"]
    if kept is not None:
        with replacing(kept) as temporary:
            temporary.write_bytes(data)


def _write_layers(path: Path, plan: bytes, sdk: str) -> None:
    from ...runtimes.run_tensorrt.engine import layer_information

    with replacing(path) as temporary:
        temporary.write_text(layer_information(plan, sdk), encoding="utf-8")


def _stand_in(data: bytes, reason: str) -> StandIn:
    from ...runtimes.run_tensorrt.runner import TypedGraphRunner

    def open_typed_graph(manifest: Manifest, threads: int) -> Runner:
        return TypedGraphRunner(data, manifest, threads=threads)

    return StandIn(
        open_typed_graph, f"typed ONNX on onnxruntime; engine not run: {reason}", emulated=True
    )


def _engine_info(request: BuildRequest, built: BuiltEngine, source: bytes) -> dict[str, object]:
    named = ", ".join(request.compute_capabilities)
    gpu = f"compute capability {named}" if named else _DEFAULT_RTX_GPUS
    if request.sdk == "tensorrt":
        from ...runtimes.run_tensorrt.runner import gpu_name

        gpu = gpu_name()
    return {
        "builder": built.version,
        "system": system_name(),
        "gpu": gpu,
        "build_s": round(built.seconds, 3),
        "source_bytes": len(source),
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "profile": None if request.shapes is None else [list(shape) for shape in request.shapes],
    }


# Each export chooses its SDK, so either will do; if both are missing, the hint names rtx.
_SDK = next((MODULES[name] for name in reversed(installed())), MODULES["rtx"])
_CONVERT = {"fp32": convert_fp32, "fp16": convert_fp16, "int8": convert_int8}


def _target(precision: str, about: str, tolerance_psnr_db: float) -> Target:
    return Target(
        name=f"trt-{precision}",
        format="trt",
        precision=precision,
        suffix=".plan",
        extra="export-tensorrt",
        build_modules=("torch", "onnx", "onnxscript", "onnxslim", _SDK),
        run_modules=("onnxruntime",),
        convert=_CONVERT[precision],
        tolerance_psnr_db=tolerance_psnr_db,
        needs_calibration=precision == "int8",
        about=about,
        options=OPTIONS,
        tensors=io_tensors,
        recipe=int8_recipe if precision == "int8" else None,
    )


register(_target("fp32", "TensorRT plan for NVIDIA GPUs, float32", 80.0))
register(_target("fp16", "TensorRT plan, float16 inside, float32 tail", 50.0))
register(_target("int8", "TensorRT plan, int8 dense convolutions, the rest as in trt-fp16",
                 INT8_TOLERANCE_DB))  # fmt: skip
