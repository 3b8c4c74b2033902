"""The Ray half of an archive run: a streaming dataset of pictures through actors with open runners.

Pictures that are files of their own travel as addresses, and the actors read and write them.
Pictures in shards are read by tasks that need no core of their own, and travel as bytes through
Ray's object store, whose limits hold the readers back while the actors are busy.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..base import Runner
from ..command_line.console import USER_ERRORS, one_line
from ..machine import share_cores
from ..optional import require
from ..registry import open_runner
from .bundle import Bundle, unpack
from .plan import Item, rows_per_task
from .shards import Columns, Member, read_shard
from .stores import join, retrying, store_for
from .worker import FAILED, SKIPPED, CountedAttempts, Result, Row, WorkSettings, work

FATAL = "fatal"  # the status of a worker that cannot open the artifact
RAN_ON = "ran_on"  # the status of the row in which it says what it runs on
_BLOCK_BYTES = 32 << 20  # of encoded pictures: what a dead worker repeats at most
_SHARD_ROWS = 8


@dataclass(frozen=True)
class Workers:
    """The actors of a run.

    Attributes:
        count: How many; each has a runner of its own.
        threads: CPU threads, and so cores, of each.
        gpus: GPUs of each; a fraction shares one.
        device: ``cpu`` or ``cuda``.
    """

    count: int
    threads: int
    gpus: float = 0.0
    device: str = "cpu"


@dataclass(frozen=True)
class Reading:
    """How shards are read, and since when their outputs are this run's (see `marker`)."""

    columns: Columns
    suffix: str | None
    since_s: float


def run_pipeline(
    ray: ModuleType,
    bundle: Bundle,
    items: Sequence[Item],
    workers: Workers,
    settings: WorkSettings,
    reading: Reading,
) -> Iterator[Result]:
    """Deblur all items; yields results as they come, in no order.

    Raises:
        ValueError: no worker can open the artifact; the text says why.
    """
    data: Any = require("ray.data", extra="ray")
    context = data.DataContext.get_current()
    context.target_max_block_size = _BLOCK_BYTES
    # On this machine: if it dies, so did the run.
    board: Any = ray.remote(num_cpus=0)(_Board).remote(bundle)
    rows = _picture_rows(data, items, workers.count)
    shards = [item for item in items if item.is_shard]
    if shards:
        read = _shard_rows(data, shards, workers, settings, reading)
        rows = read if rows is None else rows.union(read)
    if rows is None:
        return
    results = rows.map_batches(
        _Worker,
        batch_size=_SHARD_ROWS if shards else None,
        batch_format="pyarrow",
        num_cpus=workers.threads,
        num_gpus=workers.gpus or None,
        compute=data.ActorPoolStrategy(size=workers.count, max_tasks_in_flight_per_actor=2),
        fn_constructor_args=(board, workers, settings),
    )
    try:
        for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in table.to_pylist():
                result = Result(**row)
                if result.status == FATAL:
                    raise ValueError(result.reason)
                yield result
    finally:
        ray.kill(board)


