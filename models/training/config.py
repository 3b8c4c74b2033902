"""What a training run is: a tree of frozen dataclasses, read from a preset with overrides on top.

Presets are TOML files in ``presets/``; ``--set optim.lr=2e-4`` overrides one key. Unknown keys and
wrong types are refused with the nearest name, so that a typing mistake never trains for a day.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from ..data.motion import Motion
from ..data.restore import Restore
from ..network.registry import get_network
from .objective.losses import ADVERSARIAL_LOSSES, PIXEL_LOSSES
from .presets import FOLDER, preset_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports] - installed on 3.10 only

DECAYS = ("linear", "cosine")
PRECISIONS = ("fp32", "bf16", "fp16")
OPTIMISERS = ("adam", "adamw")


@dataclass(frozen=True)
class Model:
    """Which network, and from where."""

    backbone: str = "mobilenet_dsc"
    init: str = ""  # checkpoint to start from; empty: random weights
    freeze_norms: bool = False  # re-estimate a live checkpoint's statistics, then train with them
    teacher: str = ""  # checkpoint whose pictures are learnt besides the sharp ones
    zero_residual: bool = True  # random weights only: start as the identity


@dataclass(frozen=True)
class Loss:
    """Weights of the losses; 0 switches one off. DeblurGAN-v2: 0.5, 0.006, 0.01 (section 3.2)."""

    pixel_kind: str = "mse"
    pixel: float = 0.5
    frequency: float = 0.0
    perceptual: float = 0.006
    adversarial_kind: str = "ragan-ls"
    adversarial: float = 0.01
    distill: float = 0.0
    distill_kind: str = "l1"  # how the output is compared with the teacher's: as pixel_kind
    feature: float = 0.0  # of the teacher's attention maps; see objective.features
    critic_steps: int = 1  # DeblurGAN: 5 critic steps for each of the generator
    penalty: float = 10.0  # lambda of WGAN-GP

    def __post_init__(self) -> None:
        _one_of("loss.pixel_kind", self.pixel_kind, PIXEL_LOSSES)
        _one_of("loss.distill_kind", self.distill_kind, PIXEL_LOSSES)
        _one_of("loss.adversarial_kind", self.adversarial_kind, ADVERSARIAL_LOSSES)
        if self.critic_steps < 1:
            raise ValueError(f"loss.critic_steps is {self.critic_steps}; it is at least 1")

    @property
    def teaches(self) -> bool:
        """Whether there is a teacher."""
        return self.distill > 0 or self.feature > 0

    @property
    def uses_adversary(self) -> bool:
        """Whether there is a discriminator at all."""
        return self.adversarial > 0 and self.adversarial_kind != "none"


@dataclass(frozen=True)
class Optim:
    """The optimiser and its schedule; epochs and rates as in DeblurGAN-v2, section 4.2."""

    optimiser: str = "adam"
    lr: float = 1e-4
    lr_end: float = 1e-7
    flat_epochs: int = 150
    decay_epochs: int = 150
    decay: str = "linear"
    decay_at: int = 0  # with decay_steps: the step at which the rate starts to fall
    decay_steps: int = 0  # above 0: the run ends with this decay, whatever the epochs say
    warmup_steps: int = 0
    frozen_backbone_epochs: int = 3
    frozen_norm_epochs: int = 0  # at the end: train with the running statistics
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    clip: float = 0.0  # largest norm of the gradient; 0: not clipped
    ema: float = 0.0  # decay of the averaged weights that are validated and saved; 0: none
    precision: str = "fp32"

    def __post_init__(self) -> None:
        _one_of("optim.optimiser", self.optimiser, OPTIMISERS)
        _one_of("optim.decay", self.decay, DECAYS)
        _one_of("optim.precision", self.precision, PRECISIONS)
        if self.lr <= 0 or self.lr_end < 0 or not 0 <= self.ema < 1:
            raise ValueError("optim: lr above 0, lr_end at least 0 and ema in [0, 1) are needed")
        if min(self.decay_at, self.decay_steps) < 0:
            raise ValueError("optim: decay_at and decay_steps must be at least 0")
        if self.epochs < 1:
            raise ValueError("optim: flat_epochs + decay_epochs must be at least 1")

    @property
    def epochs(self) -> int:
        """All epochs of the run."""
        return self.flat_epochs + self.decay_epochs


@dataclass(frozen=True)
class Data:
    """How crops are drawn. The sources themselves come from the command line."""

    crop: int = 256
    batch: int = 1
    final_epochs: int = 0  # the last epochs may use larger crops
    final_crop: int = 256
    final_batch: int = 1
    epoch_steps: int = 0  # steps of an epoch; 0: once through the data
    flips: bool = True
    workers: int = 1
    cache_gb: float = 4.0  # decoded pictures kept in memory
    bad_limit: int = 10  # unreadable pictures that are skipped before the run stops
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.batch, self.final_batch) < 1 or self.workers < 0:
            raise ValueError("data: batch and final_batch are at least 1, workers at least 0")


@dataclass(frozen=True)
class Run:
    """Bookkeeping: what is written when."""

    save_steps: int = 500  # steps between resumable checkpoints
    validate_steps: int = 2000
    validate_crop: int = 512  # validation pictures are cut to this at most; 0: whole
    validate_count: int = 12
    validate_tile: int = 0  # cut pairs into tiles of this side, whose spread is reported; 0: do not
    tensorboard: bool = True


@dataclass(frozen=True)
class Config:
    """A whole run."""

    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    data: Data = field(default_factory=Data)
    blur: Motion = field(default_factory=Motion)
    restore: Restore = field(default_factory=Restore)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        network = get_network(self.model.backbone)
        for name in ("crop", "final_crop"):
            side = getattr(self.data, name)
            try:
                network.check_size(side, side)
            except ValueError as error:
                raise ValueError(f"data.{name}: {error}") from error


def load_config(preset: str, overrides: Sequence[str] = ()) -> Config:
    """A preset's name or a ``.toml`` path, then ``section.key=value`` overrides in order.

    Raises:
        FileNotFoundError: no such preset or file.
        ValueError: not TOML, an unknown key, or a value of the wrong type or range.
    """
    return config_from(overridden(_read_toml(_preset_path(preset)), overrides))


def overridden(tree: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of nested dictionaries with ``section.key=value`` overrides in order.

    Raises:
        ValueError: an override of another form, or of something that is not a section.
    """
    changed = copy.deepcopy(dict(tree))
    for override in overrides:
        name, separator, text = override.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (separator and dot):
            raise ValueError(f"override {override!r}: write section.key=value")
        entries = changed.setdefault(section, {})
        if not isinstance(entries, dict):
            raise ValueError(f"override {override!r}: {section} is not a section")
        entries[key.strip()] = _literal(text.strip())
    return changed


