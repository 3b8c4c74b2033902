"""The discriminator's half of a step, for the three adversarial losses of the papers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..config import Config
from ..distributed import ProcessGroup, global_mean
from . import losses
from .discriminators import FULL_LAYERS, DoubleScale, PatchDiscriminator, smallest_side


class Adversary:
    """One discriminator (or WGAN critic) with its optimiser.

    DeblurGAN-v2's losses (``ragan-ls``, ``lsgan``) use the double-scale discriminator and sum the
    two branches with equal weight; ``wgan-gp`` uses DeblurGAN's PatchGAN critic.

    Raises:
        ValueError: crops too small for the discriminator.
    """

    def __init__(self, config: Config, group: ProcessGroup) -> None:
        self._loss = config.loss
        self._seed = config.data.seed
        self._rank = group.rank
        wgan = config.loss.adversarial_kind == "wgan-gp"
        least = smallest_side(3 if wgan else FULL_LAYERS)
        smallest = min(config.data.crop, config.data.final_crop)
        if smallest < least:
            raise ValueError(
                f"crops of {smallest} pixels are too small for the discriminator, which needs "
                f"{least}; use larger crops or --set loss.adversarial=0"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.data.seed + 1)
            self.plain: nn.Module = PatchDiscriminator(norm=False) if wgan else DoubleScale()
        self.plain.to(group.device)
        self.module: nn.Module = self.plain
        if group.world > 1:
            ids = [group.device.index] if group.device.type == "cuda" else None
            self.module = nn.parallel.DistributedDataParallel(self.plain, device_ids=ids)
        self.optimiser = torch.optim.Adam(
            self.plain.parameters(), lr=config.optim.lr, betas=(config.optim.beta1, 0.999)
        )

    def generator_loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """The generator's adversarial loss; does not change the discriminator."""
        self.plain.requires_grad_(False)
        try:
            fake = self._scores(self.plain, restored)
            if self._loss.adversarial_kind == "wgan-gp":
                return losses.wgan_generator(fake[0])
            if self._loss.adversarial_kind == "lsgan":
                return _mean_of([losses.lsgan_generator(f) for f in fake])
            with torch.no_grad():
                real = self._scores(self.plain, sharp)
            pairs = zip(real, fake, strict=True)
            return _mean_of([losses.ragan_ls_generator(r, f, global_mean) for r, f in pairs])
        finally:
            self.plain.requires_grad_(True)

    def train_step(self, restored: Tensor, sharp: Tensor, lr: float, step: int) -> float:
        """Update the discriminator on one batch; returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        restored = restored.detach()
        value = 0.0
        for turn in range(self._loss.critic_steps):
            self.optimiser.zero_grad(set_to_none=True)
            loss = self._discriminator_loss(restored, sharp, (step, turn))
            loss.backward()
            self.optimiser.step()
            value = float(loss.detach())
        return value

    def _discriminator_loss(
        self, restored: Tensor, sharp: Tensor, moment: tuple[int, int]
    ) -> Tensor:
        # One forward for both halves, as DistributedDataParallel counts forwards and backwards.
        both = self._scores(self.module, torch.cat([sharp, restored]))
        real, fake = ([b[half] for b in map(_halves, both)] for half in (0, 1))
        if self._loss.adversarial_kind == "wgan-gp":
            penalty = losses.gradient_penalty(
                self.plain, sharp, restored, self._shares(sharp, moment)
            )
            return losses.wgan_critic(real[0], fake[0]) + self._loss.penalty * penalty
        pairs = zip(real, fake, strict=True)
        if self._loss.adversarial_kind == "lsgan":
            return _mean_of([losses.lsgan_discriminator(r, f) for r, f in pairs])
        return _mean_of([losses.ragan_ls_discriminator(r, f, global_mean) for r, f in pairs])

    def _shares(self, sharp: Tensor, moment: tuple[int, int]) -> Tensor:
        """Reproducible whatever was drawn before, so that a resumed run draws the same."""
        seed = hash((self._seed, self._rank, *moment)) & 0x7FFF_FFFF_FFFF_FFFF
        source = torch.Generator().manual_seed(seed)
        return torch.rand(sharp.shape[0], 1, 1, 1, generator=source).to(sharp.device)

    def _scores(self, module: nn.Module, image: Tensor) -> list[Tensor]:
        answer = module(image)
        return list(answer) if isinstance(answer, tuple) else [answer]

    def state(self) -> dict[str, Any]:
        """For a resumable checkpoint."""
        return {"module": self.plain.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.plain.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])


def _halves(scores: Tensor) -> tuple[Tensor, Tensor]:
    middle = scores.shape[0] // 2
    return scores[:middle], scores[middle:]


def _mean_of(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
