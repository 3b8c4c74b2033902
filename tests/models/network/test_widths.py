"""Architecture records: the published networks are the default, others build, fold and rewrite."""

import dataclasses
import json

import pytest
import torch
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.produce import draft_manifest
from edgedeblur.export.registry import get_target
from edgedeblur.export.rewrites.rewrite import ALL, apply_rewrites, parse_steps
from edgedeblur.models.checkpoints.checkpoint import (
    generator_from,
    load_checkpoint,
    save_checkpoint,
)
from edgedeblur.models.checkpoints.densify import densify
from edgedeblur.models.network.receptive_field import input_interval
from edgedeblur.models.network.registry import build_generator, get_backbone, stored_network_key
from edgedeblur.models.network.widths import Widths, backbone_of, network_key, widths_from_json
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

DEFAULT = get_backbone("mobilenet_dsc").widths
NARROW = Widths(
    streams=(8, 4, 12, 16, 20, 24, 28),
    hidden=(24, 16, 40, 0, 8, 48, 0, 0, 16, 24, 0, 8, 40, 0),
    pyramid=(20, 16, 12, 24),
    heads=((8, 12), (0, 4), (16, 8), (4, 20)),
    smooth=12,
    smooth2=8,
)
WIDTH = st.integers(4, 12)


def records():
    """Any record of MobileNetV2's form; the blocks that only add may be left out."""
    optional = {1, 3, 4, 6, 7, 8, 10, 11, 13}  # of `hidden`: repeats within a group
    hidden = st.tuples(*((st.just(0) | WIDTH) if i in optional else WIDTH for i in range(14)))
    return st.builds(
        Widths,
        streams=st.tuples(*[WIDTH] * 7),
        hidden=hidden,
        pyramid=st.tuples(*[WIDTH] * 4),
        heads=st.tuples(*[st.tuples(st.just(0) | WIDTH, WIDTH)] * 4),
        smooth=WIDTH,
        smooth2=WIDTH,
    )


def randomised(backbone, widths, seed=0):
    """A generator whose norms are not the identity."""
    torch.manual_seed(seed)
    generator = build_generator(backbone, widths=widths).eval()
    for name, tensor in generator.state_dict().items():
        if name.endswith(("running_mean", ".1.bias", ".4.bias")):
            tensor.uniform_(-0.3, 0.3)
        if name.endswith("running_var"):
            tensor.uniform_(0.2, 1.5)
    return generator


def test_default_record_is_the_published_network():
    for backbone in ("mobilenet", "mobilenet_dsc"):
        plain = build_generator(backbone).state_dict()
        given = build_generator(backbone, widths=DEFAULT).state_dict()
        assert {n: t.shape for n, t in plain.items()} == {n: t.shape for n, t in given.items()}
    assert DEFAULT.laterals == (64, 128, 128, 128, 128)
    assert DEFAULT.merged == 256


def test_layers_have_the_widths_of_the_record():
    state = build_generator("mobilenet", widths=NARROW).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["fpn.features.0.0.weight"] == (8, 3, 3, 3)
    assert shapes["fpn.features.1.conv.3.weight"] == (4, 8, 1, 1)
    assert shapes["fpn.features.2.conv.0.weight"] == (24, 4, 1, 1)
    assert shapes["fpn.features.14.conv.6.weight"] == (28, 40, 1, 1)
    assert not any(name.startswith("fpn.features.5.") for name in shapes)  # hidden[3] is 0
    laterals = [shapes[f"fpn.lateral{i}.weight"][:2] for i in range(5)]
    assert laterals == [(12, 4), (16, 12), (12, 16), (24, 20), (24, 28)]
    assert shapes["fpn.td1.0.weight"] == (12, 24, 3, 3)
    assert shapes["fpn.td3.0.weight"] == (20, 16, 3, 3)
    assert shapes["head1.block0.weight"] == (8, 20, 3, 3)
    assert shapes["head1.block1.weight"] == (12, 8, 3, 3)
    assert shapes["head2.block0.weight"] == (4, 16, 3, 3)
    assert "head2.block1.weight" not in shapes
    assert shapes["smooth.0.weight"] == (12, 12 + 4 + 8 + 20, 3, 3)
    assert shapes["smooth2.0.weight"] == (8, 12, 3, 3)
    assert shapes["final.weight"] == (3, 8, 3, 3)


@pytest.mark.parametrize("backbone", ["mobilenet", "mobilenet_dsc"])
@given(record=records())
@settings(max_examples=8, deadline=None, phases=[Phase.generate])
def test_any_record_folds_and_rewrites_exactly(backbone, record, tmp_path_factory):
    path = tmp_path_factory.mktemp("w") / "any.safetensors"
    save_checkpoint(randomised(backbone, record), path, norm="frozen")
    checkpoint = load_checkpoint(str(path))
    assert checkpoint.widths == record
    graph = prepare(checkpoint, norm="frozen")
    image = torch.rand(1, 3, 64, 96) * 2 - 1
    expected = generator_from(checkpoint)(image)
    steps = [ALL] if backbone == "mobilenet" else [
        parse_steps("split_concat@smooth,compose_separable@final,upsample_to_transposed@final"),
        parse_steps("compose_separable@smooth2+final,compose_laterals@smooth2"),
    ]  # fmt: skip
    if backbone == "mobilenet":
        steps.append(parse_steps("compose_laterals,split_concat,nest_upsampling"))
    for chosen in steps:
        found = apply_rewrites(graph, chosen).module(image)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_densified_narrow_network_computes_the_same():
    separable = randomised("mobilenet_dsc", NARROW)
    dense = densify(separable, "mobilenet")
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    assert dense.widths == NARROW
    torch.testing.assert_close(dense(image), separable(image), atol=1e-5, rtol=0)


