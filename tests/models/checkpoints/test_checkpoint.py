from __future__ import annotations

import json
import os
import pickle
import warnings

import pytest
import torch
from edgedeblur.models.checkpoints.checkpoint import (
    generator_from,
    load_checkpoint,
    save_checkpoint,
)
from edgedeblur.models.checkpoints.sources import default_source, resolve_source, zoo_path
from edgedeblur.models.network.registry import build_generator
from edgedeblur.models.training.config import config_from
from safetensors.torch import save_file

from tests.released import released_state

VARIANCE = "fpn.features.0.1.running_var"
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
        (
            {"conv1.weight": torch.zeros(1)},
            r"none of the known networks, .*Inception-ResNet-v2 \(inception\), .*conv1\.weight",
        ),
        ({"fpn.inception.x": torch.zeros(1)}, r"none of the known .*fpn\.inception\.x"),
        ({}, "no tensors"),
        ([1, 2], "holds a list, not a state dict"),
    ],
)
def test_other_networks_are_refused(tmp_path, state, message):
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("final.bias"), r"not a complete mobilenet checkpoint \(missing: final\."),
        (lambda s: s.update({"extra.bias": torch.zeros(1)}), "unknown: extra.bias"),
        (lambda s: s.update({"final.bias": torch.zeros(4)}), r"final\.bias has shape \(4,\), exp"),
        (lambda s: s.update({"final.bias": torch.full((3,), torch.nan)}), "holds NaN or infinity"),
        (lambda s: s.update({VARIANCE: -s[VARIANCE]}), rf"{VARIANCE} holds negative variances"),
    ],
)
def test_damaged_states_are_refused(tmp_path, change, message):
    state = released_state(prefix="")
    change(state)
    path = tmp_path / "damaged.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(str(path))


def _nested(_):
    return torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])


ODD = {
    "float64": (
        lambda t: t.double(),
        r"of type float64; only dense tensors of float32, float16, b",
    ),
    "float8": (lambda t: t.to(torch.float8_e4m3fn), "of type float8_e4m3fn; only dense"),
    "complex": (lambda t: t.to(torch.complex64), "of type complex64; only dense"),
    "integer": (lambda t: t.long(), "of type int64; only dense"),
    "boolean": (lambda t: t.bool(), "of type bool; only dense"),
    "sparse": (lambda t: t.to_sparse(), r"sparse \(torch\.sparse_coo\)"),
    "compressed": (lambda t: t[None].to_sparse_csr(), r"sparse \(torch\.sparse_csr\)"),
    "meta": (lambda t: t.to("meta"), "on the device 'meta', without its numbers"),
    "nested": (_nested, "nested; only dense"),
    "quantised": (
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        r"quantised \(torch\.qint8\)",
    ),
    "number": (lambda _: 3, "of type int, not a plain tensor"),
    "list": (lambda t: t.tolist(), "of type list, not a plain tensor"),
    "nothing": (lambda _: None, "of type NoneType, not a plain tensor"),
    "text": (lambda _: "weights", "of type str, not a plain tensor"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_tensors_are_refused_by_name(tmp_path, kind):
    change, message = ODD[kind]
    state, path = released_state(prefix=""), tmp_path / "odd.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls some of these kinds experimental
        state["final.bias"] = change(state["final.bias"])
        torch.save(state, path)
    with pytest.raises(ValueError, match=rf"odd\.pth: final\.bias is {message}") as caught:
        load_checkpoint(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.float8_e5m2])
def test_odd_safetensors_are_refused_by_name(tmp_path, dtype):
    state = build_generator("mobilenet_dsc").state_dict()
    name = "fpn.td1.1.num_batches_tracked"
    state[name] = state[name].to(dtype)
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match=rf"{name} is of type .*; only dense tensors of int64"):
        load_checkpoint(str(tmp_path / "odd.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(tmp_path, dtype):
    whole = released_state(prefix="")
    half = {n: t.to(dtype) if t.is_floating_point() else t for n, t in whole.items()}
    path = tmp_path / "half.pth"
    torch.save(half, path)
    state = load_checkpoint(str(path)).state
    for name, tensor in state.items():
        counter = name.endswith("num_batches_tracked")
        assert tensor.dtype == (torch.int64 if counter else torch.float32)
        assert torch.equal(tensor, half[name] if counter else half[name].float())


def test_weights_do_not_change_with_the_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(build_generator("mobilenet_dsc"), path, norm="frozen")
    state = load_checkpoint(str(path)).state
    before = state["final.pointwise.bias"].clone()
    with path.open("r+b") as stream:
        header_end = 8 + int.from_bytes(stream.read(8), "little")
        size = stream.seek(0, os.SEEK_END)
        stream.seek(header_end)
        stream.write(b"\x3f" * (size - header_end))
    assert torch.equal(state["final.pointwise.bias"], before)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("backbone", "mobilenet", "header says backbone 'mobilenet', but its tensors are those of"),
        ("backbone", "resnet", "header says backbone 'resnet', but .* of 'mobilenet_dsc'"),
        ("decoder_norm", "instance", "header says decoder_norm 'instance', but .* of 'batch'"),
        ("decoder_norm", "layer", "header says decoder_norm 'layer', but .* of 'batch'"),
        ("norm", "banana", "header says norm 'banana', which is neither 'frozen' nor 'live'"),
        ("norm", "", "header says norm '', which is neither"),
    ],
)
def test_headers_that_contradict_the_tensors_are_refused(tmp_path, key, value, message):
    header = {"backbone": "mobilenet_dsc", "decoder_norm": "batch", "norm": "live", key: value}
    path = tmp_path / "a.safetensors"
    save_file(build_generator("mobilenet_dsc").state_dict(), path, header)
    with pytest.raises(ValueError, match=rf"a\.safetensors: its {message}"):
        load_checkpoint(str(path))


