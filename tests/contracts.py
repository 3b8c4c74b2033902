"""What every runner and every target must do; subclassed once per runner and per target."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.produce import EMBED_KEY, produce
from edgedeblur.export.registry import Target, get_target
from edgedeblur.export.verify import ParityError, given_as
from edgedeblur.models.checkpoints.checkpoint import Checkpoint, generator_from, load_checkpoint
from edgedeblur.models.network.counting import conv_macs
from edgedeblur.quantize.calibration import calibration_set
from edgedeblur.quantize.pipeline import QuantPlan
from edgedeblur.quantize.recipe import default_recipe
from edgedeblur.runtimes.artifact import Manifest, manifest_path, read_manifest
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.compare import psnr_db
from edgedeblur.runtimes.files import sha256_of, size_of
from edgedeblur.runtimes.registry import open_runner

SIZE = (64, 96)


def pytorch(checkpoint: Checkpoint, image: np.ndarray, *, norm: str | None = None) -> np.ndarray:
    """The unprepared generator's answer."""
    with torch.no_grad():
        return generator_from(checkpoint, norm=norm)(torch.from_numpy(image)).numpy()


def copied(artifact: Path, folder: Path) -> Path:
    """The artifact, a file or a folder, without its manifest, in another folder."""
    if artifact.is_dir():
        return Path(shutil.copytree(artifact, folder / artifact.name))
    return Path(shutil.copy(artifact, folder))


def spec_for(target: Target, *, size: tuple[int, int] = SIZE, dynamic: bool = False) -> ExportSpec:
    """A request, calibrated on a few of the packaged samples where the target needs that."""
    plan = None
    if target.needs_calibration:
        pictures = calibration_set(None, size, count=8)
        # At this size a layer's border is most of the picture, so more is lost than at 720p.
        recipe = default_recipe("mobilenet_dsc")
        recipe = recipe if target.recipe is None else target.recipe(recipe)
        plan = QuantPlan(recipe, pictures, max_drop_db=0.3, threads=2)
    options = {option.key: option.default for option in target.options}
    return ExportSpec(target.name, size, dynamic=dynamic, quantise=plan, options=options)


