"""Exports one artifact: convert, verify against PyTorch, then write it with its manifest."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.network.counting import conv_macs
from ..models.network.receptive_field import receptive_radius_px
from ..runtimes.artifact import (
    Calibration,
    CheckpointInfo,
    Manifest,
    TensorSpec,
    manifest_path,
    manifest_text,
)
from ..runtimes.files import check_writable, replacing_all, sha256_of, size_of
from ..runtimes.optional import require, version_of
from ..runtimes.pictures.sample_inputs import load_sample_inputs
from ..runtimes.registry import runtime_for
from ..runtimes.sdk_errors import suppress_output
from .graph import INPUT_NAME, OUTPUT_NAME, ExportSpec, Graph
from .registry import Converted, Target
from .verify import PARITY_PICTURES, compare_outputs, measure_parity, run_reference

if TYPE_CHECKING:
    from ..models.checkpoints.checkpoint import Checkpoint
    from ..runtimes.base import Runner
    from .rewrites.rewrite import Step

LogStep = Callable[[str], None]
EMBED_KEY = "edgedeblur.manifest"


def produce(
    target: Target,
    checkpoint: Checkpoint,
    spec: ExportSpec,
    output: Path,
    *,
    norm: str,
    rewrites: Sequence[Step] = (),
    prepared: Graph | None = None,
    force: bool = False,
    threads: int = 1,
    log: LogStep = lambda _: None,
) -> Manifest:
    """Convert, load back and compare with PyTorch on real pictures; write only if they agree.

    Args:
        target: The kind of artifact to build.
        checkpoint: The weights.
        spec: The export request: size, options, quantisation plan.
        output: The artifact's final path; its manifest is written next to it.
        norm: ``frozen`` or ``live``.
        rewrites: Exact rewrites to apply, in order; see `rewrite`.
        prepared: Output of `prepare`, if several exports share it; not modified.
        force: Replace an existing artifact; on any error the old one and its manifest are kept.
        threads: CPU threads for the verification.
        log: Called with a line at each step.

    Raises:
        MissingDependencyError: the target's packages are not installed.
        FileExistsError: ``output`` exists and ``force`` is false.
        OSError: the folder cannot be written, or the disk is full.
        ParityError: the artifact differs from PyTorch by more than the tolerance.
    """
    _check_requirements(target, output, force=force)
    log(f"preparing {checkpoint.network}, norms {norm}")
    graph = _prepare_graph(checkpoint, norm, rewrites, prepared)
    # Both files or neither: an artifact without its manifest is not left behind on a full disk.
    with replacing_all((output, manifest_path(output))) as (artifact, manifest_file):
        manifest = _convert_and_verify(target, graph, spec, artifact, threads, log)
        manifest_file.write_text(manifest_text(manifest), encoding="utf-8")
    return manifest


def _check_requirements(target: Target, output: Path, *, force: bool) -> None:
    """Check packages and output paths before minutes of work; raises as `produce`."""
    for module in (*target.build_modules, *target.run_modules):
        with suppress_output():  # some print a banner on import
            require(module, extra=target.extra)
    for path in (output, manifest_path(output)):
        check_writable(path, force=force)


def _prepare_graph(
    checkpoint: Checkpoint, norm: str, rewrites: Sequence[Step], prepared: Graph | None
) -> Graph:
    from .prepare import prepare
    from .rewrites.rewrite import apply_rewrites

    if prepared is None:
        return apply_rewrites(prepare(checkpoint, norm=norm), rewrites)
    assert prepared.norm == norm
    copied = dataclasses.replace(prepared, module=copy.deepcopy(prepared.module))
    return apply_rewrites(copied, rewrites)


def _convert_and_verify(
    target: Target, graph: Graph, spec: ExportSpec, path: Path, threads: int, log: LogStep
) -> Manifest:
    """Write the artifact to ``path`` and verify it; returns its manifest, not yet written."""
    draft = draft_manifest(target, graph, spec)
    smallest = graph.checkpoint.described.smallest_side
    embed = {EMBED_KEY: json.dumps(draft.to_dict())}
    spec = dataclasses.replace(spec, embed=embed, smallest_side=smallest, log=log)
    log(f"converting to {target.name}")
    converted = target.convert(graph, spec, path) or Converted()
    manifest = dataclasses.replace(
        draft,
        bytes=size_of(path),
        sha256=sha256_of(path),
        engine=converted.engine,
        tools={**draft.tools, **converted.tools},
    )
    log("running the artifact and comparing with PyTorch")
    return _verify(manifest, target, graph, path, spec, threads, converted)


def draft_manifest(target: Target, graph: Graph, spec: ExportSpec) -> Manifest:
    """The manifest before conversion: size, hash and parity are still empty."""
    checkpoint = graph.checkpoint
    packages = ("edgedeblur", *target.build_modules, *target.run_modules)
    versions = {name: version_of(name) for name in dict.fromkeys(packages)}
    input_spec, output_spec = io_tensors(target, spec)
    return Manifest(
        target=target.name,
        backbone=checkpoint.backbone,
        network=checkpoint.network,
        widths=checkpoint.widths.to_dict() if checkpoint.widths else None,
        checkpoint=CheckpointInfo(checkpoint.sha256, checkpoint.source),
        norm=graph.norm,
        input=input_spec,
        output=output_spec,
        size_multiple=checkpoint.size_multiple,
        smallest_side=checkpoint.described.smallest_side_of_free_size if spec.dynamic else None,
        receptive_radius_px=(
            receptive_radius_px(checkpoint.backbone, checkpoint.widths)
            if graph.norm == "frozen"
            else None
        ),
        params=sum(p.numel() for p in graph.module.parameters()),
        macs=conv_macs(graph.module, spec.size),
        macs_size=spec.size,
        bytes=0,
        sha256="",
        tools={name: version for name, version in versions.items() if version},
        rewrites=graph.rewrites,
        trained_norm=checkpoint.norm,
        calibration=_calibration(spec),
        options=_recorded_options(target, spec),
    )


def io_tensors(target: Target, spec: ExportSpec) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of the artifact, in its own format."""
    if target.tensors is not None:
        return target.tensors(spec)
    return spec.tensor(INPUT_NAME), spec.tensor(OUTPUT_NAME)


