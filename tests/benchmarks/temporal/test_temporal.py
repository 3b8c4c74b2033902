"""Flicker on a pan whose flow is known: none where none is, and as much as was put in."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from edgedeblur.benchmarks import cli
from edgedeblur.benchmarks.temporal import measure
from edgedeblur.benchmarks.temporal.flow import FlowEstimator, visible, warped
from edgedeblur.benchmarks.temporal.measure import TemporalRequest, measure_temporal
from edgedeblur.benchmarks.temporal.scores import Scorer, spread, warping_error
from edgedeblur.runtimes.artifact import CheckpointInfo
from edgedeblur.runtimes.base import Runner
from edgedeblur.runtimes.pictures.metadata import Picture
from edgedeblur.runtimes.pictures.write import write_picture

from tests.runtimes.cli_run.support import manifest
from tests.runtimes.video.support import make_clip, sample

STEP = (3, 2)  # the camera moves so many pixels right and down a frame


def pan(count, height=160, width=224):
    """Windows over a photograph; no pixel changes but by the camera's motion."""
    photo = sample("mountains")[200:]
    return [
        np.ascontiguousarray(
            photo[STEP[1] * n : STEP[1] * n + height, STEP[0] * n : STEP[0] * n + width]
        )
        for n in range(count)
    ]


def known_flow(height=160, width=224):
    flow = np.empty((height, width, 2), np.float32)
    flow[:] = (-STEP[0], -STEP[1])  # what the camera moves, the picture moves the other way
    return flow


def test_the_flow_of_a_pan_is_found():
    first, second = pan(2)
    flow = FlowEstimator()(first, second)
    mask = visible(flow, FlowEstimator()(second, first))
    assert np.abs(flow - known_flow())[mask].mean() < 0.1
    assert mask.mean() > 0.7
    # What left the picture on the left and at the top is not trusted.
    assert not mask[:, :2].any()
    assert not mask[:1].any()


def test_what_is_covered_is_left_out():
    """A square moves over a still picture; what it covers has nowhere to go."""
    still = sample("coffee")[:160, :224]
    patch = sample("room")[100:164, 100:164]
    first, second = still.copy(), still.copy()
    first[48:112, 60:124], second[48:112, 72:136] = patch, patch
    flow = FlowEstimator()(first, second)
    mask = visible(flow, FlowEstimator()(second, first))
    assert mask[52:108, 126:134].mean() < 0.5  # covered by the second frame
    assert mask[:, 160:].mean() > 0.9  # nothing happens there
    change = np.abs(warped(second.astype(np.float32), flow) - first).mean(axis=-1)
    assert change[mask].mean() < 0.5 * change[~mask].mean()


def test_the_error_is_zero_for_a_pan_and_the_square_of_a_step_in_brightness():
    first, second = (frame.astype(np.float32) / 255 for frame in pan(2))
    mask = np.zeros(first.shape[:2], np.bool_)
    mask[STEP[1] :, STEP[0] :] = True
    assert warping_error(first, second, known_flow(), mask) == 0.0
    assert warping_error(first, second + 0.05, known_flow(), mask) == pytest.approx(0.0025)
    still = warping_error(first, second, np.zeros_like(known_flow()), mask)
    assert still > 0.001  # without the flow, motion would count as flicker
    assert np.isnan(warping_error(first, second, known_flow(), np.zeros_like(mask)))


def test_spread_by_hand():
    found = spread([30.0, 31.0, 32.0, 33.0])
    assert (found.mean_db, found.least_db) == (31.5, 30.0)
    assert found.std_db == pytest.approx(1.25**0.5)
    assert found.slope_db == pytest.approx(100.0)  # 1 dB a frame
    assert spread([30.0]).slope_db == 0.0


def test_a_scorer_keeps_its_first_frame_out():
    frame = pan(1)[0]
    scorer = Scorer("x")
    scorer.add(frame, flow=None, mask=None, sharp=frame, reference=None)
    row = scorer.row()
    assert (row.warping_error, row.added_flicker, row.against_reference) == (None, None, None)
    assert row.against_sharp.mean_db == 100.0


class Stand(Runner):
    """Stands in for PyTorch (adds nothing) or for an artifact that brightens every other frame."""

    step = 0.0
    drift = 0.0

    def _open(self):
        self.count = 0

    def _infer(self, image):
        change = self.step if self.count % 2 else 0.0
        change += self.drift * self.count
        self.count += 1
        return np.clip(image + np.float32(2 * change / 255), -1, 1)


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """``NAME.onnx`` is a stand-in whose class ``opened[NAME]`` is; all of one checkpoint."""
    kinds: dict[str, type[Runner]] = {}
    described = SimpleNamespace(**vars(manifest()), checkpoint=CheckpointInfo("0" * 64, "zoo"))

    def open_runner(path, *, threads, device):
        return kinds[Path(path).stem](Path(path), described, threads=threads, device=device)

    def open_reference(path, **_):
        return Stand(Path(path), described, threads=1, device="cpu")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "open_runner", open_runner)
    monkeypatch.setattr(measure, "open_reference", open_reference)
    monkeypatch.setattr(measure, "check_artifact", lambda path: described)
    monkeypatch.setattr(measure, "find_checkpoint", lambda *_, **__: Path("weights"))
    return kinds


