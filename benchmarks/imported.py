"""What results measured elsewhere share: reading files of phones and browsers, and their rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .result import Footprint, Latency
from .timing.latency import spread

if TYPE_CHECKING:
    from ..runtimes.artifact import Manifest


class Times(Protocol):
    """The measurements of a file, in milliseconds: every run. See `phone.PhoneFile`."""

    @property
    def content(self) -> str: ...  # noqa: D102 - the fields are described there
    @property
    def warmup(self) -> int: ...  # noqa: D102
    @property
    def load_ms(self) -> float: ...  # noqa: D102
    @property
    def first_ms(self) -> float: ...  # noqa: D102
    @property
    def infer_ms(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def end_to_end_ms(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def pre_ms(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def post_ms(self) -> tuple[float, ...]: ...  # noqa: D102


def read_body(path: Path) -> dict[str, Any]:
    """The fields of a file.

    Raises:
        OSError: it does not exist, or cannot be read.
        ValueError: not JSON, or no fields in it.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); share it again") from error
    if not isinstance(body, dict):
        raise ValueError(f"{path}: not a result of the Android app or the web page")
    return body


def refuse_bad_times(path: Path, *lists: tuple[float, ...]) -> None:
    """Raise ValueError if measurements are missing, negative or not finite."""
    for times in lists:
        if not times or not all(0 <= time < float("inf") for time in times):
            raise ValueError(f"{path}: measurements are missing or out of range; measure again")


def footprint_of(manifest: Manifest, size: tuple[int, int]) -> Footprint:
    """Bytes and parameters, and operations where the manifest counted them at that size."""
    macs = manifest.macs if manifest.macs_size == size else None
    return Footprint(
        bytes=manifest.bytes,
        params=manifest.params,
        size=size,
        macs=macs,
        flops=None if macs is None else 2 * macs,
        macs_elementwise=None,
        macs_paper=None,
        counted_from="manifest",
    )


def latency_of(file: Times, size: tuple[int, int], memory_method: str) -> Latency:
    """The measurements as those of a row; one tile of (height, width) ``size``."""
    infer = spread(file.infer_ms)
    return Latency(
        size=size,
        content=file.content,
        runs=len(file.infer_ms),
        warmup=file.warmup,
        import_ms=0.0,
        load_ms=file.load_ms,
        first_ms=file.first_ms,
        infer=infer,
        end_to_end=spread(file.end_to_end_ms),
        pre=spread(file.pre_ms),
        post=spread(file.post_ms),
        picture_size=size,
        tiles=1,
        peak_memory_bytes=None,
        start_memory_bytes=None,
        memory_method=memory_method,
        round_medians_ms=(infer.median_ms,),
        infer_runs_ms=file.infer_ms,
    )
