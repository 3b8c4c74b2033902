from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
from edgedeblur.models.checkpoint import generator_from, load_checkpoint, save_checkpoint
from edgedeblur.models.registry import build_generator
from edgedeblur.models.sources import default_source, resolve_source, zoo_path
from edgedeblur.models.training.config import config_from

from tests.released import released_state

ZOO = zoo_path("mobilenet_dsc").parent


class _Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_released_layout_is_recognised(released_h5):
    checkpoint = load_checkpoint(str(released_h5))
    assert (checkpoint.backbone, checkpoint.decoder_norm, checkpoint.norm) == (
        "mobilenet",
        "instance",
        "live",
    )
    # 225 aliases, and the 45 num_batches_tracked of the same layers.
    assert len(checkpoint.state) == 622 - 225 - 45
    assert checkpoint.dead_features


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}])
def test_plain_state_dicts_load(tmp_path, wrap):
    path = tmp_path / "plain.pth"
    torch.save(wrap(released_state(prefix="")), path)
    assert load_checkpoint(str(path)).backbone == "mobilenet"


def test_safetensors_round_trip_keeps_weights_and_modes(tmp_path, released_h5):
    generator = generator_from(load_checkpoint(str(released_h5)))
    path = tmp_path / "copy.safetensors"
    save_checkpoint(generator, path, norm="live", metadata={"title": "a copy"})
    again = load_checkpoint(str(path))
    assert (again.norm, again.decoder_norm, again.metadata["title"]) == (
        "live",
        "instance",
        "a copy",
    )
    state = generator.state_dict()
    assert set(again.state) == set(state)
    assert all(torch.equal(again.state[name], state[name]) for name in state)
    assert [p.name for p in tmp_path.iterdir()] == ["copy.safetensors"]


def test_saving_under_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"written as \.safetensors"):
        save_checkpoint(build_generator("mobilenet_dsc"), tmp_path / "a.pth", norm="frozen")


def test_failed_save_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"cannot write .*No space left"):
        save_checkpoint(build_generator("mobilenet_dsc"), tmp_path / "a.safetensors", norm="live")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".h5", ".pth", ".pt"])
def test_code_in_a_pickle_never_runs(tmp_path, suffix):
    marker, path = tmp_path / "ran", tmp_path / f"evil{suffix}"
    torch.save({"model": {"a": _Evil(marker)}}, path)
    with pytest.raises(ValueError, match=r"refused, as it holds Python objects"):
        load_checkpoint(str(path))
    path.write_bytes(pickle.dumps(_Evil(marker)))
    with pytest.raises(ValueError, match=str(path)):
        load_checkpoint(str(path))
    assert not marker.exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["h5", "safetensors"])
def test_truncated_files_are_refused(tmp_path, released_h5, share, kind):
    source = released_h5
    if kind == "safetensors":
        source = tmp_path / "whole.safetensors"
        save_checkpoint(build_generator("mobilenet_dsc"), source, norm="frozen")
    payload = source.read_bytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(payload[: int(len(payload) * share)])
    with pytest.raises(ValueError, match=r"cut\..*(fetch it again|save it again)"):
        load_checkpoint(str(path))


def test_other_backbone_is_refused(released_h5):
    with pytest.raises(ValueError, match="holds a mobilenet checkpoint, not mobilenet_dsc"):
        load_checkpoint(str(released_h5), backbone="mobilenet_dsc")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"conv1.weight": torch.zeros(1)}, r"no DeblurGAN-v2 pyramid .*conv1\.weight"),
        ({"fpn.inception.x": torch.zeros(1)}, "Inception-ResNet-v2 generator, which is not"),
        ({}, "no tensors"),
        ([1, 2], "holds a list, not a state dict"),
    ],
)
def test_other_networks_are_refused(tmp_path, state, message):
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(str(path))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # a thing of the past, in files
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("final.bias"), r"not a complete mobilenet checkpoint \(missing: final\."),
        (lambda s: s.update({"extra.bias": torch.zeros(1)}), "unknown: extra.bias"),
        (lambda s: s.update({"final.bias": torch.zeros(4)}), r"final\.bias has shape \(4,\), exp"),
        (lambda s: s.update({"final.bias": torch.full((3,), torch.nan)}), "holds NaN or infinity"),
        (lambda s: s.update({"final.bias": 3}), r"final\.bias is a int, not a tensor"),
        (lambda s: s.update({"final.bias": torch.zeros(3).to_sparse()}), "bias is sparse float32"),
        (
            lambda s: s.update({"final.bias": torch.zeros(3, dtype=torch.complex64)}),
            "bias is complex64; weights are dense",
        ),
        (lambda s: s.update({"final.bias": torch.zeros(3, dtype=torch.int8)}), "bias is int8"),
        (
            lambda s: s.update({"final.bias": torch.zeros(3).to(torch.float8_e4m3fn)}),
            "bias is float8_e4m3fn",
        ),
        (
            lambda s: s.update(
                {"final.bias": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)}
            ),
            "bias is quantised qint8",
        ),
        (
            lambda s: s.update({"final.bias": torch.zeros(3, device="meta")}),
            r"bias is float32 without contents \(device meta\)",
        ),
        (
            lambda s: s.update({"fpn.td1.1.running_var": torch.full((128,), -1.0)}),
            "holds a negative variance",
        ),
    ],
)
def test_damaged_states_are_refused(tmp_path, change, message):
    state = released_state(prefix="")
    change(state)
    path = tmp_path / "damaged.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(str(path))


