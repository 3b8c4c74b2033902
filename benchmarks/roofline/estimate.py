"""What a network would take at least on a phone: a roofline over its convolutions.

A layer takes as long as its arithmetic at the processor's peak, or as its maps and weights at the
memory's, whichever is longer. Other layers are taken to cost nothing. Runtimes reach a part of the
peaks and phones get warm, so real times are longer: an estimate ranks networks and phones, and no
more.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.network.registry import build_generator, get_network
from ...models.network.widths import Widths, widths_from_json
from ...runtimes.command_line.console import DONE, console, print_json
from ...runtimes.files import replacing
from ...runtimes.optional import require
from ...runtimes.registry import runtime_for
from .phones import PHONES, Phone

if TYPE_CHECKING:
    from torch import nn

_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


@dataclass(frozen=True)
class LayerWork:
    """A convolution: multiply-accumulates, and the elements that it reads, writes and holds."""

    name: str
    macs: int
    elements: int


@dataclass(frozen=True)
class Estimate:
    """Estimated milliseconds of one network on one phone; see the module."""

    phone: str
    chip: str
    precision: str
    cpu_ms: float
    gpu_ms: float
    sources: tuple[str, ...]
    kind: str = "estimate"


def layers_of(backbone: str, widths: Widths | None, size: tuple[int, int]) -> list[LayerWork]:
    """The convolutions of a network at ``size`` (height, width), in the order of execution."""
    torch = require("torch", extra="torch")
    found: list[LayerWork] = []
    with torch.device("meta"), torch.no_grad():
        generator = build_generator(backbone, widths=widths).eval()
        kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)

        def watch(name: str) -> Any:  # noqa: ANN401
            def note(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
                weight = layer.get_parameter("weight")
                # Each weight meets every pixel of the output, of a transposed one of the input.
                pixels = inputs[0] if isinstance(layer, kinds[1]) else output
                macs = weight.numel() * pixels[0, 0].numel()
                elements = inputs[0].numel() + output.numel() + weight.numel()
                found.append(LayerWork(name, macs, elements))

            return note

        for name, layer in generator.named_modules():
            if isinstance(layer, kinds):
                layer.register_forward_hook(watch(name))
        generator(torch.empty(1, 3, *size))
    return found


def milliseconds(
    layers: Sequence[LayerWork], *, gmacs: float, gb_per_s: float, bytes_each: int
) -> float:
    """The roofline: the sum over layers of the longer of arithmetic and traffic.

    Args:
        layers: The convolutions.
        gmacs: The processor's peak, 1e9 multiply-accumulates per second.
        gb_per_s: The memory's peak, 1e9 bytes per second.
        bytes_each: Bytes of one element.
    """
    return sum(
        max(layer.macs / (gmacs * 1e6), layer.elements * bytes_each / (gb_per_s * 1e6))
        for layer in layers
    )


def estimate(layers: Sequence[LayerWork], precision: str, phone: Phone) -> Estimate:
    """The estimate for a phone; ``precision`` is fp32, fp16 or int8."""
    size = _BYTES[precision]
    cpu, gpu = (
        milliseconds(layers, gmacs=gmacs, gb_per_s=phone.gb_per_s, bytes_each=each)
        for gmacs, each in (
            (phone.cpu_gmacs(precision), size),
            (phone.gpu_gmacs(precision), max(size, _BYTES["fp16"])),
        )
    )
    return Estimate(phone.name, phone.chip, precision, cpu, gpu, phone.sources)


def estimates_for(path: Path, size: tuple[int, int]) -> list[Estimate]:
    """Estimates for an artifact or a checkpoint on all phones, in its own precision.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    manifest = runtime_for(path).runner.read_manifest(path)
    default = get_network(manifest.backbone).widths
    stored = None if manifest.widths is None else json.dumps(manifest.widths)
    widths = default if stored is None or default is None else widths_from_json(stored, default)
    layers = layers_of(manifest.backbone, widths, manifest.input.size or size)
    precision = manifest.target.rpartition("-")[2]
    precision = precision if precision in _BYTES else "fp32"  # a checkpoint
    return [estimate(layers, precision, phone) for phone in PHONES]


def report_estimates(path: Path, found: Sequence[Estimate], *, json_to: str | None) -> int:
    """Print the estimates as a table, or write them as JSON."""
    rows = [dataclasses.asdict(each) for each in found]
    if json_to == "-":
        print_json({"estimates": rows})
        return DONE
    if json_to is not None:
        with replacing(Path(json_to)) as temporary:
            temporary.write_text(json.dumps({"estimates": rows}, indent=2) + "\n", "utf-8")
    from rich.table import Table

    table = Table(title=f"{path.name}: estimates, not measurements", title_justify="left")
    for heading in ("phone", "chip", "CPU, estimated ms", "GPU, estimated ms"):
        table.add_column(heading, justify="right" if heading.endswith("ms") else "left")
    for each in found:
        table.add_row(each.phone, each.chip, f"{each.cpu_ms:.0f}", f"{each.gpu_ms:.0f}")
    console().print(table)
    console().print(
        "Roofline from published peak figures (--json gives their sources): real times are longer.",
        markup=False,
    )
    return DONE
