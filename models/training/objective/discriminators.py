"""Discriminators: PatchGAN, DeblurGAN-v2's double-scale pair, and DeblurGAN's critic.

PatchGAN: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR
2017, section 3.2.2 and its appendix 6.1.2; double scale: DeblurGAN-v2 section 3.2, figure 4.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

_BASE, _WIDEST = 64, 512
PATCH_LAYERS = 3  # a score sees 70x70 pixels
FULL_LAYERS = 5  # a score sees 286x286 pixels: the paper's 256x256 training crops as a whole


def receptive_field(layers: int) -> int:
    """Side, in pixels, of what one score of a PatchGAN with `layers` strided convolutions sees."""
    side, step = 1, 1
    for stride in (*([2] * layers), 1, 1):
        side += 3 * step  # kernel 4
        step *= stride
    return side


class PatchDiscriminator(nn.Module):
    """4x4 convolutions, `layers` of stride 2 and two of stride 1; one score per patch.

    Args:
        layers: 3 gives scores on 70x70 patches, 5 on 286x286.
        norm: Instance norm between the layers; a WGAN critic with gradient penalty may not use
            batch norm, since the penalty is per picture (Gulrajani et al. 2017, section 4).
    """

    def __init__(self, layers: int = PATCH_LAYERS, *, norm: bool = True) -> None:
        super().__init__()
        channels = [min(_BASE * 2**i, _WIDEST) for i in range(layers + 1)]
        body: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for index in range(1, layers + 1):
            stride = 2 if index < layers else 1
            body.append(nn.Conv2d(channels[index - 1], channels[index], 4, stride, 1))
            if norm:
                body.append(nn.InstanceNorm2d(channels[index]))
            body.append(nn.LeakyReLU(0.2))
        body.append(nn.Conv2d(channels[-1], 1, 4, 1, 1))
        self.body = nn.Sequential(*body)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> scores (N, 1, h, w)."""
        return cast("Tensor", self.body(image))


def smallest_side(layers: int) -> int:
    """The smallest picture, in pixels a side, that leaves a score and something to normalise."""
    return 2 ** (layers + 2)


class DoubleScale(nn.Module):
    """A patch branch (70x70) and a full-picture branch; two tensors of scores."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = PatchDiscriminator(PATCH_LAYERS)
        self.full = PatchDiscriminator(FULL_LAYERS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W), sides of at least 128 -> patch scores, full-picture scores."""
        return cast("Tensor", self.patch(image)), cast("Tensor", self.full(image))