def flickering(step, drift=0.0):
    return type("Flickering", (Stand,), {"step": step, "drift": drift})


def save_frames(frames, folder="frames"):
    for number, pixels in enumerate(frames):
        write_picture(Picture(pixels), f"{folder}/{number:03d}.png")


def test_injected_flicker_is_found_and_measured(opened):
    save_frames(pan(8))
    save_frames(pan(8), "sharp")
    opened["good"], opened["bad"] = Stand, flickering(6)
    request = TemporalRequest(
        Path("frames"), (Path("good.onnx"), Path("bad.onnx")), sharp=Path("sharp")
    )
    done = []
    result = measure_temporal(request, done.append)
    assert done == list(range(1, 9))
    rows = {row.label: row for row in result.rows}
    assert list(rows) == ["input", "torch-fp32 (reference)", "good.onnx", "bad.onnx"]
    assert result.frames == 8
    assert 0.7 < result.visible < 1
    still = rows["input"].warping_error
    assert rows["good.onnx"].warping_error == still
    assert rows["good.onnx"].added_flicker == 0.0
    assert rows["good.onnx"].against_reference.mean_db == 100.0
    # Six levels up and down: 36 / 255 ** 2 more on average; steps that clip are few.
    injected = 36 / 255**2
    assert rows["bad.onnx"].added_flicker == pytest.approx(injected, rel=0.05)
    assert rows["bad.onnx"].warping_error > 3 * still
    assert rows["bad.onnx"].warping_error == pytest.approx(still + injected, rel=0.15)
    # Every other frame is off by 6 levels: 20 log10(255 / 6) = 32.6 dB.
    against = rows["bad.onnx"].against_reference
    assert against.least_db == pytest.approx(32.57, abs=0.3)
    assert against.mean_db == pytest.approx((100 + 32.57) / 2, abs=0.3)
    assert rows["bad.onnx"].against_sharp == against


def test_a_slow_drift_shows_in_the_slope_and_not_as_flicker(opened):
    save_frames(pan(8))
    opened["slow"] = flickering(0, drift=1)
    result = measure_temporal(TemporalRequest(Path("frames"), (Path("slow.onnx"),)), lambda _: None)
    row = result.rows[-1]
    assert row.added_flicker == pytest.approx(1 / 255**2, rel=0.1)
    assert row.against_reference.slope_db < -300  # from equal to 7 levels in 7 frames
    assert row.against_reference.least_db == pytest.approx(20 * np.log10(255 / 7), abs=0.3)


def test_the_command_on_a_clip(opened, capsys):
    make_clip("in.mp4", pan(6))
    opened["bad"] = flickering(6)
    argv = ["--temporal", "--data", "in.mp4", "--engine", "bad.onnx", "--limit", "4", "--json"]
    assert cli.main(argv) == 0
    found = json.loads(capsys.readouterr().out)["temporal"]
    assert found["frames"] == 4
    assert [row["label"] for row in found["rows"]] == [
        "input", "torch-fp32 (reference)", "bad.onnx",
    ]  # fmt: skip
    assert found["rows"][2]["added_flicker"] == pytest.approx(36 / 255**2, rel=0.05)
    assert cli.main(argv[:-1]) == 0
    out = capsys.readouterr().out
    assert "in.mp4: 4 frames, flow trusted at " in out
    assert "E_warp" in out


def test_one_engine_that_fails_does_not_stop_the_others(opened, capsys):
    save_frames(pan(3))
    opened["good"] = Stand

    def lost(*_, **__):
        raise ValueError("lost.onnx: cannot be loaded")

    opened["lost"] = lost
    argv = ["--temporal", "--data", "frames", "--engine", "lost.onnx", "--engine", "good.onnx"]
    assert cli.main(argv) == 1
    out, err = capsys.readouterr()
    assert "good.onnx" in out
    assert err == "deblur-bench: error: lost.onnx: cannot be loaded\n"


@pytest.mark.parametrize(
    ("argv", "code", "line"),
    [
        (["--temporal", "--engine", "a.onnx"], 2, "--temporal needs --data with a clip or frames"),
        (["--temporal", "--data", "frames"], 2, "--temporal needs --data"),
        (
            ["--temporal", "--data", "frames", "--engine", "good.onnx", "--report", "r"],
            2,
            "--temporal has no --report; use --json",
        ),
        (
            ["--temporal", "--data", "no.mp4", "--engine", "good.onnx"],
            1,
            "deblur-bench: error: no.mp4: no such file",
        ),
        (
            ["--temporal", "--data", "frames", "--engine", "good.onnx", "--sharp", "fewer"],
            1,
            "frames and fewer have different numbers of frames",
        ),
        (
            ["--temporal", "--data", "empty", "--engine", "good.onnx"],
            1,
            "empty: holds no pictures",
        ),
    ],
)
def test_what_does_not_fit_is_refused(opened, capsys, argv, code, line):
    save_frames(pan(3))
    save_frames(pan(2), "fewer")
    Path("empty").mkdir()
    opened["good"] = Stand
    if code == 2:
        with pytest.raises(SystemExit) as ended:
            cli.main(argv)
        assert ended.value.code == 2
    else:
        assert cli.main(argv) == 1
    assert line in capsys.readouterr().err
