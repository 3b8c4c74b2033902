"""Converts a trained separable network into a dense one that computes the same function.

Nothing stands between the depthwise and the pointwise half of a separable convolution, so the two
are one dense 3x3 with the kernel W[o, i] = P[o, i] * D[i]; bias and all other tensors are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..network.pyramid import PyramidGenerator
from ..network.registry import build_pyramid, get_backbone, pyramid_names

_DEPTHWISE, _POINTWISE = ".depthwise.weight", ".pointwise."


def can_densify(found: str, wanted: str) -> bool:
    """Whether weights of backbone ``found`` can initialise one of ``wanted``."""
    if not {found, wanted} <= set(pyramid_names()):
        return False
    before, after = get_backbone(found), get_backbone(wanted)
    alike = (before.stages, before.widths) == (after.stages, after.widths)
    return before.separable and not after.separable and alike


@torch.no_grad()
def densify(generator: PyramidGenerator, backbone: str) -> PyramidGenerator:
    """The dense generator of ``backbone`` that computes what the separable ``generator`` does.

    Raises:
        ValueError: the backbones do not correspond.
    """
    if not can_densify(generator.backbone, backbone):
        raise ValueError(f"{generator.backbone} weights cannot become a {backbone} generator")
    dense = build_pyramid(backbone, decoder_norm=generator.decoder_norm, widths=generator.widths)
    dense.load_state_dict(_dense_state(generator.state_dict()))
    return dense.eval()


def _dense_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    dense: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, found, end = name.partition(_POINTWISE)
        if name.endswith(_DEPTHWISE):
            continue
        if not found:
            dense[name] = tensor
        elif end == "weight":  # (out, in, 1, 1) times (in, 1, 3, 3) moved to (1, in, 3, 3)
            depthwise = state[stem + _DEPTHWISE].double().transpose(0, 1)
            dense[f"{stem}.weight"] = (tensor.double() * depthwise).to(tensor.dtype)
        else:
            dense[f"{stem}.{end}"] = tensor
    return dense
