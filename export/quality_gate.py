"""What int8 artifacts must show on top of parity: the cost against sharp pictures."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..models.network.generator import SIZE_MULTIPLE
from ..quantize.pipeline import Quantised, QuantPlan, Settled, stability_db
from ..quantize.quality_drop import Drop, float_outputs, measure_drop
from ..quantize.search.sensitivity import most_harmful
from ..runtimes.artifact import Manifest, Quantisation
from ..runtimes.pictures.sample_inputs import load_sample_inputs
from .verify import PARITY_PICTURES, ParityError, given_as, run_reference

if TYPE_CHECKING:
    from ..runtimes.base import Runner
    from .graph import ExportSpec, Graph

_PICTURES = "the packaged samples"


class DropError(ParityError):
    """Quantisation costs more than was allowed."""


def with_cost(
    manifest: Manifest,
    runner: Runner,
    graph: Graph,
    spec: ExportSpec,
    done: Quantised | Settled,
) -> Manifest:
    """The manifest with what quantisation cost, measured on all samples.

    Raises:
        DropError: it costs more than the plan allows; the message names the layers to blame,
            where the quantiser can tell.
    """
    plan = spec.quantise
    assert plan is not None
    plan.log("measuring what quantisation cost on pictures with a sharp side")
    samples = load_sample_inputs(spec.size, SIZE_MULTIPLE, dynamic=spec.dynamic)
    floats = float_outputs(
        lambda image: given_as(run_reference(graph.reference, image), manifest.output),
        samples,
    )
    drop = measure_drop(runner.infer, floats, samples)
    if drop.psnr_drop_db > plan.max_drop_db:
        raise DropError(_too_much(drop, done, plan, spec))
    if isinstance(done, Settled):
        stability = done.stability_db
    else:
        stability = stability_db(done, plan, samples[:PARITY_PICTURES])
    return dataclasses.replace(
        manifest,
        quantisation=Quantisation(
            recipe=plan.recipe.to_dict(),
            picture_set=_PICTURES,
            max_drop_db=plan.max_drop_db,
            stability_db=stability,
            **dataclasses.asdict(drop),
        ),
    )


def _too_much(drop: Drop, done: Quantised | Settled, plan: QuantPlan, spec: ExportSpec) -> str:
    lost = (
        f"{spec.target} loses {drop.psnr_drop_db:.3f} dB against sharp pictures, "
        f"{plan.max_drop_db:g} dB are allowed (worst: {drop.worst_picture}, "
        f"{drop.worst_drop_db:.3f} dB; residual SNR {drop.residual_snr_db:.2f} dB). "
    )
    if isinstance(done, Settled):
        return (
            f"{lost}Calibrate on more pictures (--calib), keep layers in float (the recipe's "
            "'keep'), or use --recipe weight_only_w8_perchannel; nothing was written"
        )
    plan.log("too much; looking for the layers to blame")
    samples = load_sample_inputs(spec.size, SIZE_MULTIPLE, dynamic=spec.dynamic, count=2)
    blamed = ", ".join(
        f"{layer} ({gain:+.2f} dB of residual SNR in float)"
        for layer, gain in most_harmful(done, plan, samples, count=3)
    )
    return (
        f"{lost}Most harmful: {blamed}. Keep them in float (the recipe's 'keep'), calibrate on "
        "more pictures (--calib), try --recipe static_w8a16_perchannel, or let deblur-quantize "
        "search find a recipe; nothing was written"
    )
