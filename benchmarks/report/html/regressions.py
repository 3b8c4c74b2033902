"""Compares results: what got slower, larger or worse than in the first of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...result import BenchResult, Row
from ..columns import measured_size
from .payload import Source

DROP_DB = 0.05  # of PSNR against sharp pictures


@dataclass(frozen=True)
class Limits:
    """What counts as a regression: more than this share (0.05 is 5 %), or this drop of PSNR."""

    share: float
    drop_db: float = DROP_DB


@dataclass(frozen=True)
class Change:
    """One figure of one engine in two results.

    Attributes:
        engine: The row.
        figure: ``infer ms``, ``bytes``, ``peak memory bytes`` or ``PSNR dB``.
        source: The later result.
        before, after: The figure in the first result and in this one.
        regressed: Whether it got worse by more than the limits allow.
    """

    engine: str
    figure: str
    source: str
    before: float
    after: float
    regressed: bool

    @property
    def text(self) -> str:
        """One line for people."""
        if self.figure == "PSNR dB":
            change = f"{self.after - self.before:+.3f} dB"
        else:
            change = f"{100 * (self.after / self.before - 1):+.1f} %"
        return (
            f"{self.engine}: {self.figure} {self.before:.6g} -> {self.after:.6g} ({change}) "
            f"in {self.source}"
        )


@dataclass(frozen=True)
class Comparison:
    """All changes, and what could not be compared."""

    changes: tuple[Change, ...]
    remarks: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes that exceed the limits."""
        return tuple(change for change in self.changes if change.regressed)


def compare(sources: Sequence[Source], limits: Limits) -> Comparison:
    """Compare every later result with the first, engine by engine.

    Times and memory are compared on the same machine, threads and device alone, quality on the
    same pictures alone. Engines that just one of two results has are remarked upon.
    """
    changes: list[Change] = []
    remarks: list[str] = []
    if len(sources) < 2:
        return Comparison((), ())
    first, *others = sources
    known = _by_engine(first.result)
    for other in others:
        machine = _machine(first.result) == _machine(other.result)
        pictures = first.result.data.list_sha256 == other.result.data.list_sha256
        if not machine:
            remarks.append(
                f"{other.name}: times are not compared with {first.name}, which is from another "
                "machine or other threads"
            )
        if not pictures:
            remarks.append(f"{other.name}: quality is not compared: other pictures")
        found = _by_engine(other.result)
        remarks += [
            f"{other.name}: does not have {_name(key)}" for key in known if key not in found
        ]
        remarks += [f"{other.name}: only there: {_name(key)}" for key in found if key not in known]
        for key, before in known.items():
            if (after := found.get(key)) is not None:
                figures = _figures(before, after, machine=machine, pictures=pictures)
                changes += [
                    Change(
                        _name(key),
                        figure,
                        other.name,
                        old,
                        new,
                        _regressed(figure, old, new, limits),
                    )
                    for figure, old, new in figures
                ]
    return Comparison(tuple(changes), tuple(remarks))


def _machine(result: BenchResult) -> tuple[object, ...]:
    machine, conditions = result.environment, result.conditions
    return machine.cpu, machine.cores, machine.gpu, conditions.threads, conditions.device


def _by_engine(result: BenchResult) -> dict[tuple[str, str], Row]:
    return {(row.engine, measured_size(row)): row for row in result.rows if row.error is None}


def _name(key: tuple[str, str]) -> str:
    return f"{key[0]} at {key[1]}"


def _figures(
    before: Row, after: Row, *, machine: bool, pictures: bool
) -> list[tuple[str, float, float]]:
    found: list[tuple[str, float | None, float | None]] = []
    if machine and before.latency and after.latency:
        found.append(("infer ms", before.latency.infer.median_ms, after.latency.infer.median_ms))
        found.append(
            (
                "peak memory bytes",
                before.latency.peak_memory_bytes,
                after.latency.peak_memory_bytes,
            )
        )
    if before.footprint and after.footprint:
        found.append(("bytes", before.footprint.bytes, after.footprint.bytes))
    if pictures and before.quality and after.quality:
        found.append(("PSNR dB", before.quality.psnr_db, after.quality.psnr_db))
    return [
        (figure, old, new)
        for figure, old, new in found
        if old is not None and new is not None and math.isfinite(old) and math.isfinite(new) and old
    ]


def _regressed(figure: str, before: float, after: float, limits: Limits) -> bool:
    if figure == "PSNR dB":
        return before - after > limits.drop_db
    return after > before * (1.0 + limits.share)
