"""The steps of a compression run, each kept on disk so that a run that broke off goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ...models.checkpoints.checkpoint import (
    Checkpoint,
    generator_from,
    load_checkpoint,
    save_checkpoint,
)
from ...models.compress.groups import group_name, groups_of
from ...models.compress.importance import Importance, norm_importance, taylor_importance
from ...models.compress.search import kept_channels
from ...models.compress.slicing import slice_generator
from ...models.network.generator import Generator
from ...models.network.pyramid import PyramidGenerator
from ...models.network.widths import Widths
from ...models.training.validate import evaluate
from ...quantize.search.results_cache import ResultsCache
from ...runtimes.files import check_folder_writable, replacing
from ...runtimes.machine import machine
from ...runtimes.optional import require
from ...runtimes.registry import runtime_for
from ...runtimes.sdk_errors import suppress_output
from ..registry import Target, get_target
from . import training
from .bench import Bench
from .settings import Compression

Log = Callable[[str], None]
IMPORTANCE = "importance.safetensors"
ARTIFACTS, TRIALS, TRAINING = "artifacts", "trials", "training"


class Steps:
    """The steps of one run.

    Args:
        wanted: Settings.
        bench: What measures times.
        log: Called with a line at each step.
        force: Start anew, whatever the folder holds.

    Raises:
        FileNotFoundError, ValueError: no such checkpoint; the folder holds another run; or a target
            that cannot be timed here.
        MissingDependencyError: the target's packages are not installed.
        OSError: the folder cannot be written.
    """

    def __init__(self, wanted: Compression, bench: Bench, log: Log, *, force: bool = False) -> None:
        self.wanted, self.bench, self.log = wanted, bench, log
        self.source: Checkpoint = load_checkpoint(wanted.checkpoint)
        generator = generator_from(self.source, norm="frozen")
        if not isinstance(generator, PyramidGenerator) or generator.fpn.encoder.fixed:
            raise ValueError(
                f"{wanted.checkpoint}: {self.source.backbone} has layers of one width each; "
                "only pyramids over MobileNetV2 become narrower"
            )
        self.generator = generator
        target = get_target(wanted.target)
        if wanted.budget.timed:
            _check_timed(target)
        self.folder = wanted.output
        check_folder_writable(self.folder)
        if force:
            _remove_earlier_run(self.folder)
        header = {**wanted.header(self.source.sha256), "machine": machine()}
        self.cache = ResultsCache(self.folder / "run.json", header, force=force)
        self.suffix = target.suffix

    def importance(self) -> Importance:
        """Taylor importance on crops; from the weights' norms where there are none."""
        from safetensors.torch import load_file, save_file

        path = self.folder / IMPORTANCE
        kind = "taylor" if self.wanted.sharp or self.wanted.pairs else "norm"
        if self.cache.entries().get("importance") == kind and path.exists():
            stored = load_file(path)
        else:
            self.log(f"importance of channels ({kind})")
            if kind == "taylor":
                batches = training.importance_batches(self.wanted)
                found = taylor_importance(self.generator, batches)
            else:
                found = norm_importance(self.generator)
            stored = {group_name(group): values for group, values in found.items()}
            with replacing(path) as temporary:
                save_file(stored, temporary)
            self.cache.get("importance", lambda: kind)
        return {group: stored[group_name(group)] for group in groups_of(self.generator.widths)}

    def sliced(self, widths: Widths, importance: Importance) -> Generator:
        """The network cut to a record, its most important channels kept."""
        if widths == self.generator.widths:
            return self.generator
        return slice_generator(self.generator, kept_channels(importance, widths))

    def artifacts(self, records: Sequence[Widths], importance: Importance, kind: str) -> list[Path]:
        """Export the network at each record, whatever is not there yet."""
        paths: list[Path] = []
        for number, widths in enumerate(records):
            stem = self.folder / ARTIFACTS / f"{kind}{number:02d}-{digest(widths)}"
            checkpoint = stem.with_suffix(".safetensors")
            generator = self.sliced(widths, importance)
            if not checkpoint.exists():
                save_checkpoint(generator, checkpoint, norm="frozen")
            artifact = Path(f"{stem}{self.suffix}")
            log = self._log_at(f"{kind} {number + 1} of {len(records)}")
            self.bench.build(generator, checkpoint, artifact, log)
            paths.append(artifact)
        return paths

    def _log_at(self, place: str) -> Log:
        return lambda text: self.log(f"{place}: {text}")

    def times_ms(self, records: Sequence[Widths], importance: Importance, kind: str) -> list[float]:
        """Times of networks that are measured together; kept under ``kind`` and their records."""
        key = f"times {kind} " + " ".join(digest(widths) for widths in records)

        def measure() -> list[float]:
            paths = self.artifacts(records, importance, kind)
            self.log(f"timing {len(paths)} networks in interleaved rounds")
            return self.bench.times_ms(paths)

        return [float(ms) for ms in self.cache.get(key, measure)]

    def gains(self, generator: Generator) -> dict[str, float]:
        """Mean gain in dB by set of validation pictures, uint8 PSNR."""
        device = torch.device("cpu")
        sets = training.validation_sets(self.wanted)
        return {n: evaluate(generator, pictures, device).gain_db for n, pictures in sets.items()}

    def trial(self, name: str, widths: Widths, importance: Importance) -> dict[str, float]:
        """Gains of the network at a record after a short training, or as sliced without one.

        Raises:
            InterruptedError: a signal ended the training; its argument is the exit code.
        """
        steps = self.wanted.trial_steps if self.wanted.steps else 0

        def measure() -> dict[str, float]:
            if steps:
                self.log(f"trying {name} for {steps} steps")
            return self.gains(self.trained(widths, importance, TRIALS, steps))

        pictures = f"{self.wanted.val_sharp} {self.wanted.val_pairs}"  # may change
        return self.cache.get(f"trial {digest(widths)}, {steps} steps, {pictures}", measure)

    def trained(self, widths: Widths, importance: Importance, kind: str, steps: int) -> Generator:
        """The network at a record after ``steps`` steps of distillation, in a folder of its own.

        Raises:
            InterruptedError: as `trial`.
        """
        folder = self.folder / kind / f"{digest(widths)}-{steps}"
        start = folder.with_suffix(".safetensors")
        save_checkpoint(self.sliced(widths, importance), start, norm="frozen")
        if not steps:
            return generator_from(load_checkpoint(str(start)))
        found, code = training.distil(self.wanted, start, self.source.backbone, folder, steps=steps)
        if not training.finished(code):
            raise InterruptedError(code)
        return generator_from(load_checkpoint(str(found)))


def _check_timed(target: Target) -> None:
    """Refuse targets that cannot be built or timed here, before minutes of work.

    Raises:
        MissingDependencyError: a package is not installed.
        ValueError: the runtime is only emulated on this machine.
    """
    for module in (*target.build_modules, *target.run_modules):
        with suppress_output():  # some print a banner on import
            require(module, extra=target.extra)
    if runtime_for(Path(f"net{target.suffix}")).runner.emulated:
        raise ValueError(
            f"{target.name} cannot be timed on this machine, which only emulates it; give "
            "--budget-macs, or another --target"
        )


def _remove_earlier_run(folder: Path) -> None:
    """What `Steps` keeps in a folder; a new run must not go on from another's networks."""
    (folder / IMPORTANCE).unlink(missing_ok=True)
    for kind in (ARTIFACTS, TRIALS, TRAINING):
        shutil.rmtree(folder / kind, ignore_errors=True)


def digest(widths: Widths) -> str:
    """Eight characters that stand for a record in file names."""
    return hashlib.sha256(widths.to_json().encode()).hexdigest()[:8]
