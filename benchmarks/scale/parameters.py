"""The measured figures that the arithmetic and the simulation start from, read from one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..serialise import from_json_types

MEASURED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True)
class Measured:
    """One worker of one thread, pictures of 720x1280, by ``deblur-run --ray --json``.

    Attributes:
        machine, artifact, conditions: What was measured, and how.
        seconds: Reading, decoding, inference, blending and encoding of each picture of the run.
        infer_s: The part of their mean that is inference.
        bytes_in, bytes_out: Of a picture, encoded; the mean.
        start_s: Starting Ray and opening runners, with ending them: a run less its pictures.
        task_pictures: Pictures that a worker gets at once, and repeats if it dies.
    """

    machine: str
    artifact: str
    conditions: str
    seconds: tuple[float, ...]
    infer_s: float
    bytes_in: float
    bytes_out: float
    start_s: float
    task_pictures: int


def read_measured(path: Path = MEASURED) -> Measured:
    """Read the file of measured figures.

    Raises:
        ValueError: not such a file, or one without a picture.
    """
    body = json.loads(path.read_text(encoding="utf-8"))
    measured = from_json_types(Measured, body, origin=str(path))
    if not measured.seconds or min(measured.seconds) <= 0:
        raise ValueError(f"{path}: holds no picture's seconds; measure it again")
    return measured
