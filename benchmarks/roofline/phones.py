"""Four phones' processors: peak arithmetic and memory traffic, each figure with its source.

A CPU's peak counts the fast cores alone, at most four, as apps use them: multiply-accumulates per
second are clock x vector pipes x lanes of 128 bits. Small cores slow a convolution down that is
split evenly. float16 has twice float32's lanes; int8 dot products have four times.
"""

from __future__ import annotations

from dataclasses import dataclass

_A16_8GEN2 = "cputronic.com, Apple A16 Bionic against Snapdragon 8 Gen 2"
_778G_4GEN2 = "cputronic.com, Snapdragon 778G against Snapdragon 4 Gen 2"
_LANES = 4  # float32 in 128 bits
SPEEDUP = {"fp32": 1, "fp16": 2, "int8": 4}


@dataclass(frozen=True)
class Cores:
    """Alike cores: how many, at which clock in GHz, with how many vector pipes that multiply."""

    count: int
    ghz: float
    pipes: int


@dataclass(frozen=True)
class Phone:
    """A phone's processor.

    Attributes:
        name: The phone.
        chip: Its system on a chip.
        cores: The fast ones.
        gpu: The GPU's name.
        gpu_tflops: Its peak in float32, a multiply-accumulate counted as two operations.
        gb_per_s: Peak memory traffic.
        sources: Where the figures are from.
    """

    name: str
    chip: str
    cores: tuple[Cores, ...]
    gpu: str
    gpu_tflops: float
    gb_per_s: float
    sources: tuple[str, ...]

    def cpu_gmacs(self, precision: str) -> float:
        """Peak of the fast cores, in 1e9 multiply-accumulates per second."""
        plain = sum(c.count * c.ghz * c.pipes * _LANES for c in self.cores)
        return plain * SPEEDUP[precision]

    def gpu_gmacs(self, precision: str) -> float:
        """Peak of the GPU; 8 bits are computed in float16."""
        return self.gpu_tflops * 500 * min(SPEEDUP[precision], 2)


PHONES = (
    Phone(
        "iPhone 14 Pro", "Apple A16", (Cores(2, 3.46, 4),), "5 cores", 1.7894, 51.2,
        (_A16_8GEN2, "pipes: dougallj.github.io/applecpu, Firestorm, an earlier core"),
    ),
    Phone(
        "Galaxy S23", "Snapdragon 8 Gen 2", (Cores(1, 3.2, 4), Cores(3, 2.8, 2)), "Adreno 740",
        3.4816, 64.0,
        (_A16_8GEN2, "pipes: Arm's software optimization guides, Cortex-X3 and Cortex-A715"),
    ),
    Phone(
        "Galaxy A52s", "Snapdragon 778G", (Cores(1, 2.4, 2), Cores(3, 2.2, 2)), "Adreno 642L",
        2 * 384 * 0.49 / 1000, 25.6,
        (_778G_4GEN2, "pipes: Arm's software optimization guide, Cortex-A78"),
    ),
    Phone(
        "Redmi 12 5G", "Snapdragon 4 Gen 2", (Cores(2, 2.2, 2),), "Adreno 613", 0.3667, 25.6,
        (_778G_4GEN2, "pipes: Arm's software optimization guide, Cortex-A78"),
    ),
)  # fmt: skip