class _Board(CountedAttempts):
    """An actor that outlives the workers: counts what they began, and hands out the artifact."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self._bundle = bundle

    def bundle(self) -> Bundle:
        return self._bundle


class _RemoteAttempts:
    """`worker.Attempts` by way of the board."""

    def __init__(self, board: Any) -> None:  # noqa: ANN401 - Ray's handles have no types
        self._actor = board

    def begin(self, key: str) -> int:
        ray: Any = require("ray", extra="ray")
        return int(ray.get(self._actor.begin.remote(key)))

    def end(self, key: str) -> None:
        ray: Any = require("ray", extra="ray")
        ray.get(self._actor.end.remote(key))


class _Worker:
    """An actor: opens the artifact when the first rows come, and keeps it open."""

    def __init__(
        self,
        board: Any,  # noqa: ANN401 - Ray's handles have no types
        workers: Workers,
        settings: WorkSettings,
    ) -> None:
        self._board = board
        self._workers = workers
        self._settings = settings
        self._attempts = _RemoteAttempts(board)
        self._runner: Runner | None = None

    def __call__(self, table: Any) -> Any:  # noqa: ANN401 - an Arrow table both ways
        results: list[Result] = []
        if self._runner is None:
            # Raised in here, an error would come out wrapped in Ray's own, and tried for ever.
            try:
                self._runner = self._open()
            except USER_ERRORS as error:
                return _table([Result("", "", FATAL, one_line(error))])
            results.append(Result("", "", RAN_ON, self._runner.describe()))
        listed = table.to_pylist()
        told = [row for row in listed if row["status"]]
        results += [Result(r["name"], r["output"], r["status"], r["reason"]) for r in told]
        rows = [Row(r["name"], r["output"], r["data"]) for r in listed if not r["status"]]
        if rows:
            key = f"{rows[0].name}+{len(rows)}"
            results += work(self._runner, rows, self._settings, self._attempts, key)
        return _table(results)

    def _open(self) -> Runner:
        ray: Any = require("ray", extra="ray")
        path = unpack(ray.get(self._board.bundle.remote()))
        share_cores()
        return open_runner(path, threads=self._workers.threads, device=self._workers.device)


def _picture_rows(data: Any, items: Sequence[Item], workers: int) -> Any:  # noqa: ANN401
    """Addresses, in blocks that are a task each; None if there are none."""
    pictures = [item for item in items if not item.is_shard]
    if not pictures:
        return None
    size = rows_per_task(len(pictures), workers)
    starts = range(0, len(pictures), size)
    return data.from_arrow(
        [_rows([Row(i.address, i.output) for i in pictures[at : at + size]]) for at in starts]
    )


def _shard_rows(
    data: Any,  # noqa: ANN401 - ray.data
    shards: Sequence[Item],
    workers: Workers,
    settings: WorkSettings,
    reading: Reading,
) -> Any:  # noqa: ANN401 - a dataset
    tables = [_rows([Row(shard.address, shard.output)]) for shard in shards]
    return data.from_arrow(tables).map_batches(
        _read_shards,
        batch_size=1,
        batch_format="pyarrow",
        fn_kwargs={"settings": settings, "reading": reading},
        # The workers hold all cores; reading takes little of one.
        num_cpus=0,
        compute=data.TaskPoolStrategy(size=max(1, min(len(shards), -(-workers.count // 4)))),
    )


def _read_shards(table: Any, settings: WorkSettings, reading: Reading) -> Iterator[Any]:  # noqa: ANN401
    """The pictures of each shard, in tables of a few."""
    for row in table.to_pylist():
        members = _members(row["name"], row["output"], settings, reading)
        while chunk := list(itertools.islice(members, _SHARD_ROWS)):
            yield _member_table(chunk)


def _members(
    address: str, folder: str, settings: WorkSettings, reading: Reading
) -> Iterator[Member]:
    store = store_for(settings.output)
    try:
        there, _ = retrying(lambda: store.listing(join(settings.output, folder)), settings.retries)
        stream, _ = retrying(lambda: store_for(address).open(address), settings.retries)
    except USER_ERRORS as error:
        text = one_line(error)
        yield Member(address, reason=text if address in text else f"{address}: {text}")
        return

    def finished(output: str) -> bool:
        written_s = there.get(output[len(folder) + 1 :])
        return written_s is not None and written_s >= reading.since_s

    with stream:
        yield from read_shard(
            stream,
            address,
            folder,
            columns=reading.columns,
            suffix=reading.suffix,
            finished=finished,
        )


def _rows(rows: Sequence[Row]) -> Any:  # noqa: ANN401 - an Arrow table
    return _arrow([{**vars(row), "status": "", "reason": ""} for row in rows])


def _member_table(members: Sequence[Member]) -> Any:  # noqa: ANN401 - an Arrow table
    return _arrow(
        [
            {
                "name": member.name,
                "output": member.output,
                "data": member.data,
                "status": FAILED if member.reason else SKIPPED if member.finished else "",
                "reason": member.reason or "",
            }
            for member in members
        ]
    )


def _arrow(rows: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - an Arrow table
    arrow: Any = require("pyarrow", extra="ray")
    text = arrow.string()
    names = ("name", "output", "status", "reason")
    schema = arrow.schema([*((name, text) for name in names), ("data", arrow.large_binary())])
    return arrow.Table.from_pylist(rows, schema=schema)


def _table(results: Sequence[Result]) -> Any:  # noqa: ANN401 - an Arrow table
    arrow: Any = require("pyarrow", extra="ray")
    kinds = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
    example = vars(Result("", "", ""))
    schema = arrow.schema([(name, kinds[type(value)]) for name, value in example.items()])
    rows = [dataclasses.asdict(result) for result in results]
    return arrow.Table.from_pylist(rows, schema=schema)
