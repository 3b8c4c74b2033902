"""Builds an engine from a typed ONNX graph, with TensorRT (10, 11) or TensorRT for RTX.

Networks are strongly typed: the engine computes in the types of the graph.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ...runtimes.files import replacing
from ...runtimes.optional import MissingDependencyError
from ...runtimes.run_tensorrt.sdk import MODULES, TITLES, ErrorLog, load_sdk, version_numbers

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # min, opt, max
_OLDEST = {"tensorrt": (10, 0), "rtx": (1, 0)}
_MIB = 1 << 20


@dataclass(frozen=True)
class BuildRequest:
    """Settings of an engine build.

    Attributes:
        sdk: ``tensorrt`` or ``rtx``.
        shapes: Min, opt and max shape of the input, if it is dynamic.
        compute_capabilities: GPUs for ``rtx``, such as ``75``; empty means its default, Ampere and
            newer. TensorRT itself builds for the GPU it runs on.
        workspace_mib: Largest workspace of a layer, in MiB; None is the builder's default.
        level: Optimisation level, 0 to 5; None is the builder's default.
        timing_cache: TensorRT's timing cache file, kept from build to build.
        detailed: Keep layer information in the engine.
    """

    sdk: str
    shapes: Shapes | None = None
    compute_capabilities: tuple[str, ...] = ()
    workspace_mib: int | None = None
    level: int | None = None
    timing_cache: Path | None = None
    detailed: bool = False


@dataclass
class BuiltEngine:
    """The engine, its build time in seconds, and the builder's version."""

    plan: bytes
    seconds: float
    version: str = field(default="")


def build_engine(
    data: bytes, request: BuildRequest, log: Callable[[str], None] = lambda _: None
) -> BuiltEngine:
    """Parse the ONNX graph and build the engine.

    Args:
        data: The ONNX file.
        request: Build settings.
        log: Called with progress lines.

    Raises:
        ValueError: the parser or the builder failed; the message names node and reason.
        MissingDependencyError: the SDK is missing or too old, or needs a GPU.
        KeyboardInterrupt: Ctrl-C during the build.
    """
    sdk = load_sdk(request.sdk)
    _check_version(sdk, request.sdk)
    error_log = ErrorLog(sdk)
    builder = sdk.Builder(error_log.logger)
    network = builder.create_network(_strongly_typed(sdk))
    _parse(sdk, network, data, error_log)
    monitor = _monitor_class(sdk)(log)
    start = time.monotonic()
    with _build_config(sdk, builder, network, request, error_log) as config:
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
    if monitor.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        raise ValueError(_build_error(request, error_log.text()))
    version = f"{MODULES[request.sdk]} {sdk.__version__}"
    return BuiltEngine(bytes(memoryview(plan)), time.monotonic() - start, version)


def _check_version(sdk: ModuleType, name: str) -> None:
    if version_numbers(sdk)[:2] < _OLDEST[name]:
        oldest = ".".join(map(str, _OLDEST[name]))
        raise MissingDependencyError(
            f"{TITLES[name]} {sdk.__version__} is too old; {oldest} or newer has the strongly "
            "typed networks that engines are built from"
        )


def _strongly_typed(sdk: ModuleType) -> int:
    """The creation flag; 0 for a TensorRT that has strongly typed networks only."""
    flag = getattr(sdk.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(sdk: ModuleType, network: Any, data: bytes, error_log: ErrorLog) -> None:  # noqa: ANN401
    parser = sdk.OnnxParser(network, error_log.logger)
    if parser.parse(data):
        return
    reasons: list[str] = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        reason = next((x for x in error.desc().splitlines() if " Error Code " in x), error.desc())
        node = f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else ""
        reasons.append(f"{node}{' '.join(reason.split())}")
    raise ValueError(
        f"the ONNX parser of {sdk.__name__} {sdk.__version__} refuses the graph: "
        f"{'; '.join(reasons[:3])}. Try --rewrite none, or the other --trt"
    )


@contextlib.contextmanager
def _build_config(
    sdk: ModuleType,
    builder: Any,  # noqa: ANN401 - an object of the SDK
    network: Any,  # noqa: ANN401
    request: BuildRequest,
    error_log: ErrorLog,
) -> Generator[Any]:
    """The builder's configuration; writes the timing cache back after the build."""
    config = builder.create_builder_config()
    config.clear_flag(sdk.BuilderFlag.TF32)  # on by default; fp32 targets compute in fp32
    if request.level is not None:
        config.builder_optimization_level = request.level
    if request.workspace_mib is not None:
        config.set_memory_pool_limit(sdk.MemoryPoolType.WORKSPACE, request.workspace_mib * _MIB)
    if request.detailed:
        config.profiling_verbosity = sdk.ProfilingVerbosity.DETAILED
    if request.shapes is not None:
        profile = builder.create_optimization_profile()
        profile.set_shape(network.get_input(0).name, *request.shapes)
        if config.add_optimization_profile(profile) < 0:
            raise ValueError(f"optimisation profile {request.shapes}: {error_log.text()}")
    if request.compute_capabilities:
        config.num_compute_capabilities = len(request.compute_capabilities)
        for index, word in enumerate(request.compute_capabilities):
            config.set_compute_capability(_capability(sdk, word), index)
    if request.timing_cache is None:
        yield config
        return
    with _timing_cache(config, request.timing_cache):
        yield config


@contextlib.contextmanager
def _timing_cache(config: Any, path: Path) -> Generator[None]:  # noqa: ANN401
    known = path.read_bytes() if path.exists() else b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if not config.set_timing_cache(config.create_timing_cache(known), False):
            raise ValueError(f"{path}: timing cache of another TensorRT version or GPU; delete it")
        yield
        with replacing(path) as temporary:
            temporary.write_bytes(bytes(memoryview(config.get_timing_cache().serialize())))


def _capability(sdk: ModuleType, word: str) -> Any:  # noqa: ANN401
    name = "CURRENT" if word == "current" else f"SM{word}"
    member = getattr(sdk.ComputeCapability, name, None)
    if member is None:
        raise ValueError(f"{sdk.__name__} {sdk.__version__} has no compute capability {word}")
    return member


def _build_error(request: BuildRequest, reason: str) -> str:
    """Error message of a failed build, with advice that fits the reason."""
    advice = "try another --opt-level or --trt; EDGEDEBLUR_DEBUG=1 shows the traceback"
    if "CUDA driver" in reason or "no CUDA-capable device" in reason:
        advice = "this build needs an NVIDIA GPU and driver"
        if "current" in request.compute_capabilities:
            advice += "; --compute-capability current means the GPU of this machine"
    elif "workspace" in reason:
        advice = "increase --workspace"
    return f"{TITLES[request.sdk]} cannot build the engine: {reason}; {advice}"


def _monitor_class(sdk: ModuleType) -> Any:  # noqa: ANN401
    class Monitor(sdk.IProgressMonitor):
        """Logs the innermost build phase; the builder calls it."""

        def __init__(self, log: Callable[[str], None]) -> None:
            super().__init__()
            self.interrupted = False
            self._log = log
            self._steps: dict[str, int] = {}

        def phase_start(self, name: str, _parent: str | None, steps: int) -> None:
            self._steps[name] = steps

        def step_complete(self, name: str, step: int) -> bool:
            """False stops the build; an exception must not cross the builder."""
            try:
                self._log(f"building: {name}, {step + 1} of {self._steps.get(name, step + 1)}")
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, name: str) -> None:
            self._steps.pop(name, None)

    return Monitor
