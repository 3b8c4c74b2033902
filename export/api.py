"""Exporting from Python: one call, one artifact, built and checked as ``deblur-export`` does."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.checkpoints.sources import network_names
from .batch import Job, LogStep
from .build import DEFAULT_SIZE, Settings, job_builder, output_path
from .options import option_values
from .registry import Target, get_target

if TYPE_CHECKING:
    from ..models.checkpoints.checkpoint import Checkpoint
    from ..runtimes.artifact import Manifest


@dataclass(frozen=True)
class Exported:
    """An artifact on disk, and what its manifest says."""

    path: Path
    manifest: Manifest


def export(
    checkpoint: str | Path | Checkpoint,
    target: str,
    *,
    size: tuple[int, int] = DEFAULT_SIZE,
    output: str | Path = ".",
    dynamic: bool = False,
    options: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    log: LogStep = lambda _: None,
) -> Exported:
    """Convert a checkpoint, run the result, and compare it with PyTorch on real pictures.

    Args:
        checkpoint: A file, the name of a network whose weights ship (``zoo:<network>`` without
            its prefix, as ``mobilenet_dsc``), ``released``, or what `load_checkpoint` gave.
        target: ``onnx-fp32``, ``tflite-int8``, ...; ``deblur-export --list`` names all.
        size: (height, width) in pixels, multiples of what the network says.
        output: The artifact's file, or a folder that gets ``<network>_<target>_<size>``.
        dynamic: Leave height and width free, where the format can.
        options: The format's own options by name, such as ``{"io": "tensor"}``; text is read as
            on the command line.
        settings: Norms, rewrites, calibration, threads and the rest; see `Settings`.
        log: Called with a line at each step.

    Raises:
        FileNotFoundError: no such checkpoint or calibration folder.
        ValueError: unknown target or option; a size that does not suit the network; a checkpoint
            that is none; or an artifact too far from PyTorch, which is then not kept.
        FileExistsError: the artifact is there already and ``settings.force`` is not set.
        MissingDependencyError: a package is missing; the message names the extra.
    """
    from .arguments import checked_size
    from .graph import ExportSpec

    chosen = get_target(target)
    if dynamic and not chosen.free_size:
        raise ValueError(f"{chosen.name} has a fixed size")
    values = _option_values(chosen, options or {})
    spec = ExportSpec(chosen.name, checked_size(*size), dynamic=dynamic, options=values)
    weights = _loaded(checkpoint)
    weights.described.check_size(*size)
    path = output_path(Path(output), chosen, weights.network, size, dynamic=dynamic)
    manifest = job_builder(weights, settings or Settings())(Job(chosen, spec, path), log)
    return Exported(path, manifest)


def _loaded(checkpoint: str | Path | Checkpoint) -> Checkpoint:
    from ..models.checkpoints.checkpoint import load_checkpoint
    from ..models.checkpoints.sources import default_source

    if not isinstance(checkpoint, (str, Path)):
        return checkpoint
    source = str(checkpoint)
    return load_checkpoint(default_source(source) if source in network_names() else source)


def _option_values(target: Target, options: Mapping[str, Any]) -> dict[str, Any]:
    known = {option.key: option for option in target.options}
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name not in known:
            raise ValueError(
                f"{target.name} has no option {name!r}; known: {', '.join(known) or 'none'}"
            )
        parse = known[name].parse
        try:
            values[name] = parse(value) if isinstance(value, str) and parse is not bool else value
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"{name}: {error}") from error
    return option_values(target, argparse.Namespace(**values))
