"""MobileNet-DSC: the same pyramid, every dense 3x3 replaced by a depthwise-separable one."""

from __future__ import annotations

import dataclasses

from .mobilenet import BACKBONE as _MOBILENET

BACKBONE = dataclasses.replace(
    _MOBILENET,
    name="mobilenet_dsc",
    separable=True,
    marks=("fpn.features.0.0.weight", "head1.block0.depthwise.weight"),
    title="MobileNet-DSC",
)
