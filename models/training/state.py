"""The resumable state of a run: written atomically, and refused if it is another run's."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import pickle
from collections.abc import Generator, Mapping, Sequence
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

    @contextlib.contextmanager
    def held_by(self, module: nn.Module) -> Generator[None]:
        """The module with the averaged values inside the block, its own after it."""
        own = {name: t.detach().clone() for name, t in module.state_dict().items()}
        module.load_state_dict(self.values)
        try:
            yield
        finally:
            module.load_state_dict(own)


def fingerprint(config: Config, labels: Sequence[str], world: int) -> str:
    """Hash of what must be the same to resume a run: settings, data, number of processes.

    How often something is saved or shown, and how crops are loaded, may change.
    """
    return tree_fingerprint(config_tree(config), labels, world)


def tree_fingerprint(tree: Mapping[str, Any], labels: Sequence[str], world: int) -> str:
    """`fingerprint` of settings as they stand in a run's `CONFIG_NAME`."""
    kept = {name: dict(section) for name, section in tree.items() if name != "run"}
    for name in ("workers", "cache_gb", "bad_limit"):
        kept["data"].pop(name)
    if not kept["optim"].get("decay_steps"):  # runs from before there were these settings go on
        for name in ("decay_at", "decay_steps"):
            kept["optim"].pop(name, None)
    if not kept["loss"].get("feature"):
        kept["loss"].pop("feature", None)
    if kept["loss"].get("distill_kind") == "l1":
        kept["loss"].pop("distill_kind")
    if not sum(amount for key, amount in kept.get("restore", {}).items() if "share" in key):
        kept.pop("restore", None)
    text = json.dumps([kept, list(labels), world], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state atomically.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old state stays.
    """
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    with replacing(folder / STATE_NAME) as path:
        path.write_bytes(stream.getbuffer())


def read_state(folder: Path, mark: str) -> dict[str, Any]:
    """Read the state of an interrupted run.

    Raises:
        FileNotFoundError: there is none.
        ValueError: damaged, or of a run with other settings or data.
    """
    state = load_state(folder)
    check_mark(state, folder, mark)
    return state


def load_state(folder: Path) -> dict[str, Any]:
    """The state in a folder, whichever run it belongs to.

    Raises:
        FileNotFoundError: there is none.
        ValueError: damaged.
    """
    path = folder / STATE_NAME
    if not path.exists():
        raise FileNotFoundError(f"{path}: nothing to resume; start without --resume")
    try:
        state = cast("dict[str, Any]", torch.load(path, map_location="cpu", weights_only=True))
        _ = state["fingerprint"], state["step"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged or not a training state; start a new run") from error
    return state


def check_mark(state: Mapping[str, Any], folder: Path, mark: str) -> None:
    """Refuse a state whose `fingerprint` is not `mark`.

    Raises:
        ValueError: it belongs to a run with other settings or data.
    """
    if state["fingerprint"] != mark:
        raise ValueError(
            f"{folder / STATE_NAME}: belongs to a run with other settings, data or number of "
            f"processes (see {CONFIG_NAME} beside it); resume with the same ones or choose another "
            "--output"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The settings of the run in a folder, as nested dictionaries.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: damaged.
    """
    path = folder / CONFIG_NAME
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; {folder} holds no run")
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8"))["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged or not a run's settings") from error


def write_config(folder: Path, config: Config, labels: Sequence[str]) -> None:
    """Write the settings beside the results."""
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
        self._recent: list[Mapping[str, float]] = []

    def collect(self, numbers: Mapping[str, float]) -> None:
        """Note a step's numbers for the next `mean`."""
        self._recent.append(numbers)

    def mean(self) -> dict[str, float]:
        """The mean of each number since the last call: a single step's is mostly noise."""
        recent, self._recent = self._recent, []
        return {name: sum(one[name] for one in recent) / len(recent) for name in recent[-1]}

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
