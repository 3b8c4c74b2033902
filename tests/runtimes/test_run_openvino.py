from __future__ import annotations

import sys

import numpy as np
import openvino
import pytest
from edgedeblur.export.cli import main as export_main
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.runtimes.cli import main as run_main
from edgedeblur.runtimes.machine import share_cores, usable_cores
from edgedeblur.runtimes.optional import MissingDependencyError
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.registry import open_runner
from PIL import Image

from tests.contracts import SIZE, pytorch


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("zoo:mobilenet_dsc")


@pytest.fixture(scope="module", params=["openvino-fp32", "openvino-fp16"])
def free(request, checkpoint, tmp_path_factory):
    """An artifact of free size."""
    path = tmp_path_factory.mktemp("free") / f"{request.param}.openvino"
    spec = ExportSpec(request.param, SIZE, dynamic=True)
    produce(get_target(request.param), checkpoint, spec, path, norm="frozen", threads=2)
    return path


def _noise(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(height * width)
    return generator.uniform(-1, 1, (1, 3, height, width)).astype(np.float32)


def test_results_of_another_size_and_after_closing_stay_readable(free):
    with open_runner(free, threads=2) as runner:
        first = runner.infer(_noise(64, 96))
        kept = first.copy()
        last = runner.infer(_noise(256, 256))
        last_kept = last.copy()
        assert np.array_equal(first, kept)
        again = runner.infer(_noise(64, 96))
        assert np.array_equal(again, kept)
    assert np.array_equal(last, last_kept)


@pytest.mark.parametrize("shared", [False, True])
def test_processes_that_share_the_cores_do_not_tie_their_threads(free, shared, monkeypatch):
    """Two processes of one thread each would share the first core, and leave the second idle."""
    monkeypatch.delenv("EDGEDEBLUR_SHARED_CORES", raising=False)
    if shared:
        monkeypatch.setenv("EDGEDEBLUR_SHARED_CORES", "0")  # restored afterwards
        share_cores()
    asked = []

    def compile_model(core, model, device, settings):
        asked.append(dict(settings))
        settings.pop("ENABLE_CPU_PINNING", None)
        return whole(core, model, device, settings)

    whole = openvino.Core.compile_model
    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    open_runner(free, threads=1).close()
    assert [each.get("ENABLE_CPU_PINNING") for each in asked] == [False if shared else None]


def test_same_size_reuses_one_buffer_and_leaves_the_input_alone(free):
    with open_runner(free, threads=2) as runner:
        image = _noise(64, 96)
        before = image.copy()
        image.flags.writeable = False
        first = runner.infer(image)
        assert runner.reuses_output
        assert runner.infer(_noise(64, 96)[..., ::-1].copy()) is first
        assert np.array_equal(image, before)


def test_precision_is_what_the_compiled_model_says(free):
    with open_runner(free) as runner:
        compiled = runner._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if "fp32" in free.name:
            assert (runner.precision, compiled) == ("fp32", "f32")
        elif has_bf16:
            assert (runner.precision, compiled) == ("fp16 weights, bf16 arithmetic", "bf16")
        else:
            assert (runner.precision, compiled) == ("fp16 weights, fp32 arithmetic", "f32")


def test_threads_are_what_openvino_took(free):
    with open_runner(free, threads=8 * usable_cores()) as runner:
        assert 1 <= runner.threads <= usable_cores()
        assert f"{runner.threads} threads" in runner.describe()
    with open_runner(free, threads=1) as runner:
        assert runner.threads == 1


def test_no_cuda(free):
    with pytest.raises(ValueError, match=r"\.openvino runs on cpu, not 'cuda'"):
        open_runner(free, device="cuda")


def test_missing_package_says_what_to_install(free, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"'edgedeblur\[openvino\]'"):
        open_runner(free)


def test_altered_weights_are_noticed(checkpoint, tmp_path):
    path = tmp_path / "net.openvino"
    target = get_target("openvino-fp32")
    produce(target, checkpoint, ExportSpec(target.name, SIZE), path, norm="frozen")
    weights = bytearray((path / "model.bin").read_bytes())
    weights[len(weights) // 2] ^= 1
    (path / "model.bin").write_bytes(weights)
    with pytest.raises(ValueError, match="not the file its manifest describes"):
        open_runner(path)


def test_both_commands_take_a_folder(checkpoint, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo[:57, :83]).save("blurry.png")
    export = ["--target", "openvino-fp32", "--backbone", "mobilenet_dsc", "--size", "64x96"]
    assert export_main([*export, "-o", "net.openvino", "--rewrite", "none"]) == 0
    assert export_main([*export, "-o", "net.openvino", "--rewrite", "none"]) == 1
    assert "net.openvino exists already" in capsys.readouterr().err
    assert export_main([*export, "-o", "net.openvino", "--rewrite", "none", "--force"]) == 0
    assert run_main(["net.openvino/", "blurry.png", "-o", "sharp.png"]) == 0
    with open_runner("net.openvino") as runner:
        expected = runner.deblur(np.ascontiguousarray(photo[:57, :83]))
    assert np.array_equal(read_picture("sharp.png").pixels, expected)
    names = {"blurry.png", "net.openvino", "net.openvino.json", "sharp.png"}
    assert {p.name for p in tmp_path.iterdir()} == names


def test_free_size_answers_equal_pytorch_after_every_change(free, checkpoint):
    if "fp16" in free.name:
        pytest.skip("the numbers of fp16 are the target contract's business")
    with open_runner(free, threads=2) as runner:
        for size in ((64, 96), (160, 64), (64, 96), (32, 32)):
            image = _noise(*size)
            assert np.abs(runner.infer(image) - pytorch(checkpoint, image)).max() <= 1e-4


def test_many_pictures_come_back_in_order_and_equal_one_at_a_time(free):
    images = [_noise(64, 96) * share for share in (1.0, 0.5, 0.25, -1.0, -0.5, 0.0, 0.75)]
    with open_runner(free, threads=2) as runner:
        expected = [runner.infer(image).copy() for image in images]
        one_by_one = list(runner.infer_many(iter(images)))
    with open_runner(free, threads=2, hint="throughput") as runner:
        assert "THROUGHPUT" in str(runner._compiled.get_property("PERFORMANCE_HINT"))
        at_once = list(runner.infer_many(iter(images)))
    assert len(at_once) == len(one_by_one) == len(images)
    for first, second, third in zip(expected, one_by_one, at_once, strict=True):
        assert np.array_equal(first, second)
        # Another number of streams may split sums differently.
        assert np.abs(first - third).max() <= (1e-5 if "fp32" in free.name else 0.02)


def test_many_pictures_are_checked_like_one(free):
    with open_runner(free, threads=2, hint="throughput") as runner:
        with pytest.raises(ValueError, match="multiples of 32"):
            list(runner.infer_many([_noise(64, 96), _noise(64, 96)[..., :95]]))


def test_stopping_early_leaves_a_runner_that_works(free):
    with open_runner(free, threads=2, hint="throughput") as runner:
        for _ in range(5):
            for _answer in runner.infer_many([_noise(64, 96)] * 6):
                break
        assert len(list(runner.infer_many([_noise(64, 96)] * 3))) == 3


def test_other_runtimes_have_no_throughput_hint():
    with pytest.raises(
        ValueError, match=r"\.safetensors supports the hint latency, not 'throughput'"
    ):
        open_runner(zoo_path("mobilenet_dsc"), hint="throughput")
