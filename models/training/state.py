"""The resumable state of a run, and its files: whole or not there, and refused when foreign."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...runtimes.files import replacing
from .config import Config, config_tree

STATE_NAME, CONFIG_NAME, LOG_NAME = "state.pt", "config.json", "log.jsonl"
BEST_NAME, LAST_NAME = "best.safetensors", "last.safetensors"


class Averaged:
    """Exponentially averaged weights and running statistics (Polyak averaging).

    Early on the average follows quickly: the decay of update n is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self.values = {name: t.detach().clone() for name, t in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, updates: int) -> None:
        """Move towards the module's values; whole-number counters are copied."""
        decay = min(self._decay, (1 + updates) / (10 + updates))
        current = module.state_dict()
        floats = [name for name, t in self.values.items() if t.is_floating_point()]
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateUsage] - one pass
            [self.values[n] for n in floats], [current[n] for n in floats], 1 - decay
        )
        for name, value in self.values.items():
            if not value.is_floating_point():
                value.copy_(current[name])


def fingerprint(config: Config, labels: Sequence[str], world: int) -> str:
    """What must be the same for a run to be continued: settings, data, number of processes.

    How often something is saved or shown, and how crops are loaded, may change.
    """
    tree = config_tree(config)
    tree.pop("run")
    for name in ("workers", "cache_gb", "bad_limit"):
        tree["data"].pop(name)
    text = json.dumps([tree, list(labels), world], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old state stays.
    """
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    with replacing(folder / STATE_NAME) as path:
        path.write_bytes(stream.getbuffer())


def read_state(folder: Path, mark: str) -> dict[str, Any]:
    """The state of a broken-off run.

    Raises:
        FileNotFoundError: there is none.
        ValueError: damaged, or of a run with other settings or data.
    """
    path = folder / STATE_NAME
    if not path.exists():
        raise FileNotFoundError(f"{path}: nothing to resume; start without --resume")
    try:
        state = cast("dict[str, Any]", torch.load(path, map_location="cpu", weights_only=True))
        found = state["fingerprint"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged or not a training state; start a new run") from error
    if found != mark:
        raise ValueError(
            f"{path}: belongs to a run with other settings, data or number of processes "
            f"(see {CONFIG_NAME} beside it); resume with the same ones or choose another --output"
        )
    return state


def write_config(folder: Path, config: Config, labels: Sequence[str]) -> None:
    """Keep the settings beside the results."""
    body = {"config": config_tree(config), "data": list(labels)}
    with replacing(folder / CONFIG_NAME) as path:
        path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


class Log:
    """One JSON object per line, appended; lines of steps that are run again are dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / LOG_NAME
        kept = [line for line in read_log(self._path) if line["step"] <= step] if step else []
        with replacing(self._path) as path:
            path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def add(self, line: Mapping[str, Any]) -> None:
        """Append one line; `step` must be among its keys."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; a last line that a crash cut off is ignored."""
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(cast("dict[str, Any]", json.loads(text)))
        except ValueError:
            continue
    return lines


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """A module's tensors on the CPU, as they are now."""
    return {name: t.detach().cpu().clone() for name, t in module.state_dict().items()}
