"""Imports results that the Android app measured: its JSON files, as rows of the same table.

The app writes one file per measurement (schema ``edgedeblur.phone``, version 1), by
``android_demo/.../core/PhoneResult.kt``. Its fields are those of `PhoneFile` below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .imported import Kind, manifest_of, row_of
from .result import BenchResult, Environment, PhoneParity, PhoneRun, PhoneSample, Row


@dataclass(frozen=True)
class PhoneDevice:
    """The phone. ``soc``: None before Android 12, which does not report it; ``sdk``: API level."""

    manufacturer: str
    model: str
    soc: str | None
    abi: str
    cores: int
    memory_bytes: int
    android: str
    sdk: int


@dataclass(frozen=True)
class PhoneFile:
    """One measurement, as the app writes it. Times are milliseconds, every measured run.

    Attributes:
        schema, schema_version: ``edgedeblur.phone``, 1.
        measured_on: Date, UTC.
        app, tensorflow_lite: Versions.
        device: The phone.
        model: The model's file name.
        manifest: Its manifest, whole, so that the digest can be checked again.
        accelerator: ``CPU (XNNPACK)`` or ``GPU``.
        threads: CPU threads; 1 for the GPU.
        ran: Which accelerator ran, and why the other did not.
        content: The picture: ``golden picture`` (shipped with the model), or ``own picture``.
        warmup: Unmeasured runs after the first.
        load_ms, first_ms: LoadCost the model, and the first run.
        infer_ms: The interpreter's run alone.
        end_to_end_ms, pre_ms, post_ms: Pixels to pixels, and the parts around the interpreter.
        parity: Against PyTorch's output for the golden picture; None without a golden tensor.
        sustained: Samples of the long run, one every few seconds; empty if it was skipped.
    """

    schema: str
    schema_version: int
    measured_on: str
    app: str
    tensorflow_lite: str
    device: PhoneDevice
    model: str
    manifest: dict[str, Any]
    accelerator: str
    threads: int
    ran: str
    content: str
    warmup: int
    load_ms: float
    first_ms: float
    infer_ms: tuple[float, ...]
    end_to_end_ms: tuple[float, ...]
    pre_ms: tuple[float, ...]
    post_ms: tuple[float, ...]
    parity: PhoneParity | None
    sustained: tuple[PhoneSample, ...]


PHONE = Kind(PhoneFile, "phone", 1, "the Android app", "share it from there again", "an app")


def read_phone_results(paths: Sequence[Path]) -> BenchResult:
    """Read files that the app wrote, all on one phone.

    Raises:
        OSError: a file does not exist, or cannot be read.
        ValueError: not an app result, damaged, or from another phone than the first.
    """
    files = [PHONE.read(path) for path in paths]
    first = files[0]
    for path, file in zip(paths, files, strict=True):
        if file.device != first.device or file.tensorflow_lite != first.tensorflow_lite:
            raise ValueError(
                f"{path}: measured on another phone, or with another TensorFlow Lite, than "
                f"{paths[0]}; a table has one machine, so import them separately"
            )
    return PHONE.joined(
        first,
        [_row(file, str(path)) for path, file in zip(paths, files, strict=True)],
        size=manifest_of(first, str(paths[0])).macs_size or (0, 0),
        device=first.accelerator,
        environment=_environment(first),
    )


def _row(file: PhoneFile, origin: str) -> Row:
    manifest = manifest_of(file, origin)
    size = manifest.input.size
    if size is None:
        raise ValueError(f"{origin}: the model takes any size; the app measures fixed ones only")
    where = file.accelerator if file.threads == 1 else f"{file.accelerator}, {file.threads} threads"
    row = row_of(
        file,
        manifest,
        size,
        engine=f"{file.model} on {file.device.model}, {where}",
        runtime="org.tensorflow.lite",
        memory_method="not measured on phones",
    )
    phone = PhoneRun(file.ran, file.content, file.parity, file.sustained)
    return dataclasses.replace(row, phone=phone)


def _environment(file: PhoneFile) -> Environment:
    device = file.device
    return Environment(
        cpu=f"{device.manufacturer} {device.model} ({device.soc or 'unknown SoC'}, {device.abi})",
        cores=device.cores,
        threads_usable=device.cores,
        memory_bytes=device.memory_bytes,
        os=f"Android {device.android} (API {device.sdk})",
        python="",
        gpu=None,
        packages={"tensorflow-lite": file.tensorflow_lite, "edgedeblur app": file.app},
    )