def test_safetensors_without_a_header_are_recognised(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(build_generator("mobilenet_dsc").state_dict(), path)
    checkpoint = load_checkpoint(str(path))
    assert (checkpoint.backbone, checkpoint.norm) == ("mobilenet_dsc", "frozen")


def test_saving_with_an_unknown_norm_is_refused(tmp_path):
    with pytest.raises(ValueError, match="norm must be frozen or live, not 'banana'"):
        save_checkpoint(build_generator("mobilenet_dsc"), tmp_path / "a.safetensors", norm="banana")
    assert list(tmp_path.iterdir()) == []


def test_missing_files_folders_and_endings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth: no such file"):
        load_checkpoint(str(tmp_path / "nothing.pth"))
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_checkpoint(str(tmp_path))
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"checkpoints end in \.safetensors, \.h5"):
        load_checkpoint(str(tmp_path / "a.txt"))
    with pytest.raises(FileNotFoundError, match="zoo:nothing: not shipped; available: zoo:mobile"):
        resolve_source("zoo:nothing")


def test_backbone_without_a_shipped_checkpoint_says_how_to_get_one(monkeypatch, tmp_path):
    import edgedeblur.models.checkpoints.sources as sources

    monkeypatch.setattr(sources, "_ZOO", tmp_path)
    with pytest.raises(ValueError, match=r"no checkpoint is shipped for 'mobilenet'; use --check"):
        default_source("mobilenet")


@pytest.mark.parametrize("network", [p.stem for p in sorted(ZOO.glob("*.safetensors"))])
def test_shipped_checkpoints_say_what_they_are(network):
    checkpoint = load_checkpoint(default_source(network))
    assert (checkpoint.network, checkpoint.norm) == (network, "frozen")
    assert checkpoint.backbone == network.removesuffix("_fast")
    assert checkpoint.metadata["license"] == "Apache-2.0"
    recipe = config_from(json.loads(checkpoint.metadata["recipe"]))
    assert recipe.model.backbone == checkpoint.backbone
    card = (ZOO / f"{network}.md").read_text()
    assert (ZOO / f"{network}_curves.png").exists()
    for part in ("licence", "recipe", "Limits", checkpoint.sha256[:16], f"{network}_curves.png"):
        assert part in card, part
