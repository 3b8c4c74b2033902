"""The load client against a service whose times are known, and its arithmetic."""

import asyncio
import itertools
import math
import threading

import pytest
from edgedeblur.benchmarks.load.cli import EVEN, POISSON, arrivals, percentile, row_of
from edgedeblur.benchmarks.load.client import Sample, Target, as_fast_as_answered, at_times


@pytest.fixture
def server():
    """Answers after 0.1 s; every fifth request gets 429, and every seventh is cut off."""
    loop = asyncio.new_event_loop()
    numbers = itertools.count(1)

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert await reader.readexactly(length) == b"picture"
        number = next(numbers)
        await asyncio.sleep(0.1)
        status = b"429 Too Many Requests" if number % 5 == 0 else b"200 OK"
        body = b"" if number % 7 == 0 else b"sharp"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    running = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Target.at(f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}", b"picture")
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    running.close()
    loop.run_until_complete(running.wait_closed())
    loop.close()


def test_open_loop_counts_what_came_back(server):
    samples = asyncio.run(at_times(server, [n / 50 for n in range(14)]))
    # Of 1 to 14: 5 and 10 refused, 7 and 14 cut off.
    assert sorted(sample.status for sample in samples) == [0] * 2 + [200] * 10 + [429] * 2
    assert all(0.1 <= sample.seconds < 2 for sample in samples)
    row = row_of(0.5, samples, 0.28, 0.5)
    assert (row.sent, row.answered, row.refused, row.failed) == (14, 10, 2, 2)
    assert (row.offered_per_s, row.answered_per_s) == pytest.approx((50, 20))


def test_closed_loop_waits_for_each_answer(server):
    samples = asyncio.run(as_fast_as_answered(server, 2, 0.35))
    assert 4 <= len(samples) <= 8  # two clients, an answer each 0.1 s


def test_a_service_that_is_not_there():
    samples = asyncio.run(at_times(Target.at("http://127.0.0.1:1", b"picture"), [0.0]))
    with pytest.raises(ValueError, match="no picture was answered"):
        row_of(1.0, samples, 1.0, 1.0)


@pytest.mark.parametrize("address", ["http://10.0.0.1:8000", "http://example.org", "x",
                                     "https://127.0.0.1:8000", "http://0.0.0.0:80"])  # fmt: skip
def test_other_machines_are_never_loaded(address):
    with pytest.raises(ValueError, match="only a service on this machine"):
        Target.at(address, b"")


def test_this_machine_by_its_names():
    for address in ("http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"):
        assert Target.at(address, b"").port == 1


def test_arrivals():
    assert arrivals(4, 1, EVEN) == [0, 0.25, 0.5, 0.75]
    starts = arrivals(50, 100, POISSON)
    assert starts == sorted(starts)
    assert starts[-1] < 100
    gaps = [b - a for a, b in itertools.pairwise([0.0, *starts])]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.02, rel=0.05)
    assert deviation == pytest.approx(mean, rel=0.05)  # exponential


def test_percentiles_by_nearest_rank():
    values = list(range(1, 101))
    assert (percentile(values, 50), percentile(values, 99)) == (50, 99)
    assert percentile([7], 99) == 7
    assert percentile([1, 2, 3], 50) == 2


def test_only_answered_pictures_count_into_the_times():
    samples = [Sample(0.1, 200), Sample(9.0, 429), Sample(0.3, 200), Sample(60.0, 0)]
    row = row_of(1.5, samples, 1.0, 1.0)
    assert row.p50_ms == pytest.approx(100)
    assert row.most_ms == pytest.approx(300)
