"""A decay that branches off a run whose rate is flat: in a folder of its own, the run only read.

A run whose rate stays flat may go on for as long as there is time. At any saved step its weights
are brought to rest by a short decay of the rate, and the run itself goes on as if nothing had been:
warm-up, stable, decay (Hu et al., "MiniCPM", 2024, section 4; Haegele et al., "Scaling Laws and
Compute-Optimal Training Beyond Fixed Training Durations", NeurIPS 2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import schedule, state
from .config import Config, config_from, config_tree, overridden

STEPS = 2000  # of a decay, unless said otherwise
# What a decay may do otherwise than the run that it branches off.
_FREE = {
    "optim": ("lr_end", "decay", "decay_at", "decay_steps", "frozen_norm_epochs", "ema"),
    "data": ("final_epochs", "final_crop", "final_batch", "workers", "cache_gb", "bad_limit"),
}


@dataclass(frozen=True)
class Branch:
    """Where a decay starts.

    ``tree`` and ``saved`` are the flat run's settings and state, ``config`` the decay's settings.
    """

    folder: Path
    tree: Mapping[str, Any]
    saved: Mapping[str, Any]
    config: Config

    def check(self, labels: Sequence[str], world: int, epoch_steps: int) -> None:
        """Refuse to branch off a run with other data, or off one that is not flat.

        Raises:
            ValueError: another run's state, or one whose rate rises or falls already.
        """
        state.check_mark(self.saved, self.folder, state.tree_fingerprint(self.tree, labels, world))
        optim, step = config_from(self.tree).optim, int(self.saved["step"])
        if schedule.learning_rate(optim, step, epoch_steps) != optim.lr:
            raise ValueError(f"{self.folder}: at step {step} the rate is not flat; nothing to end")


def read_branch(folder: Path, steps: int, overrides: Sequence[str]) -> Branch:
    """A decay of `steps` steps from the last saved step of the run in `folder`.

    Raises:
        FileNotFoundError: no run there.
        ValueError: damaged, or an override of what must stay as it was.
    """
    if steps < 1:
        raise ValueError(f"--decay-steps is {steps}; it is at least 1")
    tree, saved = state.read_config(folder), state.load_state(folder)
    flat = config_from(tree)
    config = config_from(overridden(tree, overrides))
    optim = dataclasses.replace(config.optim, decay_at=int(saved["step"]), decay_steps=steps)
    config = dataclasses.replace(config, optim=optim)
    _check_free(flat, config)
    return Branch(folder, tree, saved, config)


def _check_free(flat: Config, config: Config) -> None:
    """Everything but `_FREE` and the bookkeeping is the flat run's."""
    first, second = config_tree(flat), config_tree(config)
    for section in first.keys() - {"run"}:
        for key, value in first[section].items():
            if value != second[section][key] and key not in _FREE.get(section, ()):
                raise ValueError(f"{section}.{key} is {value!r} in the run and stays so in a decay")
    if bool(flat.optim.ema) != bool(config.optim.ema):
        raise ValueError("optim.ema: a decay averages weights if, and only if, the run does")