class RunnerContract:
    """Subclasses give fixtures ``path`` (what to open) and ``checkpoint`` (what it holds)."""

    tolerance = 1e-4
    has_manifest_file = True

    @pytest.fixture
    def runner(self, path):
        with open_runner(path, threads=2) as runner:
            yield runner

    def test_equals_pytorch(self, runner: Runner, checkpoint, image):
        expected = pytorch(checkpoint, image, norm=runner.manifest.norm)
        assert np.abs(runner.infer(image) - expected).max() <= self.tolerance

    def test_two_answers_do_not_share_memory_unless_it_says_so(self, runner: Runner, image):
        first = runner.infer(image)
        kept = first.copy()
        second = runner.infer(np.ascontiguousarray(image[..., ::-1]))
        assert not np.array_equal(kept, second)
        if not runner.reuses_output:
            assert np.array_equal(first, kept)

    @pytest.mark.parametrize(
        ("spoil", "error", "message"),
        [
            (lambda x: x.astype(np.float64), TypeError, "float32 numpy array, not float64"),
            (lambda x: x.tolist(), TypeError, "float32 numpy array, not list"),
            (lambda x: x[0], ValueError, r"shape \(N, 3, H, W\), not \(3, 64, 96\)"),
            (lambda x: x[:, :2], ValueError, r"shape \(N, 3, H, W\), not \(1, 2, 64, 96\)"),
            (lambda x: x[:0], ValueError, r"shape \(N, 3, H, W\), not \(0, 3, 64, 96\)"),
            (lambda x: x[:, :, :50], ValueError, r"not 50x96"),
            (lambda x: x[:, :, :0], ValueError, r"not 0x96"),
            (lambda x: x * 127.5 + 127.5, ValueError, r"values in \[-1, 1\], not \["),
            (lambda x: np.where(x == x.max(), np.nan, x), ValueError, r"values in \[-1, 1\]"),
        ],
    )
    def test_refuses(self, runner: Runner, image, spoil, error, message):
        with pytest.raises(error, match=message):
            runner.infer(spoil(image))

    def test_closed_runner_refuses(self, path, image):
        runner = open_runner(path)
        runner.close()
        runner.close()
        with pytest.raises(ValueError, match="is closed"):
            runner.infer(image)

    def test_nan_from_the_network_is_an_error(self, runner: Runner, image, monkeypatch):
        monkeypatch.setattr(runner, "_infer", lambda x: np.full_like(x, np.nan))
        with pytest.raises(ValueError, match="output holds NaN or infinity"):
            runner.infer(image)

    def test_wrong_shape_from_the_network_is_an_error(self, runner: Runner, image, monkeypatch):
        monkeypatch.setattr(runner, "_infer", lambda x: x[..., :32])
        with pytest.raises(ValueError, match=r"returned shape \(1, 3, 64, 32\)"):
            runner.infer(image)

    def test_other_types_and_ranges_from_the_network_are_errors(self, runner, image, monkeypatch):
        monkeypatch.setattr(runner, "_infer", lambda x: x.astype(np.float64))
        with pytest.raises(ValueError, match="returned float64, not float32"):
            runner.infer(image)
        monkeypatch.setattr(runner, "_infer", lambda x: np.full_like(x, 1.01))
        with pytest.raises(ValueError, match=r"holds \[1\.01, 1\.01\], outside \[-1, 1\]"):
            runner.infer(image)

    def test_errors_of_the_sdk_are_put_into_our_words(self, runner, image, monkeypatch):
        class Fail(Exception):  # noqa: N818 - as onnxruntime's, which derives from nothing better
            pass

        def raises(error):
            def infer(_):
                raise error

            monkeypatch.setattr(runner, "_infer", infer)

        raises(Fail("[ONNXRuntimeError] : 1 : FAIL : Conv node\nmore"))
        with pytest.raises(ValueError, match=r"FAIL : Conv node \(.*Fail\)$") as caught:
            runner.infer(image)
        assert str(runner.path) in str(caught.value)
        raises(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 GB"))
        with pytest.raises(MemoryError, match="not enough memory"):
            runner.infer(image)
        raises(KeyError("a mistake of ours"))
        with pytest.raises(KeyError):
            runner.infer(image)

    def test_deblurs_pictures_of_any_size(self, runner: Runner, checkpoint, photo):
        picture = np.ascontiguousarray(photo[40:97, 200:283])  # 57x83
        result = runner.deblur(picture)
        assert result.dtype == np.uint8
        padded = np.pad(picture, ((0, 7), (0, 13), (0, 0)), mode="reflect")
        x = np.ascontiguousarray(padded.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)
        y = pytorch(checkpoint, x, norm=runner.manifest.norm)[0].transpose(1, 2, 0)
        expected = np.rint((y + 1) * 127.5).clip(0, 255).astype(np.uint8)[:57, :83]
        assert psnr_db(result, expected) >= 60.0
        assert psnr_db(result, picture) < 50.0

    def test_says_what_it_runs_on(self, runner: Runner):
        assert runner.threads == 2
        assert runner.describe().startswith("cpu, 2 threads, ")

    def test_unknown_device_and_threads(self, path):
        with pytest.raises(ValueError, match="not 'tpu'"):
            open_runner(path, device="tpu")
        for threads in (-1, 100_000):
            with pytest.raises(ValueError, match=r"threads must be 0 \(all cores\) to \d+"):
                open_runner(path, threads=threads)

    def test_missing_file(self, path):
        with pytest.raises(FileNotFoundError, match="no such file"):
            open_runner(path.with_name(f"no{path.suffix}"))

    def test_missing_manifest(self, path, tmp_path):
        if not self.has_manifest_file:
            return
        copy = copied(path, tmp_path)
        with pytest.raises(FileNotFoundError, match=r"its manifest .*\.json is missing"):
            open_runner(copy)

    def test_altered_manifest_and_artifact(self, path, tmp_path):
        if not self.has_manifest_file:
            return
        copy = copied(path, tmp_path)
        beside = manifest_path(copy)
        text = manifest_path(path).read_text()
        beside.write_text(text.replace('"RGB"', '"BGR"', 1))
        with pytest.raises(ValueError, match="manifest was altered after export"):
            open_runner(copy)
        beside.write_text("{")
        with pytest.raises(ValueError, match="not JSON"):
            open_runner(copy)
        beside.write_text(text)
        part = max(copy.rglob("*"), key=lambda p: p.stat().st_size) if copy.is_dir() else copy
        part.write_bytes(part.read_bytes()[:-1] + b"\1")
        with pytest.raises(ValueError, match="not the file its manifest describes"):
            open_runner(copy)


class TargetContract:
    """Subclasses set ``target_name``; everything else follows from the registry."""

    target_name: str
    embedded = True

    @pytest.fixture(scope="class")
    def target(self) -> Target:
        return get_target(self.target_name)

    @pytest.fixture(scope="class")
    def checkpoint(self) -> Checkpoint:
        return load_checkpoint("zoo:mobilenet_dsc")

    @pytest.fixture(scope="class")
    def built(self, target, checkpoint, tmp_path_factory) -> tuple[Path, Manifest]:
        path = tmp_path_factory.mktemp("built") / f"net{target.suffix}"
        spec = spec_for(target)
        return path, produce(target, checkpoint, spec, path, norm="frozen", threads=2)

    def opened(self, path: Path) -> Runner:
        """What answers for the artifact on this machine."""
        return open_runner(path)

    def embedded_text(self, path: Path) -> str:
        raise NotImplementedError

    def test_manifest_describes_the_file(self, built, target, checkpoint):
        path, manifest = built
        assert read_manifest(path) == manifest
        assert manifest.target == target.name
        assert manifest.bytes == size_of(path)
        assert manifest.checkpoint.sha256 == checkpoint.sha256
        assert manifest.input.size == manifest.output.size == SIZE
        assert (manifest.norm, manifest.receptive_radius_px) == ("frozen", 283)
        assert manifest.macs == conv_macs(generator_from(checkpoint), SIZE)
        assert set(manifest.tools) >= {"edgedeblur", "torch"}
        assert sorted(p.name for p in path.parent.iterdir()) == [path.name, path.name + ".json"]

    def test_parity_was_measured_and_holds(self, built, target, checkpoint, image):
        path, manifest = built
        parity = manifest.parity
        assert parity is not None
        assert parity.pictures >= 4
        assert parity.worst_psnr_db >= target.tolerance_psnr_db
        with self.opened(path) as runner:
            output = runner.infer(image)
        expected = given_as(pytorch(checkpoint, image), manifest.output)
        level = 2.01 / 255 if manifest.output.dtype == "uint8" else 0.0
        assert np.abs(output - expected).max() <= 10 * parity.max_abs + level

    def test_embedded_manifest_tells_the_same(self, built, target):
        path, manifest = built
        if not self.embedded:
            return
        inside = Manifest.from_dict(json.loads(self.embedded_text(path)), origin="inside")
        same = dataclasses.replace(manifest, bytes=0, sha256="", parity=None, quantisation=None)
        assert inside == same

    def test_free_size_takes_any_multiple(self, target, checkpoint, tmp_path, photo):
        if not target.free_size:
            pytest.skip(f"{target.name} has a fixed size")
        path = tmp_path / f"free{target.suffix}"
        spec = spec_for(target, dynamic=True)
        manifest = produce(target, checkpoint, spec, path, norm="frozen", threads=2)
        assert manifest.input.size is None
        with self.opened(path) as runner:
            for height, width in ((32, 32), (32, 96), (160, 64)):
                corner = photo[:height, :width].transpose(2, 0, 1)[None]
                x = np.ascontiguousarray(corner.astype(np.float32) / 127.5 - 1)
                difference = np.abs(runner.infer(x) - pytorch(checkpoint, x)).max()
                assert difference <= 10 * manifest.parity.max_abs

    def test_scrambled_weights_are_caught(self, target, checkpoint, tmp_path):
        def convert(graph, spec, path):
            with torch.no_grad():
                for parameter in graph.module.parameters():
                    parameter.copy_(parameter.flatten().roll(1).reshape(parameter.shape))
            return target.convert(graph, spec, path)

        self.expect_refusal(dataclasses.replace(target, convert=convert), checkpoint, tmp_path)

    def test_nan_weights_are_caught(self, target, checkpoint, tmp_path):
        def convert(graph, spec, path):
            with torch.no_grad():
                next(graph.module.final.parameters()).fill_(torch.nan)
            return target.convert(graph, spec, path)

        self.expect_refusal(dataclasses.replace(target, convert=convert), checkpoint, tmp_path)

    def expect_refusal(self, target, checkpoint, tmp_path):
        path = tmp_path / f"bad{target.suffix}"
        with pytest.raises((ParityError, ValueError), match=r"differs from PyTorch|NaN"):
            produce(target, checkpoint, spec_for(target), path, norm="frozen")
        assert list(tmp_path.iterdir()) == []

    def test_existing_artifact_stays_without_force(self, built, target, checkpoint):
        path, _ = built
        before = sha256_of(path)
        with pytest.raises(FileExistsError, match="exists already; choose another name or add --f"):
            produce(target, checkpoint, spec_for(target), path, norm="frozen")
        assert sha256_of(path) == before

    def test_failing_convert_keeps_the_old_artifact(self, built, target, checkpoint):
        def convert(_graph, _spec, path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        path, manifest = built
        full = dataclasses.replace(target, convert=convert)
        with pytest.raises(OSError, match="No space left on device"):
            produce(full, checkpoint, spec_for(target), path, norm="frozen", force=True)
        assert read_manifest(path) == manifest


assert EMBED_KEY == "edgedeblur.manifest"  # other programs read artifacts by this key
