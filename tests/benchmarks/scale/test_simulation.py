"""The simulation against queueing theory and hand computation."""

import dataclasses
import json
import math

import pytest
from edgedeblur.benchmarks.scale import simulate as command
from edgedeblur.benchmarks.scale.archive_model import Archive, simulate_archive
from edgedeblur.benchmarks.scale.burst_model import Service, percentile, simulate_service
from edgedeblur.benchmarks.scale.parameters import Measured, read_measured

pytest.importorskip("simpy")
EVEN = Measured("m", "a.onnx", "one thread", (1.0,), 0.8, 100_000, 150_000, 0.0, 16)


def test_even_workers_end_together():
    found = simulate_archive(EVEN, Archive(workers=4, pictures=4 * 16 * 3))
    assert (found.makespan_s, found.efficiency, found.pictures_per_s) == (48.0, 1.0, 4.0)
    assert (found.repeated_share, found.tail_s, found.losses) == (0.0, 0.0, 0)
    # One task of 16 too many: three workers wait for the fourth.
    found = simulate_archive(EVEN, Archive(workers=4, pictures=4 * 16 * 3 + 5))
    assert (found.makespan_s, found.tail_s) == (53.0, 5.0)


def test_starting_costs_its_time_once():
    slow = dataclasses.replace(EVEN, start_s=12.0)
    assert simulate_archive(slow, Archive(workers=2, pictures=64)).makespan_s == 12.0 + 32.0


def test_a_store_that_is_too_slow_sets_the_pace():
    # 2 Mbit a picture; 4 workers share 4 Mbit/s, so 2 s a picture instead of 1 s.
    found = simulate_archive(EVEN, Archive(workers=4, pictures=64, store_gbit_s=0.004))
    assert found.makespan_s == pytest.approx(32.0)
    found = simulate_archive(EVEN, Archive(workers=4, pictures=64, store_gbit_s=0.008))
    assert found.makespan_s == pytest.approx(16.0)


def test_slow_workers_lower_the_rate_as_harmonic_shares():
    archive = Archive(workers=300, pictures=300 * 16 * 40, slow_share=0.2, slow_factor=3.0)
    found = simulate_archive(EVEN, archive)
    # 0.8 of the workers at full rate and 0.2 at a third, less the tail and the draw of the shares.
    assert found.efficiency == pytest.approx(0.8 + 0.2 / 3, abs=0.04)


def test_lost_workers_lose_their_task_and_nothing_else():
    calm = simulate_archive(EVEN, Archive(workers=50, pictures=80_000))
    rough = simulate_archive(EVEN, Archive(workers=50, pictures=80_000, losses_per_hour=20.0))
    assert calm.repeated_share == 0.0
    assert rough.losses > 100
    # Each loss repeats less than a task, half of one on average.
    assert rough.repeated_share * 80_000 / rough.losses == pytest.approx(7.5, abs=1.0)
    # Between losses a worker works 180 s on average, then is away for 120 s and repeats 8 s.
    assert rough.efficiency == pytest.approx(172 / 300, abs=0.05)


def test_the_service_follows_queueing_theory():
    # Exponential times by their quantiles, one replica, no bursts, no limit: M/M/1, whose response
    # times are exponential with rate mu - lambda.
    times = tuple(-math.log1p(-(n + 0.5) / 4000) for n in range(4000))
    measured = dataclasses.replace(EVEN, seconds=times)
    service = Service(replicas=1, load=0.5, burst_load=0.5, queue=10**6, hours=12.0)
    found = simulate_service(measured, service)
    assert found.requests == pytest.approx(0.5 * 12 * 3600, rel=0.03)
    assert found.refused_share == 0.0
    assert found.p50_s == pytest.approx(math.log(2) / 0.5, rel=0.1)
    assert found.p99_s == pytest.approx(math.log(100) / 0.5, rel=0.15)


def test_more_than_capacity_is_refused_and_waits_are_bounded():
    service = Service(replicas=10, load=2.0, burst_load=2.0, queue=3, hours=1.0)
    found = simulate_service(EVEN, service)
    assert found.refused_share == pytest.approx(0.5, abs=0.01)
    # At most 30 wait before a request, of which 10 are answered a second; then its own second.
    assert 3.0 < found.p99_s <= 4.0 + 1e-9


def test_bursts_only_hurt_while_they_last():
    calm = simulate_service(EVEN, Service(replicas=20, load=0.5, burst_load=0.5, hours=1.0))
    bursts = simulate_service(EVEN, Service(replicas=20, load=0.5, burst_load=3.0, hours=1.0))
    assert calm.refused_share == 0.0
    # 30 of 600 s offer 3, of which 2 are refused once the queue is full; else 0.5 is offered.
    offered, refused = 30 * 3 + 570 * 0.5, 30 * 2 - 4  # the queue takes 4 a replica
    assert bursts.refused_share == pytest.approx(refused / offered, abs=0.02)


def test_percentiles():
    assert [percentile([1, 2, 3, 4], p) for p in (0, 25, 26, 50, 99, 100)] == [1, 1, 2, 2, 4, 4]


def test_the_packaged_figures_and_the_command(capsys):
    measured = read_measured()
    assert min(measured.seconds) > 0.05
    assert measured.infer_s < math.fsum(measured.seconds) / len(measured.seconds)
    assert command.main(["--workers", "20", "--pictures", "2000", "--replicas", "5", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["conditions"] == measured.conditions
    assert len(body["archives"]) == len(command.ARCHIVES)
    assert body["archives"]["as measured"]["losses"] == 0
    assert command.main(["--workers", "20", "--pictures", "2000", "--replicas", "5"]) == 0
    assert "simulated" in capsys.readouterr().out


def test_refusals(tmp_path, capsys):
    with pytest.raises(ValueError, match="a worker and a picture"):
        simulate_archive(EVEN, Archive(workers=0, pictures=5))
    with pytest.raises(ValueError, match="needs a replica"):
        simulate_service(EVEN, Service(replicas=0))
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({**dataclasses.asdict(EVEN), "seconds": []}))
    assert command.main(["--measured", str(empty)]) == 1
    assert "holds no picture's seconds" in capsys.readouterr().err
