"""Feature distillation between networks of different widths: attention transfer.

Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, equation 2: a map's
attention is the sum of its squared channels, brought to length 1, so that the numbers of channels
need not agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureTaps:
    """Keeps the latest outputs of some layers of a student and its teacher.

    Args:
        student: The network that learns.
        teacher: The network it learns from.
        layers: Names that both have.

    Raises:
        ValueError: one of them lacks a layer.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, layers: Sequence[str]) -> None:
        self._taken: dict[str, dict[str, Tensor]] = {"student": {}, "teacher": {}}
        for role, network in (("student", student), ("teacher", teacher)):
            known = dict(network.named_modules())
            for name in layers:
                if name not in known:
                    raise ValueError(f"loss.feature: the {role} has no layer {name}")
                known[name].register_forward_hook(self._note(role, name))
        self._layers = tuple(layers)

    def loss(self) -> Tensor:
        """The mean over layers of `attention_distance` between their latest outputs."""
        pairs = ((self._taken["student"][n], self._taken["teacher"][n]) for n in self._layers)
        return torch.stack([attention_distance(*pair) for pair in pairs]).mean()

    def _note(self, role: str, name: str):  # noqa: ANN202 - a forward hook
        def hook(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
            self._taken[role][name] = output

        return hook


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean distance of attention maps over the batch, 0 to the square root of 2.

    Float (N, C, H, W) and (N, K, H, W), of which the teacher's gets no gradient.
    """
    learnt = F.normalize(student.float().square().sum(1).flatten(1), dim=1)
    taught = F.normalize(teacher.detach().float().square().sum(1).flatten(1), dim=1)
    return (learnt - taught).norm(dim=1).mean()
