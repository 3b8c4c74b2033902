"""Every operation of the interpreter against PyTorch, from a saved package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edgedeblur.runtimes.run_coreml.interpreter import MilProgram
from edgedeblur.runtimes.run_coreml.operations import UnknownOperationError, known_operations

from tests.runtimes.run_coreml.mil import run, saved

pytest.importorskip("coremltools", reason="install it: pip install -e '.[coreml]'")

SHAPE = (1, 4, 6, 5)
RNG = np.random.default_rng(7)
X = RNG.normal(size=SHAPE).astype(np.float32)


def half(*shape) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float16)


def t(array) -> torch.Tensor:
    """An array's exact values in float64."""
    return torch.from_numpy(np.asarray(array)).double()


K3, K1 = half(6, 4, 3, 3), half(6, 4, 1, 1)
DEPTHWISE, BIAS, UP, UPBIAS = half(4, 1, 3, 3), half(6), half(4, 3, 4, 4), half(3)
VECTOR = half(1, 4, 1, 1)
PAD1 = {"pad_type": "custom", "pad": [1, 1, 1, 1]}
POSITIVE = np.float16(0.5)

# Name of the case -> the operation in MIL, and the same in PyTorch on float64.
CASES = {
    "conv": (
        lambda mb, x: mb.conv(x=x, weight=K3, bias=BIAS, strides=[2, 2], **PAD1),
        lambda x: F.conv2d(x, t(K3), t(BIAS), stride=2, padding=1),
    ),
    "conv 1x1": (
        lambda mb, x: mb.conv(x=x, weight=K1, pad_type="valid"),
        lambda x: F.conv2d(x, t(K1)),
    ),
    "conv depthwise dilated": (
        lambda mb, x: mb.conv(x=x, weight=DEPTHWISE, groups=4, dilations=[2, 1], pad_type="valid"),
        lambda x: F.conv2d(x, t(DEPTHWISE), groups=4, dilation=(2, 1)),
    ),
    "conv one-sided": (
        lambda mb, x: mb.conv(x=x, weight=K3, pad_type="custom", pad=[0, 1, 2, 0]),
        lambda x: F.conv2d(F.pad(x, (2, 0, 0, 1)), t(K3)),
    ),
    "conv_transpose": (
        lambda mb, x: mb.conv_transpose(x=x, weight=UP, bias=UPBIAS, strides=[2, 2], **PAD1),
        lambda x: F.conv_transpose2d(x, t(UP), t(UPBIAS), stride=2, padding=1),
    ),
    "conv_transpose depthwise": (
        lambda mb, x: mb.conv_transpose(x=x, weight=DEPTHWISE, groups=4, pad_type="valid"),
        lambda x: F.conv_transpose2d(x, t(DEPTHWISE), groups=4),
    ),
    "clip": (
        lambda mb, x: mb.clip(x=x, alpha=np.float16(-0.5), beta=np.float16(1.0)),
        lambda x: x.clamp(-0.5, 1.0),
    ),
    "relu": (lambda mb, x: mb.relu(x=x), F.relu),
    "tanh": (lambda mb, x: mb.tanh(x=x), torch.tanh),
    "round": (lambda mb, x: mb.round(x=x), torch.round),
    "square": (lambda mb, x: mb.square(x=x), torch.square),
    "sqrt": (lambda mb, x: mb.sqrt(x=mb.square(x=x)), lambda x: x.square().half().double().sqrt()),
    "rsqrt": (
        lambda mb, x: mb.rsqrt(
            x=mb.clip(x=x, alpha=POSITIVE, beta=np.float16(2.0)), epsilon=np.float16(0.25)
        ),
        lambda x: (x.clamp(0.5, 2.0) + 0.25).half().double().rsqrt(),
    ),
    "identity": (lambda mb, x: mb.identity(x=x), lambda x: x),
    "add": (lambda mb, x: mb.add(x=x, y=VECTOR), lambda x: x + t(VECTOR)),
    "sub": (lambda mb, x: mb.sub(x=np.float16(127.5), y=x), lambda x: 127.5 - x),
    "mul": (lambda mb, x: mb.mul(x=x, y=VECTOR), lambda x: x * t(VECTOR)),
    "real_div": (lambda mb, x: mb.real_div(x=x, y=VECTOR), lambda x: x / t(VECTOR)),
    "maximum": (lambda mb, x: mb.maximum(x=x, y=VECTOR), lambda x: torch.maximum(x, t(VECTOR))),
    "minimum": (lambda mb, x: mb.minimum(x=x, y=VECTOR), lambda x: torch.minimum(x, t(VECTOR))),
    "concat": (
        lambda mb, x: mb.concat(values=[x, mb.relu(x=x)], axis=1),
        lambda x: torch.cat([x, F.relu(x)], dim=1),
    ),
    "upsample_nearest_neighbor": (
        lambda mb, x: mb.upsample_nearest_neighbor(
            x=x, scale_factor_height=3.0, scale_factor_width=2.0
        ),
        lambda x: F.interpolate(x, scale_factor=(3, 2), mode="nearest"),
    ),
    "pixel_shuffle": (
        lambda mb, x: mb.pixel_shuffle(x=x, upscale_factor=2),
        lambda x: F.pixel_shuffle(x, 2),
    ),
    "slice_by_index": (
        lambda mb, x: mb.slice_by_index(
            x=x, begin=[0, 1, 1, 9], end=[1, 4, -1, 4], stride=[1, 2, 1, 1],
            begin_mask=[False, False, False, True], end_mask=[True, False, False, False],
        ),
        lambda x: x[:, 1:4:2, 1:-1, :4],
    ),
    "reduce_mean": (
        lambda mb, x: mb.reduce_mean(x=x, axes=[2, 3], keep_dims=True),
        lambda x: x.mean(dim=(2, 3), keepdim=True),
    ),
    "instance_norm": (
        lambda mb, x: mb.instance_norm(
            x=x, gamma=VECTOR.ravel(), beta=VECTOR.ravel(), epsilon=np.float16(1e-3)
        ),
        lambda x: F.instance_norm(
            x, weight=t(VECTOR).ravel(), bias=t(VECTOR).ravel(), eps=float(np.float16(1e-3))
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, torch.Tensor]:
    """What the operations answer, all of them from one saved package."""

    def build(mb, x):
        return tuple(build(mb, x) for build, _ in CASES.values())

    program = MilProgram(saved(tmp_path_factory.mktemp("cases"), build, SHAPE))
    found = program.run({"x": torch.from_numpy(X)})
    assert len(found) == len(CASES)
    return dict(zip(CASES, (found[name] for name in program.outputs), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch_in_float16(case, outputs):
    output = outputs[case]
    exact = CASES[case][1](t(X).half().double())
    assert output.dtype == torch.float16
    assert output.shape == exact.shape
    # Rounded once, from sums in float32: half a step of float16, and little more.
    step = torch.maximum(exact.abs(), torch.tensor(2.0**-14)) * 2.0**-11
    assert ((output.double() - exact).abs() <= 1.1 * step + 1e-6).all()


@pytest.mark.parametrize("case", ["tanh", "add", "reduce_mean", "slice_by_index"])
def test_float32_programs_stay_float32(case, tmp_path):
    build, expected = CASES[case]
    if case == "add":
        build = lambda mb, x: mb.add(x=x, y=VECTOR.astype(np.float32))  # noqa: E731
    output = run(saved(tmp_path, build, SHAPE, half=False), X)
    assert output.dtype == torch.float32
    assert (output.double() - expected(t(X))).abs().max() <= 1e-6


def test_casts_round_to_the_type(tmp_path):
    x = np.array([[1.0004, 2049.0, -0.7, 300.9]], np.float32)
    there = run(saved(tmp_path, lambda mb, x: mb.cast(x=x, dtype="fp32"), (1, 4)), x)
    # float16 has steps of 2^-10 from 1 on and of 2 from 2048 on, where halves go to even.
    assert there.tolist() == [[1.0, 2048.0, float(np.float16(-0.7)), float(np.float16(300.9))]]
    assert there.dtype == torch.float32
    (tmp_path / "whole").mkdir()
    whole = saved(tmp_path / "whole", lambda mb, x: mb.cast(x=x, dtype="int32"), (1, 4), half=False)
    assert run(whole, x).tolist() == [[1, 2049, 0, 300]]  # towards zero


def test_quantise_and_back_by_hand(tmp_path):
    x = np.array([[0.0, 0.26, -0.25, 0.25, 0.75, 100.0, -100.0]], np.float32)

    def build(mb, x):
        whole = mb.quantize(input=x, scale=np.float16(0.5), zero_point=np.int8(-3),
                            output_dtype="int8")  # fmt: skip
        return mb.dequantize(input=whole, scale=np.float16(0.5), zero_point=np.int8(-3))

    # x / 0.5 = 0, .52, -.5, .5, 1.5, 200, -200; halves to even: 0, 1, 0, 0, 2; then -3, clipped
    # to -128..127, and back with +3: 200 - 3 > 127 gives 130, -200 - 3 < -128 gives -125.
    output = run(saved(tmp_path, build, x.shape), x)
    assert output.tolist() == [[0.0, 0.5, 0.0, 0.0, 1.0, 65.0, -62.5]]
    assert output.dtype == torch.float16


def test_unsigned_quantise_along_an_axis_by_hand(tmp_path):
    x = np.array([[[[1.0]], [[1.0]]]], np.float32)
    scales = np.array([0.5, 0.25], np.float16)

    def build(mb, x):
        whole = mb.quantize(input=x, scale=scales, axis=1, output_dtype="uint8",
                            zero_point=np.array([128, 254], np.uint8))  # fmt: skip
        return mb.cast(x=whole, dtype="fp32")

    # 1 / 0.5 + 128 = 130; 1 / 0.25 + 254 = 258, clipped to 255.
    assert run(saved(tmp_path, build, x.shape), x).ravel().tolist() == [130.0, 255.0]


def test_weights_in_8_bits_by_hand(tmp_path):
    data = np.array([[[[4]]], [[[-127]]]], np.int8)  # two 1x1 kernels over one channel

    def build(mb, x):
        weight = mb.constexpr_affine_dequantize(
            quantized_data=data, zero_point=np.array([2, 0], np.int8),
            scale=np.array([0.5, 0.25], np.float16), axis=0,
        )  # fmt: skip
        return mb.conv(x=x, weight=weight, pad_type="valid")

    x = np.array([[[[2.0]]]], np.float32)
    # (4 - 2) * 0.5 * 2 = 2 and -127 * 0.25 * 2 = -63.5
    path = saved(tmp_path, build, x.shape, ios="16")
    assert run(path, x).ravel().tolist() == [2.0, -63.5]
    assert MilProgram(path).kinds == ("cast", "conv")  # what is constant is computed once


@pytest.mark.parametrize("shifted", [False, True])
def test_weights_in_blocks_by_hand(tmp_path, shifted):
    data = np.array([[[[1]], [[2]], [[3]], [[4]]]], np.int8)  # one kernel over four channels
    scale = np.array([[[[1.0]], [[0.5]]]], np.float16)  # a scale for every two of them
    offset = {"offset": np.array([[[[1]], [[-1]]]], np.int8)} if shifted else {}

    def build(mb, x):
        weight = mb.constexpr_blockwise_shift_scale(data=data, scale=scale, **offset)
        return mb.conv(x=x, weight=weight, pad_type="valid")

    x = np.array([1.0, 10.0, 100.0, 1000.0], np.float32).reshape(1, 4, 1, 1)
    # 1, 2, 3 / 2, 4 / 2; with the shift 0, 1, 4 / 2, 5 / 2
    expected = 0 + 10 + 200 + 2500 if shifted else 1 + 20 + 150 + 2000
    (output,) = run(saved(tmp_path, build, x.shape, ios="18"), x).ravel().tolist()
    assert output == float(np.float16(expected))


def test_every_operation_has_a_case():
    elsewhere = {
        "cast",
        "quantize",
        "dequantize",
        "constexpr_affine_dequantize",
        *("constexpr_blockwise_shift_scale", "avg_pool", "max_pool", "pad"),
    }
    assert set(known_operations()) == elsewhere | {case.partition(" ")[0] for case in CASES}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda mb, x: mb.gelu(x=x), r"net\.mlpackage: operation 'gelu' cannot be emulated; known"),
        (lambda mb, x: mb.split(x=x, num_splits=2, axis=1)[0], "operation 'split' cannot be emul"),
    ],
)
def test_unknown_operations_are_named(tmp_path, build, message):
    path = saved(tmp_path, build, SHAPE)
    with pytest.raises(UnknownOperationError, match=message):
        MilProgram(path)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda mb, x: mb.conv(x=x, weight=K3, pad_type="same"), "padding 'same' cannot be emul"),
        (
            lambda mb, x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=1.5,
                                                       scale_factor_width=1.0),
            r"enlarging by \[1\.5, 1\.0\] cannot be emulated",
        ),
        (
            lambda mb, x: mb.slice_by_index(x=x, begin=[0, 0, 3, 0], end=[1, 4, 0, 5],
                                            stride=[1, 1, -1, 1]),
            "backwards cannot be emulated",
        ),
        (
            lambda mb, x: mb.conv_transpose(x=x, weight=UP, strides=[2, 2],
                                            output_shape=[1, 3, 15, 12]),
            "a larger output cannot be emulated",
        ),
        (lambda mb, x: mb.cast(x=x, dtype="int16"), "a cast to 'int16' cannot be emulated"),
    ],
)  # fmt: skip
def test_unknown_forms_are_named(tmp_path, build, message):
    with pytest.raises(UnknownOperationError, match=message):
        run(saved(tmp_path, build, SHAPE), X)


def test_a_missing_input_and_a_broken_package_are_errors(tmp_path):
    path = saved(tmp_path, CASES["relu"][0], SHAPE)
    with pytest.raises(ValueError, match="input 'x' is missing"):
        MilProgram(path).run({})
    model = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    model.write_bytes(model.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"net\.mlpackage"):
        MilProgram(path)
    (path / "Manifest.json").write_text("{}")
    with pytest.raises(ValueError, match=r"net\.mlpackage: coremltools cannot read it"):
        MilProgram(path)


def test_watching_sees_every_tensor_once(tmp_path):
    path = saved(tmp_path, CASES["concat"][0], SHAPE)
    seen: list[str] = []
    program = MilProgram(path)
    program.run({"x": torch.from_numpy(X)}, lambda name, value: seen.append(name))
    assert len(seen) == len(set(seen)) == 1 + len(program.kinds)
    assert seen[0] == "x"
    assert seen[-1] == program.outputs[0]
