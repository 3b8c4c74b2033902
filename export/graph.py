"""What a target's converter gets: the prepared network and the export request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..runtimes.artifact import TensorSpec

if TYPE_CHECKING:
    from torch import nn

    from ..models.checkpoints.checkpoint import Checkpoint
    from ..quantize.pipeline import QuantPlan

INPUT_NAME, OUTPUT_NAME = "image", "deblurred"


@dataclass(frozen=True)
class Graph:
    """A network ready for any exporter: no norm layers, no unused parameters, eval mode.

    Attributes:
        module: float32 (N, 3, H, W) in [-1, 1] -> the same.
        reference: The unprepared generator in the same norm mode; the reference for parity.
        checkpoint: Source of the weights.
        norm: ``frozen`` or ``live``.
        rewrites: Names of the exact rewrites applied, in order.
    """

    module: nn.Module
    reference: nn.Module
    checkpoint: Checkpoint
    norm: str
    rewrites: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportSpec:
    """An export request.

    Attributes:
        target: Name of the target.
        size: (height, width) in pixels, which suit the network; with ``dynamic`` the size to
            trace at.
        dynamic: Whether height and width are dynamic.
        smallest_side: The smallest side that the network takes, in pixels; `produce` sets it.
        embed: Metadata to store inside the artifact, by key.
        quantise: The quantisation plan, for quantised targets.
        options: Values of the target's own options, by `Option.key`.
        log: Called with a line at each step.
    """

    target: str
    size: tuple[int, int]
    dynamic: bool = False
    smallest_side: int = 32
    embed: dict[str, str] = field(default_factory=dict)
    quantise: QuantPlan | None = None
    options: dict[str, Any] = field(default_factory=dict)
    log: Callable[[str], None] = lambda _: None

    def tensor(self, name: str) -> TensorSpec:
        """float32 NCHW RGB in [-1, 1] of the requested size, with one picture per batch."""
        sides: tuple[int | str, int | str] = ("height", "width") if self.dynamic else self.size
        return TensorSpec(name=name, shape=(1, 3, *sides), dtype="float32")
