"""The two SDKs with TensorRT's API, and the checks before a plan is opened.

``tensorrt`` is NVIDIA TensorRT, ``rtx`` is TensorRT for RTX. Their Python modules differ in name
only. A plan runs only in the SDK and version that built it.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..optional import MissingDependencyError, available, require

if TYPE_CHECKING:
    from ..artifact import Manifest

MODULES = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
EXTRAS = {"tensorrt": "tensorrt", "rtx": "tensorrt-rtx"}
TITLES = {"tensorrt": "TensorRT", "rtx": "TensorRT for RTX"}
# First bytes of a plan. TensorRT's own changed once ("ftrt" since 8.6), hence by exclusion.
_RTX_MAGIC = b"vtrt"
_VERSION_AT = 24  # major, minor, patch, build: https://github.com/NVIDIA/TensorRT/issues/3073
_HEADER_BYTES = 64


@dataclass(frozen=True)
class PlanHeader:
    """The SDK that built a plan, ``tensorrt`` or ``rtx``, and its version, up to four numbers."""

    sdk: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{TITLES[self.sdk]} {'.'.join(map(str, self.version))}"


def load_sdk(name: str) -> ModuleType:
    """The module of ``tensorrt`` or ``rtx``.

    Raises:
        MissingDependencyError: it is not installed; the message says how to install it.
    """
    try:
        return require(MODULES[name], extra=EXTRAS[name])
    except MissingDependencyError as error:
        if name == "rtx":
            raise
        raise MissingDependencyError(
            "tensorrt cannot be imported; install it with: pip install 'edgedeblur[tensorrt]' (it "
            "needs an NVIDIA GPU; on Jetson it comes with JetPack), or use --trt rtx"
        ) from error


def installed() -> list[str]:
    """The SDKs that can be imported, ``tensorrt`` first."""
    return [name for name, module in MODULES.items() if available(module)]


def read_header(path: Path) -> PlanHeader:
    """Read a plan's header.

    Raises:
        ValueError: not a plan.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES or head[1:4] != b"trt":
        raise ValueError(f"{path}: not a TensorRT plan; export it again")
    version = tuple(head[_VERSION_AT : _VERSION_AT + 4])
    return PlanHeader("rtx" if head[:4] == _RTX_MAGIC else "tensorrt", version)


def check_plan(path: Path, manifest: Manifest) -> str:
    """Check that this machine's system and SDK can load a plan; returns the SDK.

    Raises:
        ValueError: not a plan, or built for another system or by another version.
        MissingDependencyError: the SDK that wrote it is not installed.
    """
    header, engine = read_header(path), manifest.engine or {}
    system = engine.get("system")
    # Plans of TensorRT for RTX run on Linux and Windows, wherever they were built.
    if header.sdk == "tensorrt" and system is not None and system != system_name():
        raise ValueError(
            f"{path}: built for {system}, this is {system_name()}; TensorRT plans are bound to "
            "their system, so export it again here"
        )
    here = version_numbers(load_sdk(header.sdk))
    if header.version != here[: len(header.version)]:
        raise ValueError(
            f"{path}: built by {header}, installed is {PlanHeader(header.sdk, here)}; export it "
            f"again here, or install that version"
        )
    return header.sdk


def version_numbers(sdk: ModuleType) -> tuple[int, ...]:
    """``1.7.1.116`` -> (1, 7, 1, 116); parts that are not numbers are dropped."""
    return tuple(int(part) for part in str(sdk.__version__).split(".")[:4] if part.isdigit())


def system_name() -> str:
    """Operating system and processor, which a plan is bound to: ``Linux x86_64``."""
    return f"{platform.system()} {platform.machine()}"


class ErrorLog:
    """Collects an SDK's error log lines, and prints nothing."""

    def __init__(self, sdk: ModuleType) -> None:
        self.lines: list[str] = []
        self.logger = _logger_class(sdk)(self.lines)

    def text(self) -> str:
        """The errors in one line, without those that only follow from a missing GPU."""
        lines = list(dict.fromkeys(line for text in self.lines for line in text.splitlines()))
        causes = [line for line in lines if "checkMacros.cpp" not in line]
        return "; ".join((causes or lines)[:3]) or "it gives no reason"


def _logger_class(sdk: ModuleType) -> Any:  # noqa: ANN401 - the base exists once the SDK is there
    severity = sdk.ILogger.Severity

    class Logger(sdk.ILogger):
        """Its calls come from the SDK, in any thread."""

        def __init__(self, lines: list[str]) -> None:
            super().__init__()
            self._lines = lines

        def log(self, level: Any, text: str) -> None:  # noqa: ANN401
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self._lines.append(text.strip())

    return Logger
