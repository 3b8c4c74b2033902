from __future__ import annotations

import os
import pickle

import pytest
import torch
from edgedeblur.models.checkpoint import generator_from, load_checkpoint, save_checkpoint
from edgedeblur.models.registry import build_generator
from edgedeblur.models.sources import default_source, resolve_source

from tests.released import released_state


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("final.bias"), r"not a complete mobilenet checkpoint \(missing: final\."),
        (lambda s: s.update({"extra.bias": torch.zeros(1)}), "unknown: extra.bias"),
        (lambda s: s.update({"final.bias": torch.zeros(4)}), r"final\.bias has shape \(4,\), exp"),
        (lambda s: s.update({"final.bias": torch.full((3,), torch.nan)}), "holds NaN or infinity"),
        (lambda s: s.update({"final.bias": 3}), r"final\.bias has shape \(\), expected \(3,\)"),
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


def test_shipped_checkpoint_says_what_it_is():
    checkpoint = load_checkpoint(default_source("mobilenet_dsc"))
    assert (checkpoint.backbone, checkpoint.norm) == ("mobilenet_dsc", "frozen")
    assert "provisional" in checkpoint.metadata["title"]
