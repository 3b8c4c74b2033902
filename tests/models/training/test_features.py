"""Feature distillation: the attention distance by hand, and taps on networks of two widths."""

import dataclasses
import math

import pytest
import torch
from edgedeblur.models.network.registry import build_generator
from edgedeblur.models.training.config import Loss
from edgedeblur.models.training.extras import Extras
from edgedeblur.models.training.objective.features import attention_distance
from edgedeblur.models.training.objective.objective import weighted_losses

from tests.models.network.test_widths import NARROW, randomised


def test_attention_distance_by_hand():
    student = torch.tensor([[[[3.0, 0.0]], [[0.0, 2.0]]]])  # squares 9 and 4
    teacher = torch.tensor([[[[0.0, 5.0]]]])  # squares 0 and 25
    length = (9**2 + 4**2) ** 0.5
    expected = ((9 / length) ** 2 + (4 / length - 1) ** 2) ** 0.5
    assert float(attention_distance(student, teacher)) == pytest.approx(expected, abs=1e-6)
    assert float(attention_distance(student, student * 7)) == pytest.approx(0, abs=1e-6)


def test_a_narrow_student_is_taught_the_features_of_its_teacher():
    student = randomised("mobilenet_dsc", NARROW).train()
    teacher = build_generator("mobilenet_dsc").eval().requires_grad_(False)
    extras = Extras(teacher=teacher)
    extras.tap_features(0.5, student)
    blurry, sharp = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    loss = Loss(pixel=0.0, perceptual=0.0, adversarial=0.0, feature=0.5)
    parts = weighted_losses(loss, student(blurry), blurry, sharp, extras, None)
    assert set(parts) == {"feature"}
    maps = {}
    for role, network in (("student", student), ("teacher", teacher)):
        for name in student.taught_layers:
            layer = network.get_submodule(name)
            layer.register_forward_hook(lambda _m, _i, out, k=(role, name): maps.update({k: out}))
    student(blurry), teacher(blurry)
    distances = [
        attention_distance(maps["student", name], maps["teacher", name])
        for name in student.taught_layers
    ]
    torch.testing.assert_close(parts["feature"], 0.5 * torch.stack(distances).mean())
    parts["feature"].backward()
    assert student.fpn.td1[0].pointwise.weight.grad.abs().sum() > 0
    assert teacher.fpn.td1[0].pointwise.weight.grad is None


def test_without_a_teacher_or_a_weight_nothing_is_tapped():
    student = build_generator("mobilenet_dsc", widths=NARROW)
    alone, unweighted = Extras(), Extras(teacher=student)
    alone.tap_features(1.0, student)
    unweighted.tap_features(0.0, student)
    assert alone.features is None
    assert unweighted.features is None


def test_a_teacher_without_the_layers_is_refused():
    with pytest.raises(ValueError, match=r"loss\.feature: the teacher has no layer fpn\.td1"):
        Extras(teacher=torch.nn.Identity()).tap_features(1.0, build_generator("mobilenet_dsc"))


def test_feature_weight_asks_for_a_teacher():
    assert Loss(feature=0.1).teaches
    assert Loss(distill=0.1).teaches
    assert not Loss().teaches
    assert dataclasses.replace(Loss(), feature=0.0).feature == 0


class Brighter(torch.nn.Module):
    def forward(self, blurry):
        return blurry + 0.2


@pytest.mark.parametrize(
    ("kind", "expected"),
    # The student is 0.2 below the teacher; a mean square of 0.04 is 0.01 of the range of 2.
    [("l1", 3 * 0.2), ("mse", 3 * 0.04), ("psnr", 3 * 10 * math.log10(101)), ("none", None)],
)
def test_the_teachers_picture_is_learnt_by_each_loss(kind, expected):
    blurry = torch.rand(2, 3, 8, 8)
    loss = Loss(pixel=0.0, perceptual=0.0, adversarial=0.0, distill=3.0, distill_kind=kind)
    parts = weighted_losses(loss, blurry, blurry, blurry - 1, Extras(teacher=Brighter()), None)
    assert parts.keys() == (set() if expected is None else {"distill"})
    if expected is not None:
        assert float(parts["distill"]) == pytest.approx(expected, rel=1e-4)


def test_an_unknown_comparison_with_the_teacher_is_refused():
    with pytest.raises(ValueError, match=r"loss\.distill_kind.*lpips"):
        Loss(distill_kind="lpips")
