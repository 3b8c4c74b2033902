"""Norm layers with a choice of inference statistics; folding and decomposing them.

``live``: each picture is normalised with its own statistics, as the reference code infers
(it calls ``model.train(True)``; github.com/VITA-Group/DeblurGANv2, predict.py).
``frozen``: the stored running statistics are used, so that a norm is an affine map per channel
and folds into the convolution before it.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .convolution import Scaled, last_conv, replace_last_conv

Module = TypeVar("Module", bound=nn.Module)
Convolution = TypeVar("Convolution", bound=nn.Conv2d | nn.ConvTranspose2d)
NORM_MODES = ("frozen", "live")


class BatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with optional live statistics at inference."""

    live: bool = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class's name for it
        """(N, C, H, W) -> same."""
        return (
            _by_picture(self, input) if self.live and not self.training else super().forward(input)
        )


class InstanceNorm(nn.InstanceNorm2d):
    """The decoder norm of the released networks: no affine part, running statistics kept."""

    live: bool = False

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False, track_running_stats=True)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class's name for it
        """(N, C, H, W) -> same."""
        return (
            _by_picture(self, input) if self.live and not self.training else super().forward(input)
        )


def _by_picture(norm: nn.BatchNorm2d | nn.InstanceNorm2d, image: Tensor) -> Tensor:
    """Normalise each picture by its own statistics, so that batching changes nothing.

    For one picture this is what BatchNorm and InstanceNorm compute in training.
    """
    _check_map_size(image)
    return F.instance_norm(image, weight=norm.weight, bias=norm.bias, eps=norm.eps)


def _check_map_size(image: Tensor) -> None:
    """ValueError for maps of 1x1, which the pyramid has at 1/32 of a 32x32 picture."""
    if image.shape[2] * image.shape[3] == 1:
        raise ValueError(
            "live norms need the statistics of a map, and a 1x1 map has none; "
            "use pictures larger than 32x32 (32x64 is enough), or frozen norms"
        )


DECODER_NORMS: dict[str, type[BatchNorm] | type[InstanceNorm]] = {
    "batch": BatchNorm,
    "instance": InstanceNorm,
}


