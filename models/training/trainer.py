"""The training loop. Everything that a step does depends on the saved state and the step alone."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import math
import time
from collections.abc import Generator as Yields
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ..checkpoints.checkpoint import save_checkpoint
from ..network.norm import norms
from ..network.registry import get_network
from . import schedule, state
from .crops.loader import Batch, Crops, Plan, batches
from .distributed import ProcessGroup, share_batch_norms
from .divergence import DivergenceGuard
from .extras import Clock, Extras
from .objective.adversary import Adversary
from .objective.objective import build_optimiser, weighted_losses
from .precision import autocast
from .validate import Scores, evaluate, to_signed

if TYPE_CHECKING:
    from ..network.generator import Generator
    from .branch import Branch
    from .config import Config


class Trainer:
    """One run in one process.

    Args:
        config: The whole run.
        generator: Fresh or loaded; trained in place.
        crops: The training data.
        folder: Where everything is written.
        group: This process among all.
        labels: The data sources' labels, part of the run's fingerprint.

    Raises:
        ValueError: crops too small for the discriminator.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        crops: Crops,
        folder: Path,
        *,
        group: ProcessGroup,
        labels: Sequence[str] = (),
        extras: Extras | None = None,
    ) -> None:
        self.config, self.folder, self.group = config, folder, group
        self.extras = extras or Extras()
        self.plan = Plan(config, len(crops), group.world)
        self.generator = generator.to(group.device).to(memory_format=torch.channels_last)
        self.extras.tap_features(config.loss.feature, self.generator)
        self.clock = Clock()
        self.step = 0
        self.best_db = -math.inf
        self._crops = crops
        self._labels = tuple(labels)
        self._mark = state.fingerprint(config, labels, group.world)
        self._module: nn.Module = self.generator
        if group.world > 1:
            share_batch_norms(self.generator)
            ids = [group.device.index] if group.device.type == "cuda" else None
            # Parts that inference never touches, and the clamp, may leave parameters unused.
            self._module = nn.parallel.DistributedDataParallel(
                self.generator, device_ids=ids, find_unused_parameters=True
            )
        self._optimiser = build_optimiser(config.optim, self.generator)
        self._scaler = torch.amp.GradScaler(
            group.device.type, enabled=config.optim.precision == "fp16"
        )
        decay = config.optim.ema
        self.averaged = state.Averaged(self.generator, decay) if decay else None
        self.adversary = Adversary(config, group) if config.loss.uses_adversary else None
        resting = get_network(self.generator.backbone).pretrained_part(self.generator)
        self._backbone = [] if resting is None else list(resting.parameters())
        self._guard = DivergenceGuard(folder / state.STATE_NAME)
        self._skipped = 0
        self._stop = False

    def resume(self) -> None:
        """Continue from the folder's state.

        Raises:
            FileNotFoundError, ValueError: see `state.read_state`.
        """
        saved = state.read_state(self.folder, self._mark)
        self._load(saved)
        self.best_db = float(saved["best_db"])

    def start_from(self, branch: Branch) -> None:
        """Continue from another run's state, which `config` decays.

        Raises:
            ValueError: see `Branch.check`.
        """
        branch.check(self._labels, self.group.world, self.plan.epoch_steps)
        self._load(copy.deepcopy(branch.saved))  # the optimiser goes on writing into what it loads

    def _load(self, saved: Mapping[str, Any]) -> None:
        self.step = int(saved["step"])
        self._guard.running_loss = float(saved["running_loss"])
        self._skipped = int(saved["skipped"])
        self.generator.load_state_dict(saved["generator"])
        self._optimiser.load_state_dict(saved["optimiser"])
        self._scaler.load_state_dict(saved["scaler"])
        if self.averaged is not None:
            for name, value in self.averaged.values.items():
                value.copy_(saved["averaged"][name])
        if self.adversary is not None:
            self.adversary.load(saved["adversary"])

    def request_stop(self) -> None:
        """Let `run` save and return after the step at hand; safe to call from a signal handler."""
        self._stop = True

    def run(self, *, stop_after: int | None = None) -> None:
        """Train to the end (or to step `stop_after`), saving and validating on the way.

        A `request_stop` from a signal handler ends it earlier, with everything saved.

        Raises:
            DivergedError: the loss is not finite or exploded.
            ValueError: more unreadable pictures than allowed.
            OSError: a checkpoint cannot be written; the last good one stays.
        """
        end = min(stop_after or self.plan.steps, self.plan.steps)
        log = state.Log(self.folder, self.step) if self.group.is_main else None
        pin = self.group.device.type == "cuda"
        supply = batches(self._crops, self.plan, start=self.step, rank=self.group.rank, pin=pin)
        while self.step < end and not self._stop:
            before = time.perf_counter()
            batch = next(supply)
            arrived = time.perf_counter()
            self._count_skipped(batch)
            parts = self._train_step(batch)
            self.step += 1
            self.clock.add(arrived - before, time.perf_counter() - arrived, batch.blurry.shape[0])
            self.extras.progress(self.step, self.plan.steps, f"loss {parts['loss']:.4f}")
            if log is not None:
                self._after_step(log, parts, last=self.step == end)
        if self._stop and self.step < end and self.group.is_main:
            self.save()

    def _train_step(self, batch: Batch) -> dict[str, float]:
        optim, each = self.config.optim, self.plan.epoch_steps
        device = self.group.device
        blurry = to_signed(batch.blurry.to(device, non_blocking=True))
        sharp = to_signed(batch.sharp.to(device, non_blocking=True))
        self.generator.train()
        if self.config.model.freeze_norms or schedule.norms_are_frozen(optim, self.step, each):
            for norm in norms(self.generator).values():
                norm.eval()
        rate = schedule.learning_rate(optim, self.step, each)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        with autocast(self.group.device.type, self.config.optim.precision):
            restored = cast("Tensor", self._module(blurry))
            parts = weighted_losses(
                self.config.loss, restored.float(), blurry, sharp, self.extras, self.adversary
            )
        total = torch.stack(list(parts.values())).sum()
        numbers = {name: float(part.detach()) for name, part in parts.items()}
        numbers["loss"] = float(total.detach())
        self._guard.check(self.step, numbers["loss"])
        self._scaler.scale(total).backward()
        numbers["gradient"] = self._update(rest=self._backbone_rests())
        if self.adversary is not None:
            numbers["discriminator"] = self.adversary.train_step(
                restored.float(), sharp, rate, self.step
            )
        if self.averaged is not None:
            self.averaged.update(self.generator, self.step)
        return {**numbers, "lr": rate}

    def _update(self, *, rest: bool) -> float:
        """One step of the optimiser; returns the gradient's norm, 0 where it is not clipped."""
        if rest:
            for parameter in self._backbone:
                parameter.grad = None
        norm = 0.0
        if self.config.optim.clip:
            self._scaler.unscale_(self._optimiser)
            norm = float(
                nn.utils.clip_grad_norm_(self.generator.parameters(), self.config.optim.clip)
            )
            # An infinite gradient in fp16 only lowers the scale; elsewhere it would ruin weights.
            if not math.isfinite(norm) and not self._scaler.is_enabled():
                raise self._guard.diverged(self.step, f"gradient norm is {norm}")
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return norm if math.isfinite(norm) else 0.0

    def _backbone_rests(self) -> bool:
        # Random features have nothing worth keeping.
        started = bool(self.config.model.init)
        optim = self.config.optim
        return started and schedule.backbone_is_frozen(optim, self.step, self.plan.epoch_steps)

    def _count_skipped(self, batch: Batch) -> None:
        for text in batch.skipped:
            self._skipped += 1
            self.extras.report(f"skipped ({self._skipped}): {text}")
        if self._skipped > self.config.data.bad_limit:
            raise ValueError(
                f"{self._skipped} unusable pictures, more than data.bad_limit="
                f"{self.config.data.bad_limit}; the last: {batch.skipped[-1]}"
            )

    def _after_step(self, log: state.Log, parts: dict[str, float], *, last: bool) -> None:
        run = self.config.run
        log.collect(parts)
        if self.step % 50 == 0 or last:
            parts = log.mean()
            log.add({"step": self.step, **parts, "data_share": self.clock.data_share})
            if self.extras.board is not None:
                self.extras.board.scalars(self.step, parts)
        if self.extras.examples and (self.step % run.validate_steps == 0 or last):
            self._validate(log)
        if self.step % run.save_steps == 0 or last:
            self.save()

    def _validate(self, log: state.Log) -> None:
        with self.averaged_weights():
            scores = evaluate(self.generator, self.extras.examples, self.group.device)
            if self.extras.board is not None:
                example = self.extras.examples[0]
                self.extras.board.pictures(self.step, example, self.generator, self.group.device)
            if scores.mean("psnr_after") > self.best_db:
                self.best_db = scores.mean("psnr_after")
                self._write_weights(state.BEST_NAME, scores)
        line = scores.means()
        log.add({"step": self.step, **line})
        if self.extras.board is not None:
            self.extras.board.scalars(self.step, {f"validation/{k}": v for k, v in line.items()})
        self.extras.report(
            f"step {self.step} of {self.plan.steps}: PSNR {line['psnr']:.3f} dB "
            f"({line['gain_db']:+.3f}), SSIM {line['ssim']:.4f}; {self.clock.describe()}"
        )

    @contextlib.contextmanager
    def averaged_weights(self) -> Yields[None]:
        """The generator with the averaged weights inside the block, its own after it."""
        held = self.averaged.held_by(self.generator) if self.averaged else contextlib.nullcontext()
        with held:
            yield

    def _write_weights(self, name: str, scores: Scores | None) -> None:
        metadata = {
            **self.extras.metadata,
            "step": str(self.step),
            "recipe": json.dumps(dataclasses.asdict(self.config), sort_keys=True),
        }
        if scores is not None:
            metadata["validation_psnr_db"] = f"{scores.mean('psnr_after'):.4f}"
            metadata["validation_gain_db"] = f"{scores.gain_db:.4f}"
        save_checkpoint(self.generator, self.folder / name, norm="frozen", metadata=metadata)

    def save(self) -> None:
        """Write the resumable state and the weights as they are now.

        Raises:
            OSError: they cannot be written; the previous ones stay.
        """
        state.write_state(
            self.folder,
            {
                "fingerprint": self._mark,
                "step": self.step,
                "best_db": self.best_db,
                "running_loss": self._guard.running_loss,
                "skipped": self._skipped,
                "generator": self.generator.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "scaler": self._scaler.state_dict(),
                "averaged": self.averaged.values if self.averaged is not None else {},
                "adversary": self.adversary.state() if self.adversary is not None else {},
            },
        )
        with self.averaged_weights():
            self._write_weights(state.LAST_NAME, None)
