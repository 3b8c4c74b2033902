"""What a summary says of an artifact beside its manifest: where its tuned choices come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .registry import Target, targets

if TYPE_CHECKING:
    from ..models.checkpoints.checkpoint import Checkpoint
    from ..runtimes.artifact import Manifest
    from .batch import Job
    from .build import Settings


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

    notes: list[str] = []
    if settings.rewrite == "auto" and manifest.norm == "frozen":
        notes.append(f"rewrites: {best_rewrite(job.target.name, checkpoint.key).provenance}")
    notes += _recipe_notes(manifest, checkpoint, settings.recipe)
    if job.target.needs_calibration:
        floats = float_targets(job.target)
        slower = faster_float(job.target.name, floats, checkpoint.key, job.spec.size)
        notes += [slower] if slower else []
    return tuple(notes)


def float_targets(target: Target) -> tuple[str, ...]:
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