class ExplicitLiveNorm(nn.Module):
    """Live normalisation decomposed into means and products, which every exporter supports.

    It takes two passes (mean, then mean square of the deviation), because one pass loses digits in
    float32, and one side after the other, because runtimes sum naively: shorter sums round less.
    """

    def __init__(self, norm: BatchNorm | InstanceNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        weight = norm.weight if norm.affine else torch.ones(norm.num_features)
        bias = norm.bias if norm.affine else torch.zeros(norm.num_features)
        self.register_buffer("weight", weight.detach().clone().reshape(1, -1, 1, 1))
        self.register_buffer("bias", bias.detach().clone().reshape(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> same, each channel of each picture normalised by itself."""
        centred = image - image.mean(3, keepdim=True).mean(2, keepdim=True)
        variance = (centred * centred).mean(3, keepdim=True).mean(2, keepdim=True)
        scale = self.get_buffer("weight") / torch.sqrt(variance + self.eps)
        return centred * scale + self.get_buffer("bias")


def norms(module: nn.Module) -> dict[str, BatchNorm | InstanceNorm]:
    """All norm layers of a module by name."""
    found = module.named_modules()
    return {name: m for name, m in found if isinstance(m, (BatchNorm, InstanceNorm))}


def set_norm_mode(module: nn.Module, mode: str) -> None:
    """Choose ``live`` or ``frozen`` statistics for inference (eval mode), in place.

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in NORM_MODES:
        raise ValueError(f"norm mode must be frozen or live, not {mode!r}")
    for norm in norms(module).values():
        norm.live = mode == "live"


@torch.no_grad()
def reestimate(generator: nn.Module, pictures: Iterable[Tensor]) -> int:
    """Replace all running statistics by averages over pictures, in place.

    Every picture is normalised by its own statistics on the way (as a network trained live
    expects); the running mean and variance become the plain averages of the pictures' means and
    unbiased variances, which is PyTorch's cumulative average (``momentum=None``).

    Args:
        generator: The network; its training flag and norm mode are as before afterwards.
        pictures: float32 (N, 3, H, W), RGB in [-1, 1], sides multiples of 32.

    Returns:
        How many batches were used.

    Raises:
        ValueError: no picture, pictures of 32x32, or statistics that are not
            finite. The network is then unchanged.
    """
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    with _recording_statistics(generator, sums):
        count = 0
        for picture in pictures:
            generator(picture)
            count += 1
    if count == 0:
        raise ValueError("re-estimating norm statistics needs at least one picture")
    for name, (mean, variance) in sums.items():  # all, before any layer is changed
        if not (torch.isfinite(mean).all() and torch.isfinite(variance).all()):
            raise ValueError(f"statistics of {name} are not finite; check the pictures for NaN")
    for name, norm in norms(generator).items():
        _store(norm, sums[name][0] / count, sums[name][1] / count, count)
    return count


@contextlib.contextmanager
def _recording_statistics(
    generator: nn.Module, sums: dict[str, tuple[Tensor, Tensor]]
) -> Generator[None]:
    """Set all norms live and sum up their inputs' means and variances in ``sums``, by name."""
    layers = norms(generator)
    before = {name: (norm.live, norm.training) for name, norm in layers.items()}
    hooks: list[RemovableHandle] = []
    try:
        for name, norm in layers.items():
            sums[name] = (torch.zeros(norm.num_features), torch.zeros(norm.num_features))
            hooks.append(norm.register_forward_pre_hook(_accumulate(sums[name])))
            norm.live = True
            norm.eval()
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for name, norm in layers.items():
            norm.live, norm.training = before[name]


def _accumulate(sums: tuple[Tensor, Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        image = inputs[0].float()  # (N, C, H, W)
        _check_map_size(image)
        variance, mean = torch.var_mean(image, dim=(2, 3))  # unbiased, (N, C)
        sums[0].add_(mean.mean(dim=0).cpu())
        sums[1].add_(variance.mean(dim=0).cpu())

    return hook


def _store(norm: BatchNorm | InstanceNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    running = dict(norm.named_buffers(recurse=False))
    running["running_mean"].copy_(mean)
    running["running_var"].copy_(variance)
    running["num_batches_tracked"].fill_(count)


@torch.no_grad()
def affine_of(norm: BatchNorm | InstanceNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift, float64 (C,), that a frozen norm applies: ``x * scale + shift``."""
    running = dict(norm.named_buffers(recurse=False))
    scale = 1.0 / torch.sqrt(running["running_var"].double() + norm.eps)
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = -running["running_mean"].double() * scale
    if norm.affine:
        shift = shift + norm.bias.double()
    return scale, shift


@torch.no_grad()
def fold_into(conv: Convolution, norm: BatchNorm | InstanceNorm) -> Convolution:
    """A convolution (or transposed one) equal to ``conv`` followed by the frozen ``norm``.

    y = s * (W x + b) + t = (s W) x + (s b + t), per output channel. Computed in float64, so the
    folded float32 weights are the nearest ones.
    """
    scale, shift = affine_of(norm)
    folded = copy.deepcopy(conv)
    folded.bias = nn.Parameter(torch.zeros(conv.out_channels, device=conv.weight.device))
    outputs = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    folded.weight.copy_(conv.weight.double() * scale.reshape(outputs))
    folded.bias.copy_(shift if conv.bias is None else conv.bias.double() * scale + shift)
    return folded


def fold_norms(module: Module) -> Module:
    """A copy in which every frozen norm, and every scale, is folded into its convolution.

    Raises:
        ValueError: a norm is live, or does not follow a convolution.
    """

    def fold(sequence: nn.Sequential, index: int) -> None:
        norm = sequence[index]
        assert isinstance(norm, (BatchNorm, InstanceNorm))
        if norm.live:
            raise ValueError("live norms depend on the picture and cannot be folded")
        before = sequence[index - 1]
        sequence[index - 1] = replace_last_conv(before, fold_into(last_conv(before), norm))
        sequence[index] = nn.Identity()

    folded = _replace_norms(module, fold)
    for part in folded.modules():
        if isinstance(part, Scaled):
            part.fold_scale()
    return folded


def decompose_live_norms(module: Module) -> Module:
    """A copy in which every norm is an `ExplicitLiveNorm`, for exporters."""

    def decompose(sequence: nn.Sequential, index: int) -> None:
        norm = sequence[index]
        assert isinstance(norm, (BatchNorm, InstanceNorm))
        sequence[index] = ExplicitLiveNorm(norm)

    return _replace_norms(module, decompose)


def _replace_norms(module: Module, replace: Callable[[nn.Sequential, int], None]) -> Module:
    module = copy.deepcopy(module).eval()
    for part in list(module.modules()):
        if isinstance(part, nn.Sequential):
            for index in range(1, len(part)):
                if isinstance(part[index], (BatchNorm, InstanceNorm)):
                    replace(part, index)
    left = list(norms(module))
    if left:
        raise ValueError(f"norms that follow no convolution: {', '.join(left)}")
    return module