def _recorded_options(target: Target, spec: ExportSpec) -> dict[str, Any]:
    """The options that affect the artifact; paths are specific to this machine."""
    hidden = {option.key for option in target.options if not option.recorded}
    values = spec.options.items()
    return {k: v for k, v in values if k not in hidden and not isinstance(v, Path)}


def _calibration(spec: ExportSpec) -> Calibration | None:
    plan = spec.quantise
    if plan is None or not plan.recipe.needs_pictures:
        return None
    pictures = plan.calibration
    return Calibration(len(pictures.crops), pictures.list_sha256, plan.recipe.name, pictures.origin)


def _verify(
    manifest: Manifest,
    target: Target,
    graph: Graph,
    path: Path,
    spec: ExportSpec,
    threads: int,
    converted: Converted,
) -> Manifest:
    multiple = manifest.size_multiple
    samples = load_sample_inputs(spec.size, multiple, dynamic=spec.dynamic, count=PARITY_PICTURES)
    for size in manifest.input.sizes[1:]:  # an artifact with several sizes is run at each
        samples += load_sample_inputs(size, multiple, dynamic=False, count=1)
    with _open_runner(path, manifest, threads, converted) as runner:
        stand_in = converted.stand_in
        parity = measure_parity(
            runner,
            graph.reference,
            samples,
            tolerance_psnr_db=target.tolerance_psnr_db,
            emulated=runner.emulated or (stand_in is not None and stand_in.emulated),
            note=None if stand_in is None else stand_in.note,
        )
        if converted.quantised is not None:
            from .quality_gate import with_quality_drop

            manifest = with_quality_drop(manifest, runner, graph, spec, converted.quantised)
    freezing = None
    if graph.norm == "frozen" and graph.checkpoint.norm == "live":
        freezing = freezing_psnr_db(graph, spec)
    return dataclasses.replace(manifest, parity=parity, freezing_psnr_db=freezing)


def _open_runner(path: Path, manifest: Manifest, threads: int, converted: Converted) -> Runner:
    """The artifact's runner, or its stand-in where the artifact cannot run here."""
    if converted.stand_in is not None:
        return converted.stand_in.open(manifest, threads)
    return runtime_for(path).runner(path, manifest, threads=threads, device="cpu")


def freezing_psnr_db(graph: Graph, spec: ExportSpec) -> float:
    """Effect of freezing norms that were trained live: mean PSNR of frozen against live, in dB.

    Both run in PyTorch, on the parity pictures.
    """
    from ..models.checkpoints.checkpoint import generator_from

    live = generator_from(graph.checkpoint, norm="live")
    values: list[float] = []
    multiple = graph.checkpoint.size_multiple
    for sample in load_sample_inputs(
        spec.size, multiple, dynamic=spec.dynamic, count=PARITY_PICTURES
    ):
        frozen_output = run_reference(graph.reference, sample.image)
        live_output = run_reference(live, sample.image)
        values.append(compare_outputs(frozen_output, live_output, sample)[0])
    return sum(values) / len(values)
