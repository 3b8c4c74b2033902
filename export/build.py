"""One artifact as somebody asked for it: settings, name, calibration, rewrites, then `produce`.

`export_notes` says afterwards where the tuned choices came from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .batch import Job, LogStep
from .registry import Target, targets

if TYPE_CHECKING:
    from ..models.checkpoints.checkpoint import Checkpoint
    from ..runtimes.artifact import Manifest
    from .graph import ExportSpec
    from .rewrites.rewrite import Step

DEFAULT_SIZE = (736, 1280)  # 720p, padded


@dataclass(frozen=True)
class Settings:
    """What all artifacts of a call share.

    Attributes:
        norm: ``frozen`` or ``live``; None takes what the weights were trained for.
        rewrite: ``auto``, ``none``, ``all`` or names, as ``--rewrite``.
        calibration: Folder of blurry pictures for int8; None takes the packaged samples.
        calibration_count: Crops.
        recipe: Name or JSON file for int8; None takes what was found for the network.
        max_drop_db: Largest loss of PSNR of int8 artifacts against sharp pictures.
        threads: CPU threads of the comparison.
        force: Replace existing files.
    """

    norm: str | None = None
    rewrite: str = "auto"
    calibration: Path | None = None
    calibration_count: int = 64
    recipe: str | None = None
    max_drop_db: float = 0.1
    threads: int = 1
    force: bool = False


def job_builder(checkpoint: Checkpoint, settings: Settings) -> Callable[[Job, LogStep], Manifest]:
    """A function that exports a job; all jobs share the prepared network and PyTorch's outputs."""
    from .android import ANDROID_OPTION, copy_to_app
    from .prepare import check_norm_size, prepare, with_cached_reference
    from .produce import io_tensors, produce
    from .web.option import WEB_OPTION
    from .web.write import check_site, write_site

    norm = settings.norm or checkpoint.norm
    prepared = with_cached_reference(prepare(checkpoint, norm=norm))

    def build(job: Job, log: LogStep) -> Manifest:
        check_norm_size(checkpoint.described, norm, job.spec.size)
        site: Path | None = job.spec.options.get(WEB_OPTION.key)
        if site is not None:
            image, _ = io_tensors(job.target, job.spec)
            check_site(site, job.target.suffix, image)
        spec = with_quantisation_plan(job.spec, job.target, checkpoint, settings, log)
        rewrites = rewrite_steps(settings.rewrite, job.target, checkpoint.key, norm)
        manifest = produce(job.target, checkpoint, spec, job.output, norm=norm, rewrites=rewrites,
                           prepared=prepared, force=settings.force, threads=settings.threads,
                           log=log)  # fmt: skip
        if spec.options.get(ANDROID_OPTION.key):
            copy_to_app(job.output, manifest, checkpoint)
        if site is not None:
            log("writing the web page")
            write_site(site, job.output, manifest)
        return manifest

    return build


def with_quantisation_plan(
    spec: ExportSpec, target: Target, checkpoint: Checkpoint, settings: Settings, log: LogStep
) -> ExportSpec:
    """The export request with a quantisation plan, for targets that need calibration.

    Raises:
        FileNotFoundError, ValueError: no such recipe, or no calibration pictures.
    """
    if not target.needs_calibration:
        return spec
    from ..models.checkpoints.layer_names import layer_name
    from ..quantize.calibration import calibration_set
    from ..quantize.pipeline import QuantPlan
    from ..quantize.recipe import for_runtime, read_recipe, searched_network, without_missing

    recipe = read_recipe(settings.recipe, checkpoint.key)
    if settings.recipe is None:
        recipe = for_runtime(recipe, checkpoint.key, target.format)
    recipe = dataclasses.replace(recipe, keep=_kept_layers(recipe.keep, checkpoint.described.last))
    from_file = (settings.recipe or "").endswith(".json")
    if not from_file and searched_network(checkpoint.key) != checkpoint.key:
        recipe = without_missing(recipe, {layer_name(name) for name in checkpoint.state})
    if settings.recipe is None and target.recipe is not None:
        recipe = target.recipe(recipe)
    log("reading calibration pictures")
    pictures = calibration_set(settings.calibration, spec.size, count=settings.calibration_count)
    plan = QuantPlan(recipe, pictures, settings.max_drop_db, settings.threads, log)
    return dataclasses.replace(spec, quantise=plan)


