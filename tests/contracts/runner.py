"""What every runner must do."""

from __future__ import annotations

import numpy as np
import pytest
from edgedeblur.runtimes.artifact import manifest_path
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.compare import psnr_db
from edgedeblur.runtimes.registry import open_runner

from .support import copied, pytorch


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
