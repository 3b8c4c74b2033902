"""Targets by name, ``<format>-<precision>``, each registered by the module that converts to it.

Such modules are found by name, ``to_<x>.py`` or ``to_<x>/target.py``, and in other distributions
by entry points of the group ``edgedeblur.targets``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtimes.discovery.by_name import import_matching
from ..runtimes.discovery.entry_points import TARGETS, DuplicateNameError, import_entry_points
from ..runtimes.optional import available
from ..runtimes.registry import runtime_for

if TYPE_CHECKING:
    from ..quantize.pipeline import CalibrationStability, QuantisedOnnx
    from ..quantize.recipe import Recipe
    from ..runtimes.artifact import Manifest, TensorSpec
    from ..runtimes.base import Runner
    from .graph import ExportSpec, Graph


@dataclass(frozen=True)
class StandIn:
    """A runner that replaces the artifact in verification, where this machine cannot run it.

    Attributes:
        open: (manifest, CPU threads) -> the runner on which parity and quality drop are measured.
        note: For the manifest: what was run, and why not the artifact.
        emulated: Whether the runner only emulates the target's runtime.
    """

    open: Callable[[Manifest, int], Runner]
    note: str
    emulated: bool = False


@dataclass(frozen=True)
class Converted:
    """What a converter returns besides the file it writes.

    Attributes:
        quantised: For quantised targets: the input of the quality gate.
        stand_in: What to run instead of the file; None runs the file.
        engine: For `Manifest.engine`.
        tools: Versions of further packages, for `Manifest.tools`.
    """

    quantised: QuantisedOnnx | CalibrationStability | None = None
    stand_in: StandIn | None = None
    engine: dict[str, Any] | None = None
    tools: dict[str, str] = field(default_factory=dict)


Convert = Callable[["Graph", "ExportSpec", Path], "Converted | None"]


@dataclass(frozen=True)
class Option:
    """A command-line option of one format. Formats may share a flag with different choices.

    Attributes:
        flag: ``--compute-capability``; the value arrives as ``spec.options["compute_capability"]``.
        help: One line, with the default at its end.
        parse: Text -> value; raises argparse.ArgumentTypeError. ``bool`` makes it a switch.
        choices: The words allowed; empty allows whatever ``parse`` takes.
        default: The value if the option is not given.
        metavar: How help names the value.
        recorded: Whether manifests record the value, because it affects the artifact.
        tunable: Whether ``--tune`` may time other values than the default. Its table does not say
            with which value an entry was timed.
    """

    flag: str
    help: str
    parse: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    default: Any = None
    metavar: str | None = None
    recorded: bool = True
    tunable: bool = True

    @property
    def key(self) -> str:
        """``--compute-capability`` -> ``compute_capability``."""
        return self.flag.lstrip("-").replace("-", "_")


@dataclass(frozen=True)
class Target:
    """One kind of artifact.

    Attributes:
            name: ``<format>-<precision>``, as on the command line.
            format: ``onnx``, ...
            precision: ``fp32``, ``fp16``, ``int8``.
                suffix: Suffix of the artifact's file name.
            extra: The extra of this package that installs what building and checking it needs.
                build_modules: Modules needed to convert.
            run_modules: Modules needed to run the result on this machine.
            convert: Writes ``graph`` to a path, as ``spec`` requests.
            tolerance_psnr_db: Lowest allowed PSNR between artifact and PyTorch, on uint8 pictures.
            needs_calibration: Whether it is quantised and takes calibration pictures.
            about: One line for ``--list`` and the README.
            options: Command-line options of this format.
            tensors: Input and output of the artifact; None is float32 NCHW in [-1, 1].
            free_size: Whether ``--dynamic`` is supported.
            recipe: Adapts the backbone's default recipe to the format; None uses it unchanged.
    """

    name: str
    format: str
    precision: str
    suffix: str
    extra: str
    build_modules: tuple[str, ...]
    run_modules: tuple[str, ...]
    convert: Convert
    tolerance_psnr_db: float
    needs_calibration: bool
    about: str
    options: tuple[Option, ...] = ()
    tensors: Callable[[ExportSpec], tuple[TensorSpec, TensorSpec]] | None = None
    free_size: bool = True
    recipe: Callable[[Recipe], Recipe] | None = None

    @property
    def run_extra(self) -> str | None:
        """The extra that installs only what running it needs; None if no runner opens it."""
        try:
            return runtime_for(Path(f"net{self.suffix}")).extra
        except ValueError:
            return None

    def missing(self) -> tuple[str, ...]:
        """Modules needed to build or run that are not installed."""
        wanted = dict.fromkeys((*self.build_modules, *self.run_modules))
        return tuple(module for module in wanted if not available(module))


_TARGETS: dict[str, Target] = {}
_PACKAGE = __name__.rpartition(".")[0]


def register(target: Target) -> Target:
    """Add a target.

    Raises:
        DuplicateNameError: the name is taken; the message names both modules.
        ValueError: the name is not ``<format>-<precision>``.
    """
    other = _TARGETS.get(target.name)
    if other is not None:
        raise DuplicateNameError(
            f"target {target.name!r} is registered twice: by {_origin(other)} and by "
            f"{_origin(target)}; rename one"
        )
    if target.name != f"{target.format}-{target.precision}":
        raise ValueError(f"target {target.name!r} is not <format>-<precision>")
    _TARGETS[target.name] = target
    return target


def _origin(target: Target) -> str:
    """The module that the target's convert is written in."""
    return str(getattr(target.convert, "__module__", "?"))


def targets() -> dict[str, Target]:
    """All targets by name: this package's and those of other distributions.

    Raises:
        DuplicateNameError: see `register`.
    """
    import_matching(_PACKAGE, "to_", "target")
    import_entry_points(TARGETS, _TARGETS)
    return dict(sorted(_TARGETS.items()))


def get_target(name: str) -> Target:
    """The target of that name.

    Raises:
        ValueError: unknown; the message gives the nearest names and all of them.
    """
    known = targets()
    if name not in known:
        near = difflib.get_close_matches(name, known, 2, 0.3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ValueError(f"unknown target {name!r}{hint} Known: {', '.join(known)}")
    return known[name]


def targets_markdown() -> str:
    """The README's table of targets, without those of other distributions."""
    lines = [
        "| target | file | what it is | tolerance against PyTorch | extra to export | to run |",
        "|---|---|---|---|---|---|",
    ]
    own = [t for t in targets().values() if _origin(t).startswith(f"{_PACKAGE}.")]
    for t in own:
        gate = f">= {t.tolerance_psnr_db:g} dB"
        extras = f"`{t.extra}` | `{t.run_extra}`"
        lines.append(f"| `{t.name}` | `{t.suffix}` | {t.about} | {gate} | {extras} |")
    return "\n".join(lines)