def test_receptive_field_of_a_shallower_network_is_what_gradients_reach():
    generator = build_generator("mobilenet", widths=NARROW).eval().double()
    for parameter in generator.parameters():
        parameter.data = parameter.data.abs() * 0.05 + 0.01
    for row in (320, 331, 351):
        image = torch.zeros(1, 3, 672, 32, dtype=torch.double, requires_grad=True)
        generator.fpn.features(image)  # the layers left out are there, as identities
        generator(image)[0, 0, row, 16].backward()
        rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
        assert (int(rows.min()), int(rows.max())) == input_interval("mobilenet", row, NARROW)


def test_record_survives_json_and_names_the_network():
    assert widths_from_json(NARROW.to_json(), DEFAULT) == NARROW
    assert network_key("mobilenet", DEFAULT, DEFAULT) == "mobilenet"
    key = network_key("mobilenet", NARROW, DEFAULT)
    assert key.startswith("mobilenet-")
    assert network_key("mobilenet", dataclasses.replace(NARROW, smooth=13), DEFAULT) != key
    assert (backbone_of(key), backbone_of("mobilenet_dsc")) == ("mobilenet", "mobilenet_dsc")


def test_a_manifest_tells_the_key(tmp_path):
    path = tmp_path / "narrow.safetensors"
    for metadata in ({}, {"network": "slim"}):
        save_checkpoint(randomised("mobilenet_dsc", NARROW), path, norm="frozen", metadata=metadata)
        checkpoint = load_checkpoint(str(path))
        graph = prepare(checkpoint, norm="frozen")
        manifest = draft_manifest(get_target("onnx-fp32"), graph, ExportSpec("onnx-fp32", (32, 32)))
        key = stored_network_key(manifest.backbone, manifest.network, manifest.widths)
        assert key == checkpoint.key == network_key("mobilenet_dsc", NARROW, DEFAULT)
    default = DEFAULT.to_dict()
    assert stored_network_key("mobilenet_dsc", "mobilenet_dsc", default) == "mobilenet_dsc"
    assert stored_network_key("mobilenet_dsc", "mine", default) == "mobilenet_dsc"
    assert stored_network_key("mobilenet_dsc", None, None) == "mobilenet_dsc"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"smooth": 0}, "smooth is 0; it must be 4 to 1024"),
        ({"smooth": 4096}, "smooth is 4096; it must be 4 to 1024"),
        ({"smooth": True}, "not a whole number"),
        ({"smooth": 3.5}, "not a whole number"),
        ({"smooth": [3]}, "smooth is"),
        ({"streams": [8] * 6}, "streams is"),
        ({"heads": [[8, 8, 8]] * 4}, "heads is"),
        ({"heads": [[8, 0]] * 4}, "heads.0.1 is 0"),
        ({"hidden": [-8] * 14}, "hidden.0 is -8"),
        ({"extra": 3}, "must be an object of"),
    ],
)
def test_bad_records_are_refused_by_name(change, words):
    text = json.dumps({**NARROW.to_dict(), **change})
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        widths_from_json(text, DEFAULT)


def test_a_block_that_changes_the_shape_cannot_be_left_out():
    hidden = (0, *NARROW.hidden[1:])
    with pytest.raises(ValueError, match="cannot be left out"):
        build_generator("mobilenet", widths=dataclasses.replace(NARROW, hidden=hidden))


def test_widths_that_happen_to_agree_add_no_identity():
    agreeing = dataclasses.replace(NARROW, streams=(8, 8, 12, 16, 20, 20, 28))
    for record in (NARROW, agreeing, DEFAULT):
        features = build_generator("mobilenet", widths=record).fpn.features
        adding = [i for i, layer in enumerate(features) if getattr(layer, "add", False)]
        identities = [i for i, layer in enumerate(features) if isinstance(layer, nn.Identity)]
        assert sorted(adding + identities) == [3, 5, 6, 8, 9, 10, 12, 13, 15]


def test_a_checkpoint_in_the_wrong_record_is_refused(tmp_path):
    state = build_generator("mobilenet_dsc", widths=NARROW).state_dict()
    path = tmp_path / "wrong.safetensors"
    wrong = dataclasses.replace(NARROW, smooth=16)
    header = {"backbone": "mobilenet_dsc", "norm": "frozen"}
    save_file(state, path, {**header, "widths": wrong.to_json()})
    with pytest.raises(ValueError, match=r"wrong.safetensors: .* has shape"):
        load_checkpoint(str(path))
    save_file(state, path, header)
    with pytest.raises(ValueError, match=r"not a complete mobilenet_dsc checkpoint|has shape"):
        load_checkpoint(str(path))


@pytest.mark.parametrize("name", ["mobilenet", "Fast", "../fast", "x" * 80])
def test_a_misleading_network_name_is_refused(name, tmp_path):
    path = tmp_path / "a.safetensors"
    generator = build_generator("mobilenet_dsc", widths=NARROW)
    save_checkpoint(generator, path, norm="frozen", metadata={"network": name})
    with pytest.raises(ValueError, match="its header names the network"):
        load_checkpoint(str(path))


def test_a_network_name_is_kept(tmp_path):
    path = tmp_path / "a.safetensors"
    generator = build_generator("mobilenet_dsc", widths=NARROW)
    save_checkpoint(generator, path, norm="frozen", metadata={"network": "mine_fast"})
    assert load_checkpoint(str(path)).network == "mine_fast"
    save_checkpoint(generator, path, norm="frozen")
    assert load_checkpoint(str(path)).network.startswith("mobilenet_dsc-")
