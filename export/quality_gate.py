"""Quality gate of int8 artifacts: the PSNR lost against sharp pictures must stay in limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..quantize.pipeline import CalibrationStability, QuantisedOnnx, QuantPlan, stability_db
from ..quantize.quality_drop import Infer, QualityDrop, float_outputs, measure_drop
from ..quantize.search.sensitivity import most_sensitive_layers
from ..runtimes.artifact import Manifest, Quantisation
from ..runtimes.pictures.sample_inputs import load_sample_inputs
from .verify import PARITY_PICTURES, ParityError, round_to_output, run_reference

if TYPE_CHECKING:
    from ..runtimes.base import Runner
    from .graph import ExportSpec, Graph

_PICTURE_SET = "the packaged samples"


class QualityDropError(ParityError):
    """Quantisation loses more quality than the plan allows."""


def with_quality_drop(
    manifest: Manifest,
    runner: Runner,
    graph: Graph,
    spec: ExportSpec,
    quantised: QuantisedOnnx | CalibrationStability,
) -> Manifest:
    """The manifest with the quality drop of quantisation, measured on all samples.

    Raises:
        QualityDropError: the drop exceeds the plan's limit; the message names the most sensitive
            layers where they can be measured.
    """
    plan = spec.quantise
    assert plan is not None
    plan.log("measuring the quality drop on pictures with a sharp reference")
    multiple = manifest.size_multiple
    samples = load_sample_inputs(spec.size, multiple, dynamic=spec.dynamic)
    floats = float_outputs(
        lambda image: round_to_output(run_reference(graph.reference, image), manifest.output),
        samples,
    )
    drop = measure_drop(runner.infer, floats, samples)
    if drop.psnr_drop_db > plan.max_drop_db:
        raise QualityDropError(_drop_message(drop, quantised, plan, spec, multiple))
    if isinstance(quantised, CalibrationStability):
        stability = quantised.stability_db
    else:
        stability = stability_db(quantised, plan, samples[:PARITY_PICTURES])
    return dataclasses.replace(
        manifest,
        quantisation=Quantisation(
            recipe=plan.recipe.to_dict(),
            picture_set=_PICTURE_SET,
            max_drop_db=plan.max_drop_db,
            stability_db=stability,
            **dataclasses.asdict(drop),
        ),
    )


def calibration_stability(
    graph: Graph, spec: ExportSpec, of_half: Callable[[int], Infer]
) -> CalibrationStability:
    """How far apart the two halves of the calibration pictures lead, for quantisers without ONNX.

    Args:
        graph: The float network.
        spec: Its plan holds the pictures.
        of_half: 0 or 1 -> the network quantised on that half, on float32 (1, 3, H, W) in [-1, 1].

    Returns:
        The difference of their PSNR against sharp pictures; None with a single picture.
    """
    plan = spec.quantise
    assert plan is not None
    if len(plan.calibration.crops) < 2:
        return CalibrationStability(None)
    plan.log("comparing the two halves of the calibration pictures")
    multiple = graph.checkpoint.size_multiple
    samples = load_sample_inputs(spec.size, multiple, dynamic=False, count=PARITY_PICTURES)
    floats = float_outputs(lambda image: run_reference(graph.reference, image), samples)
    first, second = (measure_drop(of_half(half), floats, samples).psnr_drop_db for half in (0, 1))
    return CalibrationStability(abs(first - second))


def _drop_message(
    drop: QualityDrop,
    quantised: QuantisedOnnx | CalibrationStability,
    plan: QuantPlan,
    spec: ExportSpec,
    multiple: int,
) -> str:
    lost = (
        f"{spec.target} loses {drop.psnr_drop_db:.3f} dB against sharp pictures; "
        f"the limit is {plan.max_drop_db:g} dB (worst: {drop.worst_picture}, "
        f"{drop.worst_drop_db:.3f} dB; residual SNR {drop.residual_snr_db:.2f} dB). "
    )
    if isinstance(quantised, CalibrationStability):
        return (
            f"{lost}Calibrate on more pictures (--calib), keep layers in float (the recipe's "
            "'keep'), or use --recipe weight_only_w8_perchannel; nothing was written"
        )
    plan.log("drop too large; looking for the most sensitive layers")
    samples = load_sample_inputs(spec.size, multiple, dynamic=spec.dynamic, count=2)
    sensitive = ", ".join(
        f"{layer} ({gain:+.2f} dB of residual SNR in float)"
        for layer, gain in most_sensitive_layers(quantised, plan, samples, count=3)
    )
    return (
        f"{lost}Most sensitive: {sensitive}. Keep them in float (the recipe's 'keep'), calibrate "
        "on more pictures (--calib), try --recipe static_w8a16_perchannel, or let deblur-quantize "
        "search find a recipe; nothing was written"
    )
