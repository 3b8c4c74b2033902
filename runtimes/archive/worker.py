"""What one worker of an archive run does: an open runner, and one picture after another.

Knows nothing of Ray, so that tests and other schedulers can call it. The arithmetic is that of
``deblur-run``: both call `pictures.batch.deblur_encoded`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ..base import Runner
from ..command_line.console import USER_ERRORS, one_line
from ..pictures.batch import Settings, Sharp, deblur_encoded
from ..sdk_errors import translate_sdk_error
from .stores import join, retrying, store_for

READ_AHEAD = 2  # pictures, so that a store's delay does not stop the arithmetic
DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Row:
    """One picture: its name for messages, its output, and its bytes unless they must be read."""

    name: str
    output: str
    data: bytes | None = None


@dataclass(frozen=True)
class Result:
    """What became of one picture. Times in seconds; ``begin_s`` and ``end_s`` since 1970.

    ``read_s`` and ``write_s`` are the store's times, which pass while other pictures are computed.
    ``around_s`` is decoding, padding, blending and encoding; ``infer_s`` is 0 where the runtime is
    only emulated.
    """

    name: str
    output: str
    status: str
    reason: str = ""
    retries: int = 0
    pixels: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    read_s: float = 0.0
    write_s: float = 0.0
    infer_s: float = 0.0
    around_s: float = 0.0
    begin_s: float = 0.0
    end_s: float = 0.0


class Attempts(Protocol):
    """Counts how often something was begun and not ended, beyond the life of a worker."""

    def begin(self, key: str) -> int:
        """Note the beginning; returns which attempt this is, from 1."""
        ...

    def end(self, key: str) -> None:
        """Forget it."""
        ...


@dataclass(frozen=True)
class WorkSettings:
    """The same for all workers of a run.

    Attributes:
        output: Address of the output folder.
        settings: Tiling and quality.
        retries: How often a store's error, or a worker's death, is tried again.
    """

    output: str
    settings: Settings = field(default_factory=Settings)
    retries: int = 3


def work(
    runner: Runner, rows: Iterable[Row], settings: WorkSettings, attempts: Attempts, key: str
) -> list[Result]:
    """Read, deblur and write pictures; one that fails does not stop the others.

    A picture that kills its process (a decoder's fault, too little memory) would do so for ever,
    since the scheduler gives its rows to the next worker. So beginnings are counted outside: rows
    that come again are taken one by one, each counted, and one that never ended is a failure.

    Args:
        runner: An open runner.
        rows: The pictures.
        settings: See `WorkSettings`.
        attempts: Keeps its counts when this process dies.
        key: Names these rows among others.
    """
    listed = list(rows)
    again = attempts.begin(key) > 1
    results = list(_results(runner, listed, settings, attempts if again else None))
    attempts.end(key)
    return results


def _results(
    runner: Runner, rows: list[Row], settings: WorkSettings, attempts: Attempts | None
) -> Iterator[Result]:
    ahead = READ_AHEAD if attempts is None else 0
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        reads: deque[Future[_Read]] = deque()
        writes: deque[Future[Result]] = deque()
        todo = deque(rows)
        for row in rows:
            while todo and len(reads) <= ahead:
                reads.append(pool.submit(_read, todo.popleft(), settings.retries))
            read = reads.popleft().result()
            result = _counted(runner, row, read, settings, attempts, pool)
            if isinstance(result, Result):
                yield result
                continue
            writes.append(result)
            if len(writes) > ahead:
                yield writes.popleft().result()
        while writes:
            yield writes.popleft().result()


@dataclass(frozen=True)
class _Read:
    data: bytes = b""
    error: Exception | None = None
    retries: int = 0
    seconds: float = 0.0


def _counted(
    runner: Runner,
    row: Row,
    read: _Read,
    settings: WorkSettings,
    attempts: Attempts | None,
    pool: ThreadPoolExecutor,
) -> Result | Future[Result]:
    if attempts is None:
        return _deblur(runner, row, read, settings, pool)
    begun = attempts.begin(row.name)
    if begun > settings.retries + 1:
        attempts.end(row.name)
        reason = f"{row.name}: its worker died {begun - 1} times while deblurring it"
        return Result(row.name, row.output, FAILED, reason)
    result = _deblur(runner, row, read, settings, pool)
    done = result if isinstance(result, Result) else result.result()
    attempts.end(row.name)
    return done


def _deblur(
    runner: Runner, row: Row, read: _Read, settings: WorkSettings, pool: ThreadPoolExecutor
) -> Result | Future[Result]:
    """The result of a failure, or of a write that is going on."""
    begin_s = time.time()
    partial = Result(
        row.name,
        row.output,
        DONE,
        retries=read.retries,
        bytes_in=len(read.data),
        read_s=read.seconds,
        begin_s=begin_s,
    )
    try:
        if read.error is not None:
            raise read.error
        sharp = deblur_encoded(
            runner, read.data, settings.settings, name=row.name, target=Path(row.output)
        )
    except Exception as error:  # noqa: BLE001 - `_failure` raises what is a fault of ours
        return _failure(partial, error)
    partial = replace(
        partial,
        pixels=sharp.height * sharp.width,
        bytes_out=len(sharp.encoded[0]),
        infer_s=(sharp.infer_ms or 0.0) / 1e3,
        around_s=(sharp.decode_ms + sharp.convert_ms + sharp.encode_ms) / 1e3,
    )
    return pool.submit(_write, partial, sharp, settings)


def _read(row: Row, retries: int) -> _Read:
    if row.data is not None:
        return _Read(row.data)
    begin = time.perf_counter()
    try:
        data, failed = retrying(lambda: store_for(row.name).read(row.name), retries)
    except USER_ERRORS as error:
        return _Read(error=error, seconds=time.perf_counter() - begin)
    return _Read(data, retries=failed, seconds=time.perf_counter() - begin)


def _write(partial: Result, sharp: Sharp, settings: WorkSettings) -> Result:
    address = join(settings.output, partial.output)
    begin = time.perf_counter()
    store = store_for(address)
    try:
        _, failed = retrying(lambda: store.write(address, sharp.encoded[0]), settings.retries)
    except USER_ERRORS as error:
        return _failure(partial, error)
    return replace(
        partial,
        retries=partial.retries + failed,
        write_s=time.perf_counter() - begin,
        end_s=time.time(),
    )


def _failure(partial: Result, error: Exception) -> Result:
    """A picture's failure; a fault of this program's own keeps its traceback and ends the run."""
    told = error if isinstance(error, USER_ERRORS) else translate_sdk_error(error, partial.name)
    if told is None:
        raise error
    text = one_line(told)
    reason = text if partial.name in text else f"{partial.name}: {text}"
    return replace(partial, status=FAILED, reason=reason, end_s=time.time())


class CountedAttempts:
    """Counts in this process."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, key: str) -> int:
        """See `Attempts`."""
        self._begun[key] = self._begun.get(key, 0) + 1
        return self._begun[key]

    def end(self, key: str) -> None:
        """See `Attempts`."""
        self._begun.pop(key, None)
