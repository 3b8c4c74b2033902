"""What ``--android`` puts into the app's assets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.export.android import ASSETS, copy_to_app, golden_tensor
from edgedeblur.export.cli import main
from edgedeblur.export.registry import Target
from edgedeblur.models.checkpoints.checkpoint import Checkpoint, generator_from, load_checkpoint
from edgedeblur.runtimes.artifact import (
    CheckpointInfo,
    Manifest,
    TensorSpec,
    read_manifest,
)

SIZE = (32, 64)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint("zoo:mobilenet_dsc")


def manifest(checkpoint: Checkpoint, sides: tuple[int | str, int | str] = SIZE) -> Manifest:
    image, deblurred = (
        TensorSpec(name, (1, *sides, 3), "uint8", "NHWC", value_range=(0.0, 255.0))
        for name in ("image", "deblurred")
    )
    return Manifest(
        target="tflite-int8",
        backbone="mobilenet_dsc",
        checkpoint=CheckpointInfo(checkpoint.sha256, checkpoint.source),
        norm="frozen",
        input=image,
        output=deblurred,
        size_multiple=32,
        receptive_radius_px=283,
        params=1,
        macs=None,
        macs_size=None,
        bytes=7,
        sha256=hashlib.sha256(b"a model").hexdigest(),
        tools={},
    )


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"a model")
    return path


def test_the_three_files_belong_together(
    checkpoint: Checkpoint, artifact: Path, tmp_path: Path
) -> None:
    assets = tmp_path / "models"
    assets.mkdir()
    made = copy_to_app(artifact, manifest(checkpoint), checkpoint, assets)
    names = ["net.tflite", "net.tflite.golden.npz", "net.tflite.json"]
    assert sorted(path.name for path in assets.iterdir()) == names
    assert sorted(path.name for path in made) == names
    assert read_manifest(assets / "net.tflite") == manifest(checkpoint)
    golden = np.load(assets / "net.tflite.golden.npz")
    assert golden["image"].shape == golden["output"].shape == (*SIZE, 3)
    assert (golden["image"].dtype, golden["output"].dtype) == (np.uint8, np.float32)
    assert golden["model_sha256"].tobytes() == hashlib.sha256(b"a model").digest()
    assert copy_to_app(artifact, manifest(checkpoint), checkpoint, assets) == made  # and again


def test_the_output_is_pytorchs_for_the_picture(checkpoint: Checkpoint) -> None:
    import torch

    golden = golden_tensor(manifest(checkpoint), checkpoint)
    image = torch.from_numpy(golden["image"].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = generator_from(checkpoint, norm="frozen")(image)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(golden["output"], expected, atol=1e-6)
    assert np.abs(golden["output"] - image[0].permute(1, 2, 0).numpy()).max() > 0.005


def test_free_sizes_and_a_missing_app_are_refused(
    checkpoint: Checkpoint, artifact: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="leave out --dynamic"):
        golden_tensor(manifest(checkpoint, ("height", "width")), checkpoint)
    with pytest.raises(FileNotFoundError, match="in a checkout of the repository"):
        copy_to_app(artifact, manifest(checkpoint), checkpoint, tmp_path / "none")


def test_the_app_of_this_checkout_is_where_the_files_go() -> None:
    assert (ASSETS.parents[1] / "AndroidManifest.xml").is_file()


def test_the_command_places_what_it_built(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wiring alone: the converter is replaced by a file and the manifest that fits it."""
    pytest.importorskip("litert_torch")
    told = manifest(checkpoint)

    def produce(_target: Target, _checkpoint: Checkpoint, _spec: object, output: Path, **_: object):
        output.parent.mkdir()
        output.write_bytes(b"a model")
        return told

    assets = tmp_path / "models"
    assets.mkdir()
    monkeypatch.setattr("edgedeblur.export.android.ASSETS", assets)
    monkeypatch.setattr("edgedeblur.export.produce.produce", produce)
    arguments = ["--backbone", "mobilenet_dsc", "--target", "tflite-fp32", "--size", "32x64"]
    assert main([*arguments, "--android", "--json", "--output", str(tmp_path / "out")]) == 0
    assert len(list(assets.iterdir())) == 3
    assert read_manifest(assets / "mobilenet_dsc_tflite-fp32_32x64.tflite") == told


@pytest.mark.slow
def test_the_command_fills_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("litert_torch")
    pytest.importorskip("ai_edge_litert")
    assets = tmp_path / "models"
    assets.mkdir()
    monkeypatch.setattr("edgedeblur.export.android.ASSETS", assets)
    arguments = [
        "--backbone",
        "mobilenet_dsc",
        "--target",
        "tflite-fp32",
        "--size",
        "32x64",
        "--android",
    ]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    name = "mobilenet_dsc_tflite-fp32_32x64.tflite"
    exported = read_manifest(tmp_path / "out" / name)
    assert read_manifest(assets / name) == exported
    assert "android" not in exported.options  # the file is the same without
    golden = np.load(assets / f"{name}.golden.npz")
    assert golden["model_sha256"].tobytes().hex() == exported.sha256


def test_other_formats_have_no_such_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "--android"])
    assert stopped.value.code == 2
    assert "onnx-fp32 has no --android" in capsys.readouterr().err
