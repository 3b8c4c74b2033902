"""What results measured elsewhere share: reading files of phones and browsers, and their rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ..runtimes.artifact import Manifest
from .result import BenchResult, Conditions, DataSet, Environment, Footprint, Latency, Row
from .serialise import from_json_types
from .timing.latency import spread


class Measured(Protocol):
    """What files of all kinds have. Times in milliseconds: every run. See `phone.PhoneFile`."""

    @property
    def measured_on(self) -> str: ...  # noqa: D102 - the fields are described there
    @property
    def manifest(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def threads(self) -> int: ...  # noqa: D102
    @property
    def ran(self) -> str: ...  # noqa: D102
    @property
    def content(self) -> str: ...  # noqa: D102
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


File = TypeVar("File", bound=Measured)


@dataclass(frozen=True)
class Kind(Generic[File]):
    """A kind of files.

    Attributes:
        file: Their fields.
        name: ``browser``; ends the schema and is the layout of the rows' data set.
        version: Of the schema that this version reads.
        source: What writes them, for messages: ``the web page``.
        retry: What to do about a file of something else.
        writer: What must be of this version too: ``a page``.
    """

    file: type[File]
    name: str
    version: int
    source: str
    retry: str
    writer: str

    @property
    def schema(self) -> str:
        """The value of the field ``schema``."""
        return f"edgedeblur.{self.name}"

    def read(self, path: Path) -> File:
        """Read one file.

        Raises:
            OSError: it does not exist, or cannot be read.
            ValueError: not JSON, of another kind or version, altered, or without measurements.
        """
        body = read_body(path)
        if body.get("schema") != self.schema:
            raise ValueError(f"{path}: not a result of {self.source}; {self.retry}")
        if body.get("schema_version") != self.version:
            raise ValueError(
                f"{path}: {self.name} schema {body.get('schema_version')!r}, this version reads "
                f"{self.version}; use {self.writer} and a deblur-bench of the same version"
            )
        file = from_json_types(self.file, body, origin=str(path))
        manifest_of(file, str(path))
        refuse_bad_times(path, file.infer_ms, file.end_to_end_ms, file.pre_ms, file.post_ms)
        return file

    def joined(
        self,
        first: File,
        rows: Sequence[Row],
        *,
        size: tuple[int, int],
        device: str,
        environment: Environment,
    ) -> BenchResult:
        """The rows of one machine as a result, under the conditions of its first file.

        ``size``: (height, width) of the network's input.
        """
        return BenchResult(
            conditions=Conditions(
                size=size,
                protocol="edge",
                device=device,
                threads=first.threads,
                runs=len(first.infer_ms),
                warmup=first.warmup,
            ),
            data=DataSet(first.content, self.name, "-", 0, ""),
            environment=environment,
            rows=tuple(rows),
            measured_on=first.measured_on,
        )


def manifest_of(file: Measured, origin: str) -> Manifest:
    """The artifact's manifest, its digest checked again.

    Raises:
        ValueError: it was altered, or is of another version.
    """
    return Manifest.from_dict(file.manifest, origin=f"{origin}, its manifest")


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


def latency_of(file: Measured, size: tuple[int, int], memory_method: str) -> Latency:
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


def row_of(
    file: Measured,
    manifest: Manifest,
    size: tuple[int, int],
    *,
    engine: str,
    runtime: str,
    memory_method: str,
) -> Row:
    """The row of a file, whose network takes (height, width) ``size``."""
    return Row(
        engine=engine,
        target=manifest.target,
        backbone=manifest.backbone,
        network=manifest.network,
        norm=manifest.norm,
        runs_as=file.ran,
        precision=manifest.target.rpartition("-")[2],
        sha256=manifest.sha256,
        checkpoint_sha256=manifest.checkpoint.sha256,
        footprint=footprint_of(manifest, size),
        latency=latency_of(file, size, memory_method),
        runtime=runtime,
    )
