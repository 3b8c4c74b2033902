"""Channel groups and slicing: exact where nothing that counts is cut away."""

import pytest
import torch
from edgedeblur.models.compress.groups import (
    channel_map,
    group_name,
    groups_of,
    with_widths,
)
from edgedeblur.models.compress.slicing import slice_generator
from edgedeblur.models.network.registry import build_generator, get_backbone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.models.network.test_widths import NARROW, randomised

HEADS = tuple(("heads", index, 1) for index in (3, 2, 1, 0))
QUICK = settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def test_groups_are_the_widths_of_the_record():
    groups = groups_of(NARROW)
    assert groups["pyramid", 3] == 24
    assert groups["heads", 3, 1] == 20
    assert ("hidden", 3) not in groups  # its block is left out
    assert ("heads", 1, 0) not in groups
    assert with_widths(NARROW, {("heads", 3, 1): 9, ("smooth", 0): 7}).heads[3] == (4, 9)
    assert [group_name(g) for g in (("smooth", 0), ("hidden", 3), ("heads", 1, 0))] == [
        "smooth",
        "hidden.3",
        "heads.1.0",
    ]


def test_dimensions_run_over_the_groups_that_the_network_says():
    found = channel_map("mobilenet_dsc", get_backbone("mobilenet_dsc").widths).dimensions
    assert found["fpn.features.3.conv.0.weight"] == ((("hidden", 1),), (("streams", 2),), (), ())
    assert found["fpn.features.3.conv.3.weight"] == ((("hidden", 1),), (), (), ())
    assert found["fpn.lateral0.weight"] == ((("smooth", 0),), (("streams", 1),), (), ())
    assert found["fpn.lateral4.weight"] == ((("pyramid", 3),), (("streams", 6),), (), ())
    assert found["fpn.td1.0.pointwise.bias"] == ((("pyramid", 2),),)
    assert found["smooth.0.pointwise.weight"] == ((("smooth", 0),), HEADS, (), ())
    assert found["smooth.0.depthwise.weight"] == (HEADS, (), (), ())
    assert found["final.pointwise.weight"] == ((), (("smooth2", 0),), (), ())
    assert found["smooth.1.num_batches_tracked"] == ()


@pytest.mark.parametrize("backbone", ["mobilenet", "mobilenet_dsc"])
@given(data=st.data())
@QUICK
def test_channels_that_nothing_reads_are_cut_without_a_trace(backbone, data):
    generator = randomised(backbone, NARROW)
    mapping = channel_map(backbone, NARROW)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    groups = groups_of(NARROW)
    kept = {}
    for group in data.draw(
        st.lists(st.sampled_from(sorted(groups, key=str)), min_size=1, max_size=6)
    ):
        width = groups[group]
        dead = set(data.draw(st.lists(st.integers(0, width - 1), max_size=width - 4)))
        kept[group] = [c for c in range(width) if c not in dead]
        silence(generator, mapping, group, dead, groups)
    narrow = slice_generator(generator, kept)
    for group, channels in kept.items():
        assert groups_of(narrow.widths)[group] == len(channels)
    torch.testing.assert_close(narrow(image), generator(image), atol=2e-5, rtol=0)


def silence(generator, mapping, group, dead, groups):
    """Set all weights that read the dead channels of a group to zero."""
    for channel in dead:
        scale(generator, mapping, group, channel, groups, 0)


def scale(generator, mapping, group, channel, groups, factor):
    """Scale all weights that read a channel of a group."""
    state = generator.state_dict()
    for name in mapping.consumers(group):
        start = 0
        for other in mapping.dimensions[name][1]:
            if other == group:
                break
            start += groups[other]
        state[name][:, start + channel] *= factor


def test_a_block_whose_channels_all_go_is_left_out():
    generator = randomised("mobilenet_dsc", NARROW)
    projection = generator.state_dict()["fpn.features.6.conv.6.weight"]
    assert projection.shape == (16, 8, 1, 1)  # hidden.4
    projection.zero_()
    norm = generator.fpn.features[6].conv[7]
    norm.bias.data.zero_()
    norm.running_mean.zero_()
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    narrow = slice_generator(generator, {("hidden", 4): []})
    assert narrow.widths.hidden[4] == 0
    torch.testing.assert_close(narrow(image), generator(image), atol=2e-5, rtol=0)


def test_keeping_everything_changes_no_bit_and_not_the_original():
    generator = randomised("mobilenet_dsc", NARROW)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    same = slice_generator(generator, {("smooth", 0): range(12)})
    for name, tensor in same.state_dict().items():
        assert torch.equal(tensor, before[name])
    with torch.no_grad():
        for parameter in same.parameters():
            parameter.zero_()
    assert all(torch.equal(t, before[n]) for n, t in generator.state_dict().items())


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({("hidden", 3): [0]}, "no channel group hidden.3"),
        ({("smooth", 0): [0, 0, 1, 2]}, "smooth: channels must be different numbers below 12"),
        ({("smooth", 0): [0, 1, 2, 12]}, "smooth: channels must be different numbers below 12"),
        ({("pyramid", 0): []}, "pyramid.0 cannot be left out"),
        ({("smooth2", 0): [1]}, "smooth2 is 1; it must be 4"),
        ({("hidden", 0): []}, "cannot be left out"),
    ],
)
def test_impossible_cuts_are_refused(kept, words):
    generator = build_generator("mobilenet_dsc", widths=NARROW)
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        slice_generator(generator, kept)
