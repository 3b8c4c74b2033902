from __future__ import annotations

import argparse
import contextlib

import numpy as np
import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.registry import get_target
from edgedeblur.export.rewrites.rewrite import apply_rewrites, parse_steps
from edgedeblur.export.rewrites.tune import candidates_for
from edgedeblur.export.to_executorch.half import float16_kernels
from edgedeblur.export.to_executorch.lowering import REFUSED, backend_name
from edgedeblur.export.to_executorch.target import convert_fp32
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.artifact import read_manifest
from edgedeblur.runtimes.registry import open_runner
from edgedeblur.runtimes.run_executorch.runner import quiet, text_of

from tests.contracts import SIZE, TargetContract, spec_for
from tests.released import expected

torch = pytest.importorskip("torch")


pytestmark = pytest.mark.heavy


def _run(path, image: np.ndarray) -> np.ndarray:
    """ExecuTorch alone, without our runner."""
    with quiet():
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(path.read_bytes())
        method = program.load_method("forward")
    return method.execute([torch.from_numpy(image)])[0].numpy()


class TestExecutorchFp32(TargetContract):
    target_name = "executorch-fp32"

    def embedded_text(self, path):
        return text_of(path, EMBED_KEY.replace(".", "_"))

    def test_export_is_repeatable_and_names_no_machine(self, built, target, checkpoint, tmp_path):
        path, manifest = built
        again = tmp_path / "again.pte"
        spec = spec_for(target)
        assert produce(target, checkpoint, spec, again, norm="frozen").sha256 == manifest.sha256
        data = path.read_bytes()
        assert b"site-packages" not in data
        assert str(path.parent).encode() not in data

    def test_ran_in_float32_on_xnnpack(self, built):
        path, manifest = built
        assert manifest.parity.ran_on.endswith("threads, fp32")
        assert manifest.parity.max_abs <= 1e-5
        assert manifest.options == {"backend": "xnnpack"}
        assert b"XnnpackBackend" in path.read_bytes()


class TestExecutorchFp16(TargetContract):
    target_name = "executorch-fp16"

    def embedded_text(self, path):
        return text_of(path, EMBED_KEY.replace(".", "_"))

    def test_weights_take_two_bytes_and_convolutions_run_in_xnnpack(self, built):
        path, manifest = built
        data = path.read_bytes()
        # 2 bytes each, and float32 kernels of the 128-channel transposed convolutions that enlarge.
        assert len(data) < 2 * manifest.params + 128 * 128 * 4 * 4 + 300_000
        assert b"XnnpackBackend" in data
        assert b"aten::convolution" not in data

    def test_computes_in_float16(self, built):
        parity = built[1].parity
        assert parity.ran_on.endswith("threads, fp16")
        assert parity.max_abs > 1e-5  # executorch-fp32 is closer than that

    @pytest.mark.parametrize("backend", ["vulkan", "coreml", "portable"])
    def test_other_backends_are_refused(self, backend, target, checkpoint, tmp_path):
        spec = spec_for(target)
        spec.options["backend"] = backend
        with pytest.raises(ValueError, match=r"executorch-fp16 is for --backend xnnpack"):
            produce(target, checkpoint, spec, tmp_path / "net.pte", norm="frozen")


def test_serialiser_is_as_before_after_half_kernels():
    from executorch.backends.xnnpack.operators.node_visitor import _node_visitor_dict as visitors

    usual = dict(visitors)
    with contextlib.suppress(RuntimeError), float16_kernels():
        inside = dict(visitors)
        raise RuntimeError
    changed = [name for name in usual if inside[name] is not usual[name]]
    assert changed == ["aten.convolution.default"]
    assert visitors == usual


