"""Measures which rewrites are fastest, per target, network and CPU family.

``deblur-export --tune`` writes a table for this machine, by default into the cache folder;
see `tables` for what is read when.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...models.network.registry import get_backbone, pyramid_names
from ...runtimes.artifact import read_manifest
from ...runtimes.base import Runner
from ...runtimes.files import replacing
from ...runtimes.machine import machine
from ...runtimes.registry import open_runner, runtime_for
from ..graph import ExportSpec
from ..registry import Target
from ..verify import ParityError
from .interleaved import interleaved_ms
from .rewrite import parse_steps
from .tables import read_table, table_key

if TYPE_CHECKING:
    from ...models.checkpoints.checkpoint import Checkpoint

# A candidate must be this many times faster than the unrewritten graph to be chosen.
MIN_SPEEDUP = 1.02
# Quantised candidates below this residual SNR are not chosen, if any candidate reaches it: at 20 dB
# the residual is ten times the error made in it, which a loss in PSNR alone does not show.
MIN_SNR_DB = 20.0

_DENSE = (
    "compose_laterals,split_concat,upsample_to_pixelshuffle@final,upsample_to_transposed",
    "compose_laterals,split_concat,nest_upsampling,upsample_to_pixelshuffle@final,"
    "upsample_to_transposed",
    "compose_laterals,split_concat,nest_upsampling,upsample_to_pixelshuffle",
    "compose_laterals@td1+td2+td3,split_concat@smooth,nest_upsampling@smooth,"
    "upsample_to_pixelshuffle@td1+td2+td3+smooth+final",
)
_SEPARABLE = (
    "compose_separable@final,upsample_to_pixelshuffle@final",
    "compose_separable@final,upsample_to_transposed@final",
    "split_concat@smooth,compose_separable@final,upsample_to_pixelshuffle@final",
    "split_concat@smooth,compose_separable@final,upsample_to_transposed@final",
    "compose_separable@smooth2+final,compose_laterals@smooth2,upsample_to_pixelshuffle@final,"
    "upsample_to_transposed@smooth2",
)
# By the decoder's convolutions.
CANDIDATES = {
    "dense": ("none", *_DENSE),
    "separable": ("none", *_SEPARABLE),
}


@dataclass(frozen=True)
class TimedCandidate:
    """A candidate's milliseconds at the tuned size over the rounds.

    ``quartile_ms`` is the 25th percentile. Other work on the machine only ever adds time, so it
    says more about the graph than the median does on a busy machine, and less about luck than the
    fastest run. ``psnr_drop_db`` is the quality drop of quantisation, and ``residual_snr_db`` its
    residual SNR (None where nothing was quantised).
    """

    rewrite: str
    median_ms: float
    quartile_ms: float
    fastest_ms: float
    psnr_drop_db: float | None = None
    residual_snr_db: float | None = None


def candidates_for(backbone: str) -> tuple[str, ...]:
    """The candidates for a backbone and every network that is compressed from it.

    Raises:
        ValueError: a network without fusion points.
    """
    if backbone not in pyramid_names():
        raise ValueError(f"{backbone} has no fusion points to rewrite, so nothing to tune")
    return CANDIDATES["separable" if get_backbone(backbone).separable else "dense"]


def tune(
    target: Target,
    checkpoint: Checkpoint,
    spec: ExportSpec,
    folder: Path,
    table: Path,
    *,
    rounds: int,
    threads: int,
    build: Callable[[str, Path], object],
    log: Callable[[str], None],
) -> list[TimedCandidate]:
    """Build every candidate, time them in interleaved rounds, and record the fastest in ``table``.

    Candidates that an earlier run left in ``folder`` are not built again.

    Args:
        target: The target to tune.
        checkpoint: Weights; only their network matters for speed.
        spec: Fixed size.
        folder: Folder for the candidates' artifacts.
        table: The JSON file to add the result to.
        rounds: Timed rounds; each runs all candidates once, so that drift of the machine's speed
            affects all of them alike.
        threads: CPU threads.
        build: Exports the artifact for a rewrite text to a path, verified like every export.
        log: Called with a line at each step.

    Raises:
        ValueError: ``rounds`` is below 1, the target's runtime is only emulated on this machine,
            or an option that the table does not tell has another value than its default.
    """
    if runtime_for(Path(f"net{target.suffix}")).runner.emulated:
        raise ValueError(
            f"{target.name} cannot be timed on this machine, which only emulates it; choose with "
            "--rewrite"
        )
    for option in target.options:
        if not option.tunable and spec.options.get(option.key, option.default) != option.default:
            raise ValueError(
                f"the table of rewrites holds {target.name} with {option.flag} {option.default} "
                f"only; leave out {option.flag}, or choose with --rewrite"
            )
    if rounds < 1:
        raise ValueError(f"nothing can be timed in {rounds} rounds; use --rounds 1 or more")
    texts = candidates_for(checkpoint.backbone)
    paths = _build_candidates(texts, target, checkpoint, spec, folder, build, log)
    log(f"timing {len(paths)} candidates in {rounds} rounds")
    measured = _time_candidates(paths, spec.size, rounds=rounds, threads=threads)
    key = table_key(target.name, checkpoint.key)
    _write_result(table, key, measured, spec, threads, rounds)
    return measured


def _build_candidates(
    texts: Sequence[str],
    target: Target,
    checkpoint: Checkpoint,
    spec: ExportSpec,
    folder: Path,
    build: Callable[[str, Path], object],
    log: Callable[[str], None],
) -> dict[str, Path]:
    """Paths of the candidates' artifacts; builds those that are missing.

    A rewritten candidate that fails verification is skipped.
    """
    paths: dict[str, Path] = {}
    size = f"{spec.size[0]}x{spec.size[1]}"
    for number, text in enumerate(texts):
        path = folder / f"{checkpoint.network}_{target.name}_{size}_{number}{target.suffix}"
        if not _is_built(path, text, checkpoint.sha256, spec):
            log(f"building candidate {number + 1} of {len(texts)}: {text}")
            try:
                build(text, path)
            except ParityError as error:
                if text == "none":
                    raise
                log(f"skipped: {error}")
                continue
        paths[text] = path
    return paths


def choose_fastest(measured: Sequence[TimedCandidate]) -> TimedCandidate:
    """The candidate with the lowest first quartile, if `MIN_SPEEDUP` faster than the stock graph.

    Candidates below `MIN_SNR_DB` are excluded, unless all are.
    """
    faithful = [m for m in measured if m.residual_snr_db is None or m.residual_snr_db >= MIN_SNR_DB]
    among = faithful or measured
    best = min(among, key=lambda m: m.quartile_ms)
    stock = next((m for m in among if m.rewrite == "none"), best)
    return best if stock.quartile_ms > MIN_SPEEDUP * best.quartile_ms else stock


def _time_candidates(
    paths: Mapping[str, Path], size: tuple[int, int], *, rounds: int, threads: int
) -> list[TimedCandidate]:
    runners: list[Runner] = [open_runner(path, threads=threads) for path in paths.values()]
    times = interleaved_ms(runners, size, rounds=rounds)
    measured: list[TimedCandidate] = []
    for text, runner, taken in zip(paths, runners, times, strict=True):
        cost = runner.manifest.quantisation
        median, quartile = (float(value) for value in np.percentile(taken, (50, 25)))
        timed = TimedCandidate(text, median, quartile, min(taken))
        if cost is not None:
            timed = dataclasses.replace(
                timed, psnr_drop_db=cost.psnr_drop_db, residual_snr_db=cost.residual_snr_db
            )
        measured.append(timed)
        runner.close()
    return measured


def _is_built(path: Path, text: str, checkpoint_sha256: str, spec: ExportSpec) -> bool:
    wanted = tuple(str(step) for step in parse_steps(text))
    try:
        manifest = read_manifest(path)
    except (OSError, ValueError):
        return False
    recipe = None if spec.quantise is None else spec.quantise.recipe.to_dict()
    found = None if manifest.quantisation is None else manifest.quantisation.recipe
    same = manifest.rewrites == wanted and manifest.checkpoint.sha256 == checkpoint_sha256
    return same and found == recipe


def _write_result(
    table: Path,
    key: str,
    measured: Sequence[TimedCandidate],
    spec: ExportSpec,
    threads: int,
    rounds: int,
) -> None:
    from ...runtimes.optional import version_of

    content = read_table(table)
    packages = ("onnxruntime", "openvino", "ai-edge-litert", "ncnn", "executorch")
    content[key] = {
        "rewrite": choose_fastest(measured).rewrite,
        "machine": machine(),
        "threads": threads,
        "size": list(spec.size),
        "rounds": rounds,
        "versions": {name: v for name in packages if (v := version_of(name))},
        "candidates": [vars(m) for m in measured],
    }
    with replacing(table) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
