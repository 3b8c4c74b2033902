"""Files that are no checkpoints: each is called what it is, in one line, and none is executed."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from edgedeblur.export.cli import main
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.files import read_tensors, shown
from safetensors.torch import save as safetensors_bytes

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}
NOISE = np.random.default_rng(5).integers(0, 256, 5000, dtype=np.uint8).tobytes()


def _saved(content, *, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _torchscript() -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), stream)
    return stream.getvalue()


def _npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


FOREIGN = {
    "html": (b"\n<!DOCTYPE html><html>", "looks like an HTML page"),
    "xml": (b"<?xml version='1.0'?><Error/>", "looks like an HTML page"),
    "hdf5": (
        b"\x89HDF\r\n\x1a\n" + NOISE,
        r"looks like an HDF5 file \(Keras\?\); save the network's",
    ),
    "hdf5 with a user block": (
        bytes(512) + b"\x89HDF\r\n\x1a\n" + NOISE,
        "looks like an HDF5 file",
    ),
    "json": (b' {"weights": [1, 2, 3]}', "looks like JSON, not weights"),
    "text": (b"404: not found\n", "looks like text, not weights"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "looks like a Git LFS pointer"),
    "gzip": (gzip.compress(b"abc"), "looks like a gzip archive; unpack it"),
    "zeros": (bytes(100_000), "begins with nothing but zeros"),
    "empty": (b"", "the file is empty; fetch it again"),
    "onnx": (b"\x08\x0a\x12\x07pytorch" + NOISE, "looks like an ONNX file"),
    "noise": (NOISE, r"begins like no checkpoint \(with [0-9a-f ]{23}\); fetch it again"),
    "pickle": (pickle.dumps({"a": [1.0]}), "looks like a plain pickle, which could run code"),
    "torchscript": (_torchscript(), "looks like a TorchScript archive; save the network's state_d"),
    "npz": (_npz(), "looks like a zip archive that torch.save did not write"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".h5", ".pth", ".pt"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_other_files_are_called_what_they_are(tmp_path, kind, suffix):
    payload, message = FOREIGN[kind]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(payload)
    with pytest.raises(ValueError, match=rf"weights\{suffix}: {message}") as caught:
        load_checkpoint(str(path))
    assert "Python objects" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("suffix", [".h5", ".pth", ".pt", ".PTH"])
def test_torch_files_are_read(tmp_path, suffix, legacy):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(_saved(STATE, legacy=legacy))
    tensors, metadata = read_tensors(path)
    assert metadata == {}
    assert {name: t.tolist() for name, t in tensors.items()} == {
        "a": [[0, 1, 2], [3, 4, 5]],
        "b": 1,
    }


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        ("a.safetensors", _saved(STATE), r"holds torch data under .* rename it to end in \.pth"),
        ("a.safetensors", _saved(STATE, legacy=True), r"rename it to end in \.pth"),
        ("a.pth", safetensors_bytes(STATE), r"holds safetensors .* to end in \.safetensors"),
        ("a.bin", _saved(STATE), r"end in \.safetensors, \.h5.*holds torch .* to end in \.pth"),
        ("a", _saved(STATE, legacy=True), r"this one holds torch data: rename it to end in \.pth"),
        ("a.bin", safetensors_bytes(STATE), r"this one holds safetensors .* \.safetensors"),
        (
            "a.onnx",
            b"\x08\x0a\x12\x07pytorch",
            r"checkpoints end in .*; it looks like an ONNX file",
        ),
        ("a.keras", _npz(), r"checkpoints end in .*; it looks like a zip archive"),
    ],
)
def test_wrong_endings_name_the_right_one(tmp_path, name, payload, message):
    (tmp_path / name).write_bytes(payload)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(str(tmp_path / name))


def test_folders_links_and_pipes(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "link.pth").symlink_to(tmp_path / "gone.pth")
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    for name, message in {
        "folder.pth": "folder.pth: is a folder; give a file",
        "link.pth": r"link.pth: is a link to .*gone\.pth, which is not there",
        "loop.pth": r"loop.pth: is a link to .*loop\.pth, which is not there",
        "pipe.pth": "pipe.pth: is not a regular file",
        "none.pth": "none.pth: no such file",
    }.items():
        with pytest.raises(FileNotFoundError, match=message):
            load_checkpoint(str(tmp_path / name))


class _Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True])
def test_only_refused_objects_are_called_objects(tmp_path, legacy):
    path, marker = tmp_path / "a.pth", tmp_path / "ran"
    path.write_bytes(_saved({"a": _Evil(marker)}, legacy=legacy))
    with pytest.raises(ValueError, match=r"holds Python objects besides tensors \(posix\.mkdir\)"):
        load_checkpoint(str(path))
    path.write_bytes(_saved({"model": torch.nn.Linear(2, 2)}, legacy=legacy))
    with pytest.raises(ValueError, match=r"holds Python objects besides tensors \(torch\.nn\.mod"):
        load_checkpoint(str(path))
    assert not marker.exists()


def test_torch_advice_to_load_without_protection_is_not_passed_on(tmp_path):
    whole = _saved(STATE)
    archive = zipfile.ZipFile(io.BytesIO(whole))
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as changed:
        for name in archive.namelist():
            broken = b"\x80\x02\x95" if name.endswith("data.pkl") else archive.read(name)
            changed.writestr(name, broken)
    with pytest.raises(ValueError, match=r"not a whole torch checkpoint \(Unsupported operand 149"):
        load_checkpoint(str(path))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole torch checkpoint") as caught:
        load_checkpoint(str(path))
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_any_damage_is_a_value_error(tmp_path, kind):
    whole = (
        safetensors_bytes(STATE) if kind == "safetensors" else _saved(STATE, legacy=kind != "zip")
    )
    suffix = "safetensors" if kind == "safetensors" else "pth"
    random, path, refused = np.random.default_rng(7), tmp_path / f"a.{suffix}", []
    for _ in range(150):
        payload = bytearray(whole)
        for place in random.integers(0, min(len(whole), 600), 4):
            payload[place] = random.integers(0, 256)
        path.write_bytes(payload)
        try:
            read_tensors(path)  # damage to the numbers alone cannot be seen here
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert all(str(path) in text and "\n" not in text for text in refused)


@pytest.mark.parametrize("seed", range(12))
def test_what_only_begins_like_a_torch_file_is_refused(tmp_path, seed):
    start = _saved(STATE, legacy=True)[:14]  # torch.save's number, then anything
    path = tmp_path / "random.pth"
    path.write_bytes(start + np.random.default_rng(seed).bytes(3000))
    with pytest.raises(ValueError, match=r"random\.pth: not a whole torch checkpoint") as caught:
        load_checkpoint(str(path))
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F8_E8M0", "X9"])
def test_safetensors_types_without_a_torch_type(tmp_path, dtype):
    header = json.dumps({"a": {"dtype": dtype, "shape": [8], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match=r"a\.safetensors: (not a whole|holds none of)"):
        load_checkpoint(str(path))


def test_the_command_says_it_in_one_line(tmp_path, capsys):
    path = tmp_path / "fpn_mobilenet.h5"
    path.write_bytes(FOREIGN["html"][0])
    assert main(["--checkpoint", str(path), "--target", "onnx-fp32", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"deblur-export: error: {path}: looks like an HTML page, as servers send to sign in; "
        "fetch the file itself\n"
    )


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"\x1b[2Jgone\n" + "x" * 500: torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"it holds \?\[2Jgone\?x+\.\.\., \.\.\.\)") as caught:
        load_checkpoint(str(path))
    assert str(caught.value).isprintable()
    assert shown("a" * 20, 10) == "aaaaaaa..."