def _kept_layers(keep: tuple[str, ...], last: str) -> tuple[str, ...]:
    """A recipe's layers to keep in float; ``final`` is the last one, whatever it is called."""
    from ..quantize.recipe import LAST

    if last.partition(".")[0] == LAST:
        return keep
    return tuple(last if entry == LAST else entry for entry in keep if last or entry != LAST)


def rewrite_steps(text: str, target: Target, network: str, norm: str) -> tuple[Step, ...]:
    """The rewrite steps for the value of ``--rewrite``; ``network`` is `Checkpoint.key`.

    Raises:
        ValueError: an unknown rewrite or fusion point.
    """
    from .rewrites.rewrite import parse_steps
    from .rewrites.tables import best_rewrite

    if text != "auto":
        return parse_steps(text)
    if norm != "frozen":
        return ()  # a live norm sits between the convolution and the next operation
    return parse_steps(best_rewrite(target.name, network).rewrite)


def output_path(
    wanted: Path, target: Target, network: str, size: tuple[int, int], *, dynamic: bool
) -> Path:
    """The artifact's path: ``wanted`` if it has the target's suffix, else a name in that folder.

    ``network`` is `Checkpoint.network`.

    Raises:
        ValueError: a file name with another suffix.
    """
    if wanted.suffix == target.suffix:
        return wanted
    if wanted.suffix and not wanted.is_dir():
        raise ValueError(
            f"{wanted}: {target.name} writes {target.suffix} files; "
            "change the suffix or give an existing folder"
        )
    shape = "dynamic" if dynamic else f"{size[0]}x{size[1]}"
    return wanted / f"{network}_{target.name}_{shape}{target.suffix}"


def export_notes(
    job: Job, manifest: Manifest, checkpoint: Checkpoint, settings: Settings
) -> tuple[str, ...]:
    """One line each: whose rewrites and recipe it took, and a faster float target if one is known.

    Args:
        job: What was exported.
        manifest: Its manifest.
        checkpoint: The weights it was exported from.
        settings: The settings of the call.

    Raises:
        ValueError: a table of rewrites is damaged.
    """
    from .rewrites.tables import best_rewrite, faster_float
    from .web.option import WEB_OPTION
    from .web.write import site_note

    notes: list[str] = []
    if settings.rewrite == "auto" and manifest.norm == "frozen":
        notes.append(f"rewrites: {best_rewrite(job.target.name, checkpoint.key).provenance}")
    notes += _recipe_notes(manifest, checkpoint, settings.recipe)
    if job.target.needs_calibration:
        floats = _float_targets(job.target)
        slower = faster_float(job.target.name, floats, checkpoint.key, job.spec.size)
        notes += [slower] if slower else []
    site: Path | None = job.spec.options.get(WEB_OPTION.key)
    return (*notes, site_note(site)) if site is not None else tuple(notes)


def _float_targets(target: Target) -> tuple[str, ...]:
    """The float targets of the same runtime."""
    return tuple(
        other.name
        for other in targets().values()
        if other.suffix == target.suffix and not other.needs_calibration
    )


def _recipe_notes(manifest: Manifest, checkpoint: Checkpoint, asked: str | None) -> list[str]:
    """Whose recipe an int8 artifact took, if none was searched for its network."""
    from ..quantize.recipe import Recipe, searched_network

    if manifest.quantisation is None or (asked or "").endswith(".json"):
        return []
    recipe = Recipe.from_dict(manifest.quantisation.recipe, origin="the manifest")
    if not recipe.needs_pictures and not recipe.keep:
        return []  # nothing in it is searched for
    found = searched_network(checkpoint.key)
    if found == checkpoint.key:
        return []
    whose = "plain recipe" if found is None else f"recipe of {found}"
    return [f"{whose}, not searched for this network"]
