"""Inception-ResNet-v2 pyramid: the released ``fpn_inception.h5``, DeblurGAN-v2's quality model."""

from __future__ import annotations

from ..backbone import Backbone
from ..inceptionresnetv2 import LAYERS, inceptionresnetv2_features
from ..widths import Widths

BACKBONE = Backbone(
    name="inception",
    separable=False,
    features=inceptionresnetv2_features,
    # enc0 1/2, enc1 1/4, enc2 1/8, enc3 1/16, enc4 1/32
    stages=((0, 1), (1, 4), (4, 7), (7, 10), (10, 12)),
    stage_streams=(0, 1, 2, 3, 4),
    widths=Widths(
        streams=(32, 64, 192, 1088, 2080),
        pyramid=(256, 256, 256, 256),
        heads=((128, 128),) * 4,
        smooth=128,
        smooth2=64,
    ),
    stored_features=len(LAYERS),
    marks=("fpn.inception.conv2d_1a.conv.weight", "head1.block0.weight"),
    title="Inception-ResNet-v2",
    attribute="inception",
    layer_names=LAYERS,
    # The backbone pads nothing, so its maps are smaller than 1/2 .. 1/32 of the picture.
    pads=((0, 1, 0, 1), (1, 1, 1, 1), (1, 2, 1, 2), (1, 1, 1, 1), (1, 1, 1, 1)),
    smallest_side=160,
    fixed=True,
)