def config_from(tree: Mapping[str, Any]) -> Config:
    """Nested dictionaries (TOML, or a saved run's JSON) as a Config.

    Raises:
        ValueError: an unknown key, or a value of the wrong type or range.
    """
    sections = get_type_hints(Config)
    _refuse_unknown("section", tree, sections)
    return Config(**{name: _section(sections[name], name, tree.get(name, {})) for name in sections})


def _section(kind: type[Any], name: str, entries: object) -> Any:  # noqa: ANN401 - one of six
    if not isinstance(entries, dict):
        raise ValueError(f"[{name}] must be a section of keys")
    values = cast("dict[str, Any]", entries)
    hints = get_type_hints(kind)
    _refuse_unknown(f"key in [{name}]", values, hints)
    return kind(**{key: _typed(f"{name}.{key}", v, hints[key]) for key, v in values.items()})


def _refuse_unknown(what: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"unknown {what}: {name!r}; {hint}Known: {', '.join(known)}")


def _typed(name: str, value: object, kind: object) -> object:
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) not in kinds:
        wanted = " or ".join(getattr(k, "__name__", str(k)) for k in kinds)
        raise ValueError(f"{name} is {value!r}; it must be of type {wanted}")
    return value


def _one_of(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(value, choices, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"{name} is {value!r}; {hint}Known: {', '.join(choices)}")


def _preset_path(preset: str) -> Path:
    if preset.endswith(".toml"):
        return Path(preset)
    if preset not in preset_names():
        near = difflib.get_close_matches(preset, preset_names(), 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        known = ", ".join(preset_names())
        raise FileNotFoundError(
            f"no preset {preset!r}{hint} There are {known}, or give a .toml file"
        )
    return FOLDER / f"{preset}.toml"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        body: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML ({error})") from error
    return body


def _literal(text: str) -> object:
    """A value as TOML would read it; a bare word is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def config_tree(config: Config) -> dict[str, dict[str, Any]]:
    """Nested dictionaries, the inverse of `config_from`."""
    return dataclasses.asdict(config)