def test_missing_files_folders_and_endings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth: no such file"):
        load_checkpoint(str(tmp_path / "nothing.pth"))
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"checkpoints end in \.safetensors, \.h5"):
        load_checkpoint(str(tmp_path / "a.txt"))
    with pytest.raises(FileNotFoundError, match="zoo:nothing: not shipped; there is zoo:mobile"):
        resolve_source("zoo:nothing")


def test_backbone_without_a_shipped_checkpoint_says_how_to_get_one(monkeypatch, tmp_path):
    import edgedeblur.models.sources as sources

    monkeypatch.setattr(sources, "_ZOO", tmp_path)
    with pytest.raises(ValueError, match=r"no checkpoint is shipped for 'mobilenet'; use --check"):
        default_source("mobilenet")


@pytest.mark.parametrize("backbone", [p.stem for p in sorted(ZOO.glob("*.safetensors"))])
def test_shipped_checkpoints_say_what_they_are(backbone):
    checkpoint = load_checkpoint(default_source(backbone))
    assert (checkpoint.backbone, checkpoint.norm) == (backbone, "frozen")
    assert checkpoint.metadata["license"] == "Apache-2.0"
    recipe = config_from(json.loads(checkpoint.metadata["recipe"]))
    assert recipe.model.backbone == backbone
    card = (ZOO / f"{backbone}.md").read_text()
    assert (ZOO / f"{backbone}_curves.png").exists()
    for part in ("licence", "recipe", "Limits", checkpoint.sha256[:16], f"{backbone}_curves.png"):
        assert part in card, part


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>sign in</html>", "an HTML or XML page, not a file"),
        (b"\n <HTML><body>quota", "an HTML or XML page"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, r"an HDF5 file \(Keras\?\)"),
        (b'{"error": "not found"}', "JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run git lfs pull"),
        (b"\0" * 4096, "nothing but zeros"),
        (b"\x08\x0a\x12\x07pytorch", "an ONNX file"),
        (bytes(range(1, 256)) * 40, "not a whole torch checkpoint"),
        (b"PK\x03\x04" + b"x" * 500, "not a whole torch checkpoint"),
    ],
)
@pytest.mark.parametrize("suffix", [".h5", ".pth"])
def test_other_files_are_called_what_they_are(tmp_path, content, message, suffix):
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(str(path))
    assert "Python objects" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_never_give_a_traceback(tmp_path, seed):
    import random

    path = tmp_path / "random.pth"
    path.write_bytes(b"\x80\x02" + random.Random(seed).randbytes(3000))
    with pytest.raises(ValueError, match=r"random\.pth: not a whole torch checkpoint"):
        load_checkpoint(str(path))


def test_torchscript_is_named(tmp_path):
    path = tmp_path / "scripted.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    with pytest.raises(ValueError, match="a TorchScript archive, which is code; save its state"):
        load_checkpoint(str(path))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"norm": "banana"}, "gives norm as 'banana'; known are frozen, live"),
        ({"backbone": "mobilenet"}, "backbone as 'mobilenet', but its tensors are mobilenet_dsc"),
        ({"backbone": "resnet"}, "gives backbone as 'resnet'; known are mobilenet, mobilenet_dsc"),
        ({"decoder_norm": "instance"}, "decoder_norm as 'instance', but its tensors are batch"),
    ],
)
def test_a_header_that_contradicts_the_tensors_is_refused(tmp_path, header, message):
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    save_file(dict(build_generator("mobilenet_dsc").state_dict()), path, header)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(str(path))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_weights_become_float32(tmp_path, kind):
    state = build_generator("mobilenet_dsc").state_dict()
    half = {n: t.to(kind) if t.is_floating_point() else t for n, t in state.items()}
    path = tmp_path / "half.pth"
    torch.save(half, path)
    loaded = load_checkpoint(str(path)).state
    assert {t.dtype for t in loaded.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(loaded[n], t.to(loaded[n].dtype)) for n, t in half.items())


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "a.pth").symlink_to("gone.pth")
    with pytest.raises(FileNotFoundError, match=r"a\.pth: no such file"):
        load_checkpoint(str(tmp_path / "a.pth"))
