"""The losses of DeblurGAN (CVPR 2018) and DeblurGAN-v2 (ICCV 2019), one function per equation.

Pictures: float (N, 3, H, W), RGB in [-1, 1]. Scores: what a discriminator answers, any shape.
`mean` is the mean over the whole batch; with several processes it must span all of them, or the
relativistic losses would compare each process with itself (`distributed.global_mean`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Mean = Callable[[Tensor], Tensor]
PIXEL_LOSSES = ("l1", "mse", "psnr", "none")
_MSE_AT_40_DB = 1e-4
ADVERSARIAL_LOSSES = ("ragan-ls", "lsgan", "wgan-gp", "none")


def pixel_loss(kind: str, restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean absolute (``l1``) or squared (``mse``) difference per value, or ``psnr``.

    Raises:
        ValueError: another kind.
    """
    if kind == "l1":
        return F.l1_loss(restored, sharp)
    if kind == "mse":
        return F.mse_loss(restored, sharp)
    if kind == "psnr":
        return missing_decibels(restored, sharp)
    raise ValueError(f"pixel loss must be l1, mse or psnr, not {kind!r}")


def missing_decibels(restored: Tensor, sharp: Tensor) -> Tensor:
    """How many dB of PSNR each picture has less than 40, averaged over pictures; at least 0.

    PSNR as a loss: Chen et al., "HINet", CVPRW 2021, equation 3, also used by NAFNet (ECCV 2022).
    Every picture counts for its own decibels, where ``l1`` and ``mse`` mostly see those that are
    blurred the worst. 10 log10(mse / 4 / 1e-4 + 1): the range of values is 2, hence mse / 4, and
    the 1 keeps pictures that are nearly right from outweighing the rest.
    """
    error = (restored - sharp).pow(2).flatten(1).mean(1) / 4
    return 10 * torch.log10(error / _MSE_AT_40_DB + 1).mean()


def frequency_loss(restored: Tensor, sharp: Tensor) -> Tensor:
    """L1 between Fourier spectra: the mean of |re| and |im| of their difference.

    Cho et al., "Rethinking Coarse-to-Fine Approach in Single Image Deblurring", ICCV 2021,
    equation 8 (multi-scale frequency reconstruction), here at one scale. The transform is
    orthonormal, so the value does not grow with the size of the picture.
    """
    spectrum = torch.fft.rfft2(restored.float() - sharp.float(), norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()


def ragan_ls_discriminator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """Relativistic average least squares, DeblurGAN-v2 equation 2 (section 3.2).

    (D(real) - E D(fake) - 1)^2 + (D(fake) - E D(real) + 1)^2, averaged over the batch.
    """
    return ((real - mean(fake) - 1) ** 2).mean() + ((fake - mean(real) + 1) ** 2).mean()


def ragan_ls_generator(real: Tensor, fake: Tensor, mean: Mean = torch.mean) -> Tensor:
    """The generator's side of equation 2: the roles of real and fake are exchanged."""
    return ragan_ls_discriminator(fake, real, mean)


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares, DeblurGAN-v2 section 3.2 (Mao et al., ICCV 2017, equation 9, a=0, b=1).

    1/2 (D(real) - 1)^2 + 1/2 D(fake)^2.
    """
    return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()


def lsgan_generator(fake: Tensor) -> Tensor:
    """1/2 (D(fake) - 1)^2 (Mao et al., equation 9, c=1)."""
    return 0.5 * ((fake - 1) ** 2).mean()


def wgan_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E D(fake) - E D(real), what the critic minimises (DeblurGAN section 2.2, equation 2)."""
    return fake.mean() - real.mean()


def wgan_generator(fake: Tensor) -> Tensor:
    """DeblurGAN equation 4: -E D(G(blurry))."""
    return -fake.mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """E (|grad D(x)| - 1)^2 on the lines between real and fake pictures.

    Gulrajani et al. 2017, equation 3, as DeblurGAN section 2.2 takes it over; without the factor
    lambda (10 there). `share`: (N, 1, 1, 1) in [0, 1], where on the line each picture stands.
    """
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    score = cast("Tensor", critic(between))
    (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
