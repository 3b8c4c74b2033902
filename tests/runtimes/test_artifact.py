from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import pytest
from edgedeblur.runtimes.artifact import (
    Calibration,
    CheckpointInfo,
    Manifest,
    Parity,
    TensorSpec,
    manifest_path,
    read_manifest,
    write_manifest,
)
from edgedeblur.runtimes.files import check_writable, replacing, sha256_of, size_of


def _manifest(**changes) -> Manifest:
    manifest = Manifest(
        target="onnx-fp32",
        backbone="mobilenet_dsc",
        checkpoint=CheckpointInfo("ab" * 32, "zoo:mobilenet_dsc"),
        norm="frozen",
        input=TensorSpec("image", (1, 3, "height", "width"), "float32"),
        output=TensorSpec("deblurred", (1, 3, 64, 96), "float32"),
        size_multiple=32,
        receptive_radius_px=283,
        params=10,
        macs=20,
        macs_size=(64, 96),
        bytes=3,
        sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        tools={"torch": "2"},
        parity=Parity(
            "PyTorch",
            4,
            "samples",
            math.inf,
            99.5,
            "a.png",
            1.0,
            1e-6,
            120.0,
            80.0,
            "OrtRunner",
            emulated=False,
        ),
        rewrites=("fold_norms",),
        calibration=Calibration(64, "cd" * 32, "static_w8a8_perchannel"),
    )
    return dataclasses.replace(manifest, **changes)


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"abc")  # its SHA-256 is the first test vector of FIPS 180-2
    write_manifest(_manifest(), manifest_path(path))
    return path


def test_round_trip(artifact):
    assert read_manifest(artifact) == _manifest()
    assert json.loads(manifest_path(artifact).read_text())["parity"]["psnr_db"] is None


@pytest.mark.parametrize("trained", [None, "live"])
def test_the_trained_norm_may_be_missing(trained):
    manifest = _manifest(trained_norm=trained)
    assert Manifest.from_dict(manifest.to_dict(), origin="here") == manifest
    body = manifest.to_dict()
    del body["digest"], body["trained_norm"]  # as written before the field was there
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    body["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    assert Manifest.from_dict(body, origin="here") == _manifest(trained_norm=None)


def test_sizes():
    assert _manifest().input.size is None
    assert _manifest().output.size == (64, 96)


def test_nan_cannot_be_recorded():
    parity = dataclasses.replace(_manifest().parity, psnr_db=math.nan)
    with pytest.raises(ValueError, match="cannot hold nan"):
        _manifest(parity=parity).to_dict()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not a manifest"),
        ("{}", "manifest schema None, this version reads 1"),
        ('{"schema_version": 99}', "manifest schema 99"),
        ('{"schema_version": 1}', "altered after export"),
    ],
)
def test_other_json_is_refused(artifact, text, message):
    manifest_path(artifact).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_manifest(artifact)


def test_every_field_is_guarded(artifact):
    beside = manifest_path(artifact)
    body = json.loads(beside.read_text())
    for key in body:
        if key in ("digest", "schema_version"):
            continue
        changed = {**body, key: "changed"}
        beside.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match="altered after export"):
            read_manifest(artifact)


def test_altered_artifact(artifact):
    artifact.write_bytes(b"abd")
    with pytest.raises(ValueError, match="not the file its manifest describes"):
        read_manifest(artifact)


def test_replacing_keeps_the_old_file_when_the_block_fails(tmp_path):
    target = tmp_path / "a.bin"
    target.write_text("old")
    with pytest.raises(RuntimeError):  # noqa: PT012 - the block is what is tested
        with replacing(target) as temporary:
            temporary.write_text("new")
            raise RuntimeError
    assert target.read_text() == "old"
    with replacing(target) as temporary:
        assert temporary.suffix == ".bin"
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_replacing_reports_a_full_disk_by_name(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*a\.bin \(No space left on device\)"):
        with replacing(tmp_path / "a.bin"):
            raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_folders_are_artifacts_too(tmp_path):
    folder = tmp_path / "net.mlpackage"
    with replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / "weights").write_bytes(b"abc")
    assert size_of(folder) == 3
    first = sha256_of(folder)
    with replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / "weights").write_bytes(b"abd")
    assert sha256_of(folder) != first


def test_check_writable(tmp_path):
    (tmp_path / "there").write_text("")
    with pytest.raises(FileExistsError, match="add --force"):
        check_writable(tmp_path / "there", force=False)
    check_writable(tmp_path / "there", force=True)
    with pytest.raises(OSError, match="cannot write into"):
        check_writable(tmp_path / "there" / "below", force=False)


def test_replacing_never_takes_a_folder_that_is_not_ours(tmp_path):
    folder = tmp_path / "keep"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="that holds sub and would be lost"):  # noqa: PT012
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / "report.md").write_text("new")
    with pytest.raises(FileExistsError, match="would be lost"):
        with replacing(folder) as temporary:
            temporary.write_text("a file")
    assert (folder / "sub" / "thesis.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["keep"]


def test_a_manifest_nested_too_deep_is_refused(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"x")
    (tmp_path / "net.onnx.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match=r"net\.onnx\.json: not JSON"):
        read_manifest(tmp_path / "net.onnx")


def test_smallest_side_is_recorded_where_it_matters():
    assert "smallest_side" not in _manifest().to_dict()
    body = _manifest(smallest_side=160).to_dict()
    assert body["smallest_side"] == 160
    assert Manifest.from_dict(body, origin="here").smallest_side == 160
