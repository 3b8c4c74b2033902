"""Data-parallel training in processes that ``torchrun`` starts (RANK, WORLD_SIZE, LOCAL_RANK)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..network.norm import BatchNorm

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class ProcessGroup:
    """This process in the group: rank, world size and device."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages: rank 0."""
        return self.rank == 0


@contextlib.contextmanager
def join_process_group(device: str) -> Generator[ProcessGroup]:
    """Join the process group that ``torchrun`` started, or run alone.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            "device cuda: PyTorch sees no CUDA device; install NVIDIA's driver and a CUDA build "
            "of torch, or use --device cpu"
        )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ProcessGroup(device=torch.device(device))
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), world, torch.device(device))
        # Nobody leaves while another still works: a process that ends early takes its threads'
        # connections with it, and now and then aborts on the way out.
        dist.barrier()
    finally:
        dist.destroy_process_group()


class _AllReduceSum(torch.autograd.Function):
    """All-reduce whose gradient is an all-reduce: every process's loss depends on every part."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:  # noqa: ARG004
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum over all processes, with gradients; the values themselves if alone."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    return cast("Tensor", _AllReduceSum.apply(values))


def global_mean(values: Tensor) -> Tensor:
    """The mean over the batches of all processes, which are of one size."""
    if not (dist.is_available() and dist.is_initialized()):
        return values.mean()
    return all_reduce_sum(values.mean()) / dist.get_world_size()


class SyncedBatchNorm(BatchNorm):
    """Batch norm over the batches of all processes together.

    `nn.SyncBatchNorm` does this on GPUs only; this one runs wherever the process group does.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class's name for it
        """(N, C, H, W) -> same."""
        if not self.training:
            return super().forward(input)
        values = input if input.dtype == torch.float64 else input.float()
        channels = values.shape[1]
        count = values.new_tensor([values.numel() / channels])
        total = all_reduce_sum(torch.cat([values.sum((0, 2, 3)), count]))
        number = total[-1].detach()
        mean = total[:channels] / number
        # Squares of deviations, not of values: one pass would lose digits in float32.
        centred = values - mean.reshape(1, -1, 1, 1)
        variance = all_reduce_sum((centred * centred).sum((0, 2, 3))) / number
        self._track(mean.detach(), variance.detach() * number / (number - 1).clamp(min=1))
        scale = (variance + self.eps).rsqrt() * self.weight
        result = centred * scale.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)
        return result.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        running = dict(self.named_buffers(recurse=False))
        momentum = 0.1 if self.momentum is None else self.momentum
        running["running_mean"].lerp_(mean, momentum)
        running["running_var"].lerp_(variance, momentum)
        running["num_batches_tracked"].add_(1)


def share_batch_norms(module: Module) -> Module:
    """Make every `BatchNorm` of a module span all processes, in place; names stay the same."""
    for child in module.modules():
        if type(child) is BatchNorm:
            child.__class__ = SyncedBatchNorm
    return module