class TestExecutorchInt8(TargetContract):
    target_name = "executorch-int8"

    def embedded_text(self, path):
        return text_of(path, EMBED_KEY.replace(".", "_"))

    def test_weights_take_one_byte_and_convolutions_run_in_xnnpack(self, built):
        path, manifest = built
        data = path.read_bytes()
        assert len(data) < 1.5 * manifest.params
        assert b"XnnpackBackend" in data
        # No pair is left outside XNNPACK, and no convolution.
        assert b"quantized_decomposed" not in data
        assert b"aten::convolution" not in data

    def test_manifest_holds_recipe_and_drop(self, built):
        quantised = built[1].quantisation
        assert quantised.recipe["keep"] == ["final"]
        assert quantised.psnr_drop_db <= 0.3
        assert quantised.stability_db < 0.3

    @pytest.mark.parametrize("backend", ["vulkan", "coreml", "portable"])
    def test_other_backends_are_refused(self, backend, target, checkpoint, tmp_path):
        spec = spec_for(target)
        spec.options["backend"] = backend
        with pytest.raises(ValueError, match=r"executorch-int8 is for --backend xnnpack"):
            produce(target, checkpoint, spec, tmp_path / "net.pte", norm="frozen")


@pytest.mark.parametrize(
    ("norm", "output"), [("frozen", "output_running_stats"), ("live", "output_batch_stats")]
)
def test_recorded_network_is_met(released_h5, tmp_path, norm, output):
    recorded = expected()
    graph = prepare(load_checkpoint(str(released_h5)), norm=norm)
    spec = ExportSpec("executorch-fp32", SIZE, options={"backend": "xnnpack"})
    convert_fp32(graph, spec, tmp_path / "net.pte")
    assert np.abs(_run(tmp_path / "net.pte", recorded["input"]) - recorded[output]).max() <= 1e-4


# Together these have every rewrite, each at the fusion points where tuning tries it.
@pytest.mark.parametrize(("backbone", "candidate"), [("mobilenet_dsc", -1), ("mobilenet", 2)])
def test_rewritten_networks_compute_the_same(backbone, candidate, tmp_path, image):
    graph = prepare(load_checkpoint(f"zoo:{backbone}"), norm="frozen")
    with torch.no_grad():
        wanted = graph.reference(torch.from_numpy(image)).numpy()
    rewritten = apply_rewrites(graph, parse_steps(candidates_for(backbone)[candidate]))
    spec = ExportSpec("executorch-fp32", SIZE, options={"backend": "xnnpack"})
    convert_fp32(rewritten, spec, tmp_path / "net.pte")
    assert np.abs(_run(tmp_path / "net.pte", image) - wanted).max() <= 1e-4


@pytest.mark.parametrize(
    ("backend", "inside"), [("vulkan", "VulkanBackend"), ("coreml", "CoreMLBackend")]
)
def test_backends_of_phones_are_checked_on_a_stand_in(backend, inside, tmp_path):
    target = get_target("executorch-fp32")
    spec = ExportSpec(target.name, SIZE, options={"backend": backend})
    path = tmp_path / "net.pte"
    produce(target, load_checkpoint("zoo:mobilenet_dsc"), spec, path, norm="frozen")
    assert inside.encode() in path.read_bytes()
    manifest = read_manifest(path)
    assert manifest.options == {"backend": backend}
    assert manifest.parity.note == (
        f"ran the same program in portable kernels: {inside} is not part of this machine's "
        "ExecuTorch"
    )
    with pytest.raises(ValueError, match=f"lowered to {inside}, which this machine's ExecuTorch"):
        open_runner(path)


def test_portable_programs_hold_no_backend(tmp_path, image):
    graph = prepare(load_checkpoint("zoo:mobilenet_dsc"), norm="frozen")
    spec = ExportSpec("executorch-fp32", SIZE, options={"backend": "portable"})
    convert_fp32(graph, spec, tmp_path / "net.pte")
    data = (tmp_path / "net.pte").read_bytes()
    assert b"Backend" not in data
    assert b"aten::convolution" in data
    with torch.no_grad():
        wanted = graph.reference(torch.from_numpy(image)).numpy()
    assert np.abs(_run(tmp_path / "net.pte", image) - wanted).max() <= 1e-4


@pytest.mark.parametrize("name", [*REFUSED, "tpu"])
def test_other_backends_are_refused_with_the_reason(name):
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        backend_name(name)
    assert str(refused.value) == (
        f"cannot lower to {name!r}{': ' + REFUSED[name] if name in REFUSED else ''}. "
        "Known: xnnpack, vulkan, coreml, portable"
    )
