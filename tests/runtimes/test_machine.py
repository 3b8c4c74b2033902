"""CPU families, from what ``/proc/cpuinfo`` says on the processor that each fixture names."""

from __future__ import annotations

from pathlib import Path

import edgedeblur.runtimes.machine as machine
import pytest
from edgedeblur.runtimes.machine import CPU_FAMILIES, cpu_family, family_of, nearest_families

RECORDED = Path(__file__).parents[1] / "fixtures" / "cpuinfo"
FAMILIES = {
    "amd_epyc_9r14": "avx512",  # Zen 4
    "amd_epyc_7302p": "avx2",  # Zen 2
    "arm_neoverse_v2": "arm",
    "intel_xeon_amx": "amx",
    "intel_xeon_amx_hidden": "avx512",  # a virtual machine that hides the tiles
}


def test_every_recorded_processor_is_tested():
    assert {path.stem for path in RECORDED.iterdir()} == set(FAMILIES)


@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_families_of_recorded_processors(name, family, monkeypatch):
    assert family_of((RECORDED / f"{name}.txt").read_text()) == family
    monkeypatch.setattr(machine, "_CPUINFO", RECORDED / f"{name}.txt")
    assert cpu_family() == family


@pytest.mark.parametrize(
    ("flags", "family"),
    [
        ("avx2 avx512f avx512bw", "avx2"),  # Skylake: AVX-512, but int8 as AVX2 has it
        ("avx2 avx512f avx512_vnni", "avx512"),  # Cascade Lake: VNNI without BF16
        ("avx2 avx512f avx512_bf16", "avx512"),
        ("avx2 avx_vnni", "avx2"),
        ("sse4_2 avx", "unknown"),
        ("avx2x avx512fx", "unknown"),
    ],
)
def test_families_by_the_flag_that_decides(flags, family):
    assert family_of(f"model name\t: avx512f amx_int8\nflags\t\t: {flags}\n") == family


@pytest.mark.parametrize(
    ("processor", "family"), [("arm64", "arm"), ("aarch64", "arm"), ("AMD64", "unknown")]
)
def test_families_without_cpuinfo(processor, family, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.platform, "machine", lambda: processor)
    assert cpu_family() == family


@pytest.mark.parametrize(
    ("family", "order"),
    [
        ("amx", ["amx", "avx512", "avx2", "arm", "unknown"]),
        ("avx512", ["avx512", "amx", "avx2", "arm", "unknown"]),
        ("avx2", ["avx2", "avx512", "arm", "amx", "unknown"]),
        ("arm", ["arm", "avx2", "avx512", "amx", "unknown"]),
        ("unknown", ["unknown", "avx2", "avx512", "arm", "amx"]),
    ],
)
def test_nearest_families_come_first(family, order):
    assert list(nearest_families(family)) == order
    assert set(CPU_FAMILIES) < set(order)


def test_the_name_is_the_one_in_cpuinfo(monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", RECORDED / "amd_epyc_9r14.txt")
    assert machine.machine() == "AMD EPYC 9R14"
