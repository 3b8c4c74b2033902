"""What `produce` leaves behind when the disk fills up; the rest is in the contracts of targets."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from pathlib import Path

import pytest
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import draft_manifest, produce
from edgedeblur.export.registry import Converted, StandIn, get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.artifact import Manifest, TensorSpec, manifest_path, read_manifest
from edgedeblur.runtimes.run_ort import OrtRunner

SPEC = ExportSpec("onnx-fp32", (32, 64))
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("zoo:mobilenet_dsc")


@pytest.fixture(scope="module")
def built(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "net.onnx"
    produce(get_target("onnx-fp32"), checkpoint, SPEC, path, norm="frozen")
    return path


@pytest.fixture
def target(built):
    """Converts at once: by copying what was converted before, a byte longer."""

    def convert(_graph, _spec, path):
        shutil.copy(built, path)
        with path.open("ab") as stream:
            stream.write(b"\x9a\x01\x00")  # an empty field that ONNX readers skip

    return dataclasses.replace(get_target("onnx-fp32"), convert=convert)


def manifest_does_not_fit(monkeypatch, output):
    write_text = Path.write_text

    def write(path, text, *args, **options):
        if path.name == manifest_path(output).name:
            write_text(path, text[: len(text) // 2], *args, **options)
            raise FULL
        return write_text(path, text, *args, **options)

    monkeypatch.setattr(Path, "write_text", write)


def rename_fails(monkeypatch, chosen):
    replace = Path.replace
    failed = []

    def rename(path, destination):
        if not failed and chosen(path, Path(destination)):
            failed.append(path)
            raise OSError(errno.ENOSPC, "No space left on device", str(path), None, destination)
        return replace(path, destination)

    monkeypatch.setattr(Path, "replace", rename)
    return failed


def first_rename_fails(monkeypatch, output):
    rename_fails(monkeypatch, lambda _source, destination: destination == output)


def second_rename_fails(monkeypatch, output):
    rename_fails(monkeypatch, lambda _source, destination: destination == manifest_path(output))


def moving_the_old_one_away_fails(monkeypatch, output):
    rename_fails(monkeypatch, lambda source, _destination: source == output)


STAGES = [manifest_does_not_fit, first_rename_fails, second_rename_fails]


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_leaves_nothing(stage, target, checkpoint, tmp_path, monkeypatch):
    output = tmp_path / "net.onnx"
    stage(monkeypatch, output)
    with pytest.raises(OSError, match=r"cannot write .*net\.onnx.* \(No space left on device\)"):
        produce(target, checkpoint, SPEC, output, norm="frozen")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stage", [*STAGES, moving_the_old_one_away_fails])
def test_a_full_disk_leaves_the_old_pair(stage, built, target, checkpoint, tmp_path, monkeypatch):
    output = Path(shutil.copy(built, tmp_path))
    shutil.copy(manifest_path(built), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as full:
        stage(full, output)
        with pytest.raises(OSError, match=r"cannot write .*net\.onnx.* \(No space left on dev"):
            produce(target, checkpoint, SPEC, output, norm="frozen", force=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert read_manifest(output) == read_manifest(built)


def test_force_replaces_both(built, target, checkpoint, tmp_path):
    output = Path(shutil.copy(built, tmp_path))
    shutil.copy(manifest_path(built), tmp_path)
    manifest = produce(target, checkpoint, SPEC, output, norm="frozen", force=True)
    assert read_manifest(output) == manifest
    assert manifest.sha256 != read_manifest(built).sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.onnx.json"]


def test_a_stand_in_is_run_instead_and_named(target, built, checkpoint, tmp_path):
    opened = []

    def convert(_graph, _spec, path):
        path.write_bytes(b"an engine that no runtime here can open")

        def open_instead(manifest, threads):
            runner = OrtRunner(built, manifest, threads=threads, device="cpu")
            opened.append(runner)
            return runner

        return Converted(stand_in=StandIn(open_instead, "typed ONNX; engine not run: no driver"))

    engine = dataclasses.replace(target, convert=convert)
    manifest = produce(engine, checkpoint, SPEC, tmp_path / "net.onnx", norm="frozen")
    (runner,) = opened
    assert runner.manifest.sha256 == manifest.sha256
    assert manifest.parity.note == "typed ONNX; engine not run: no driver"
    assert not manifest.parity.emulated
    assert manifest.parity.max_abs == read_manifest(built).parity.max_abs > 0
    assert read_manifest(tmp_path / "net.onnx") == manifest


def test_what_an_emulator_said_is_labelled(target, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(OrtRunner, "emulated", True)
    manifest = produce(target, checkpoint, SPEC, tmp_path / "net.onnx", norm="frozen")
    assert manifest.parity.emulated


def test_a_format_declares_its_input_and_output(target, checkpoint):
    def tensors(spec):
        taken = TensorSpec("image", (1, *spec.size, 3), "uint8", "NHWC", value_range=(0.0, 255.0))
        return taken, dataclasses.replace(taken, name="deblurred")

    spec = dataclasses.replace(SPEC, options={"io": "image"})
    graph = prepare(checkpoint, norm="frozen")
    manifest = draft_manifest(dataclasses.replace(target, tensors=tensors), graph, spec)
    assert (manifest.input.shape, manifest.input.size) == ((1, 32, 64, 3), (32, 64))
    assert manifest.output.name == "deblurred"
    assert manifest.options == {"io": "image"}
    again = Manifest.from_dict(json.loads(json.dumps(manifest.to_dict())), origin="again")
    assert again == manifest
