"""What an archive run did: counts, speed and cost; and the file of its failures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .plan import Failed
from .stores import Store, join
from .worker import DONE, FAILED, Result

FAILURES = "failures.jsonl"
_MOST_SHOWN = 10


@dataclass
class Tally:
    """Adds up results as they come; memory grows only with the failures."""

    done: int = 0
    skipped: int = 0
    retries: int = 0
    pixels: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    read_s: float = 0.0
    write_s: float = 0.0
    infer_s: float = 0.0
    around_s: float = 0.0
    first_s: float | None = None
    last_s: float | None = None
    failures: list[Failed] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one result."""
        self.retries += result.retries
        if result.status == FAILED:
            self.failures.append(Failed(result.name, result.reason))
            return
        if result.status != DONE:
            self.skipped += 1
            return
        self.done += 1
        for name in ("pixels", "bytes_in", "bytes_out", "read_s", "write_s", "infer_s", "around_s"):
            setattr(self, name, getattr(self, name) + getattr(result, name))
        self.first_s = min(self.first_s or result.begin_s, result.begin_s)
        self.last_s = max(self.last_s or result.end_s, result.end_s)


@dataclass(frozen=True)
class Summary:
    """The result of a run, as ``--json`` prints it.

    Attributes:
        artifact, artifact_sha256, output: What ran, and where to.
        ran_on: Device, threads and precision of a worker; None if nothing was to be done.
        workers, threads: Runners, and CPU threads of each.
        wall_s: From the command's start to its end, with starting Ray and opening runners.
        work_s: From the first picture's beginning to the last one's end, by the workers' clocks.
        price: Of one hour of all machines together; None: not given.
    """

    artifact: str
    artifact_sha256: str
    output: str
    ran_on: str | None
    workers: int
    threads: int
    wall_s: float
    price: float | None
    tally: Tally

    @property
    def work_s(self) -> float | None:
        """See the class; None if no picture was deblurred."""
        first, last = self.tally.first_s, self.tally.last_s
        return None if first is None or last is None or last <= first else last - first

    @property
    def pictures_per_s(self) -> float | None:
        """Pictures a second of ``work_s``."""
        return None if self.work_s is None else self.tally.done / self.work_s

    @property
    def cost_per_1000(self) -> float | None:
        """Price of a thousand pictures: of all of ``wall_s``, since that is what is paid for."""
        if self.price is None or not self.tally.done:
            return None
        return self.price * self.wall_s / 3600 / self.tally.done * 1000

    def to_dict(self) -> dict[str, Any]:
        """The JSON object; means are over the deblurred pictures."""
        tally = self.tally
        each = {
            f"{name}_ms": _rounded(1e3 * getattr(tally, f"{name}_s") / tally.done)
            for name in ("read", "infer", "around", "write")
            if tally.done
        }
        return {
            "artifact": self.artifact,
            "artifact_sha256": self.artifact_sha256,
            "output": self.output,
            "ran_on": self.ran_on,
            "workers": self.workers,
            "threads": self.threads,
            "pictures": tally.done,
            "skipped": tally.skipped,
            "failed": len(tally.failures),
            "retries": tally.retries,
            "megapixels": _rounded(tally.pixels / 1e6),
            "bytes_in": tally.bytes_in,
            "bytes_out": tally.bytes_out,
            "mean": each,
            "wall_s": _rounded(self.wall_s),
            "work_s": _rounded(self.work_s),
            "pictures_per_s": _rounded(self.pictures_per_s),
            "price_per_hour": self.price,
            "cost_per_1000": None if self.cost_per_1000 is None else round(self.cost_per_1000, 6),
            "failures_file": join(self.output, FAILURES) if tally.failures else None,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        tally = self.tally
        speed = ""
        if self.pictures_per_s is not None:
            speed = (
                f", {self.pictures_per_s:.2f} pictures/s with {self.workers} workers of "
                f"{self.threads} threads ({self.wall_s:.1f} s in all)"
            )
        lines = [f"{tally.done} pictures deblurred{speed}"]
        if tally.skipped:
            lines.append(f"{tally.skipped} skipped (output exists)")
        if tally.retries:
            lines.append(f"{tally.retries} reads or writes were tried again")
        if self.cost_per_1000 is not None:
            lines.append(
                f"{self.cost_per_1000:.4g} per thousand pictures, at {self.price:g} an hour"
            )
        return lines


def failure_lines(failures: Iterable[Failed], output: str, pictures: int) -> list[str]:
    """What is said about failures: the first few, and where all of them are."""
    listed = sorted(failures, key=lambda failure: failure.name)
    if not listed:
        return []
    lines = [f"deblur-run: error: {len(listed)} of {pictures} pictures failed"]
    lines += [f"  {failure}" for failure in listed[:_MOST_SHOWN]]
    if len(listed) > _MOST_SHOWN:
        lines.append(f"  ... and {len(listed) - _MOST_SHOWN} more, all in {join(output, FAILURES)}")
    return lines


def write_failures(store: Store, output: str, failures: Iterable[Failed]) -> None:
    """Write ``failures.jsonl``, sorted by input; without failures an older one is removed."""
    address = join(output, FAILURES)
    rows = sorted({(failure.name, failure.reason) for failure in failures})
    if not rows:
        store.remove(address)
        return
    lines = [json.dumps({"input": name, "reason": reason}) for name, reason in rows]
    store.write(address, ("\n".join(lines) + "\n").encode())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
