"""MobileNetV2 pyramid with dense decoder convolutions: the released ``fpn_mobilenet.h5``."""

from __future__ import annotations

from ..backbone import Backbone
from ..mobilenetv2 import WIDTHS, mobilenetv2_features

BACKBONE = Backbone(
    name="mobilenet",
    separable=False,
    features=mobilenetv2_features,
    # enc0 1/2, enc1 1/4, enc2 1/8, enc3 1/16, enc4 1/32: slices of `features`
    stages=((0, 2), (2, 4), (4, 7), (7, 11), (11, 16)),
    stage_streams=(1, 2, 3, 4, 6),
    widths=WIDTHS,
    stored_features=19,
    marks=("fpn.features.0.0.weight", "head1.block0.weight"),
    title="MobileNetV2",
)
