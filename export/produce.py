"""The frame around every convert: nobody writes an artifact except through `produce`."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.network.counting import conv_macs
from ..models.network.generator import SIZE_MULTIPLE
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
    """Convert, load back, compare with PyTorch on real pictures, and only then give the name.

    Args:
        target: What to build.
        checkpoint: The weights.
        spec: Size, free or fixed.
        output: The artifact's final path; its manifest goes beside it.
        norm: ``frozen`` or ``live``.
        rewrites: Exact rewrites to apply, in order; see `rewrite`.
        prepared: What `prepare` made of the checkpoint, where several artifacts share it; stays
            as it is.
        force: Replace an existing artifact; on any error the old one and its manifest stay.
        threads: CPU threads for running the result.
        log: Called with a line at each step.

    Raises:
        MissingDependencyError: the target's packages are not installed.
        FileExistsError: ``output`` is there and ``force`` is off.
        OSError: the folder cannot be written, or the disk is full.
        ParityError: the artifact does not do what PyTorch does.
    """
    _check_requirements(target, output, force=force)
    log(f"preparing {checkpoint.backbone}, norms {norm}")
    graph = _rewritten(checkpoint, norm, rewrites, prepared)
    # An artifact never stands there without its manifest, not even on a disk that fills up here.
    with replacing_all((output, manifest_path(output))) as (artifact, beside):
        manifest = _converted(target, graph, spec, artifact, threads, log)
        beside.write_text(manifest_text(manifest), encoding="utf-8")
    return manifest


def _check_requirements(target: Target, output: Path, *, force: bool) -> None:
    """Whatever can be known to fail, fails before minutes of work; errors as in `produce`."""
    for module in (*target.build_modules, *target.run_modules):
        with suppress_output():  # some greet on import
            require(module, extra=target.extra)
    for path in (output, manifest_path(output)):
        check_writable(path, force=force)


def _rewritten(
    checkpoint: Checkpoint, norm: str, rewrites: Sequence[Step], prepared: Graph | None
) -> Graph:
    from .prepare import prepare
    from .rewrites.rewrite import apply_rewrites

    if prepared is None:
        return apply_rewrites(prepare(checkpoint, norm=norm), rewrites)
    assert prepared.norm == norm
    own = dataclasses.replace(prepared, module=copy.deepcopy(prepared.module))
    return apply_rewrites(own, rewrites)


def _converted(
    target: Target, graph: Graph, spec: ExportSpec, path: Path, threads: int, log: LogStep
) -> Manifest:
    """Write the artifact to ``path`` and prove it; its manifest, which is not written yet."""
    draft = describe(target, graph, spec)
    spec = dataclasses.replace(spec, embed={EMBED_KEY: json.dumps(draft.to_dict())}, log=log)
    log(f"converting to {target.name}")
    done = target.convert(graph, spec, path) or Converted()
    manifest = dataclasses.replace(
        draft,
        bytes=size_of(path),
        sha256=sha256_of(path),
        engine=done.engine,
        tools={**draft.tools, **done.tools},
    )
    log("running it on real pictures and comparing with PyTorch")
    return _verified(manifest, target, graph, path, spec, threads, done)


def describe(target: Target, graph: Graph, spec: ExportSpec) -> Manifest:
    """The manifest before the file exists: bytes, hash and parity are still empty."""
    backbone = graph.checkpoint.backbone
    packages = ("edgedeblur", *target.build_modules, *target.run_modules)
    versions = {name: version_of(name) for name in dict.fromkeys(packages)}
    taken, given = border(target, spec)
    return Manifest(
        target=target.name,
        backbone=backbone,
        checkpoint=CheckpointInfo(graph.checkpoint.sha256, graph.checkpoint.source),
        norm=graph.norm,
        input=taken,
        output=given,
        size_multiple=SIZE_MULTIPLE,
        receptive_radius_px=receptive_radius_px(backbone) if graph.norm == "frozen" else None,
        params=sum(p.numel() for p in graph.module.parameters()),
        macs=conv_macs(graph.module, spec.size),
        macs_size=spec.size,
        bytes=0,
        sha256="",
        tools={name: version for name, version in versions.items() if version},
        rewrites=graph.rewrites,
        trained_norm=graph.checkpoint.norm,
        calibration=_calibration(spec),
        options=_recorded(target, spec),
    )


def border(target: Target, spec: ExportSpec) -> tuple[TensorSpec, TensorSpec]:
    """The artifact's input and output, as its format has them."""
    if target.tensors is not None:
        return target.tensors(spec)
    return spec.tensor(INPUT_NAME), spec.tensor(OUTPUT_NAME)


def _recorded(target: Target, spec: ExportSpec) -> dict[str, Any]:
    """The options that changed the artifact; paths are this machine's own."""
    hidden = {option.key for option in target.options if not option.recorded}
    values = spec.options.items()
    return {k: v for k, v in values if k not in hidden and not isinstance(v, Path)}


def _calibration(spec: ExportSpec) -> Calibration | None:
    plan = spec.quantise
    if plan is None or not plan.recipe.needs_pictures:
        return None
    pictures = plan.calibration
    return Calibration(len(pictures.crops), pictures.list_sha256, plan.recipe.name, pictures.origin)


def _verified(
    manifest: Manifest,
    target: Target,
    graph: Graph,
    path: Path,
    spec: ExportSpec,
    threads: int,
    done: Converted,
) -> Manifest:
    samples = load_sample_inputs(
        spec.size, SIZE_MULTIPLE, dynamic=spec.dynamic, count=PARITY_PICTURES
    )
    for size in manifest.input.sizes[1:]:  # of several sizes, each is tried
        samples += load_sample_inputs(size, SIZE_MULTIPLE, dynamic=False, count=1)
    with _opened(path, manifest, threads, done) as runner:
        instead = done.stand_in
        parity = measure_parity(
            runner,
            graph.reference,
            samples,
            tolerance_psnr_db=target.tolerance_psnr_db,
            emulated=runner.emulated or (instead is not None and instead.emulated),
            note=None if instead is None else instead.note,
        )
        if done.quantised is not None:
            from .quality_gate import with_cost

            manifest = with_cost(manifest, runner, graph, spec, done.quantised)
    freezing = None
    if graph.norm == "frozen" and graph.checkpoint.norm == "live":
        freezing = freezing_psnr_db(graph, spec)
    return dataclasses.replace(manifest, parity=parity, freezing_psnr_db=freezing)


def _opened(path: Path, manifest: Manifest, threads: int, done: Converted) -> Runner:
    """The artifact's runner, or that of what stands in for it."""
    if done.stand_in is not None:
        return done.stand_in.open(manifest, threads)
    return runtime_for(path).runner(path, manifest, threads=threads, device="cpu")


def freezing_psnr_db(graph: Graph, spec: ExportSpec) -> float:
    """What freezing norms of a network trained live changed: mean PSNR frozen against live, dB.

    Both in PyTorch, on the pictures that parity is measured on.
    """
    from ..models.checkpoints.checkpoint import generator_from

    live = generator_from(graph.checkpoint, norm="live")
    values: list[float] = []
    for sample in load_sample_inputs(
        spec.size, SIZE_MULTIPLE, dynamic=spec.dynamic, count=PARITY_PICTURES
    ):
        frozen_output = run_reference(graph.reference, sample.image)
        live_output = run_reference(live, sample.image)
        values.append(compare_outputs(frozen_output, live_output, sample)[0])
    return sum(values) / len(values)
