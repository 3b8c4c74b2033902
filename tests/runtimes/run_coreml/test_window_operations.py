"""Padding and pooling of the interpreter against PyTorch, from a saved package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edgedeblur.runtimes.run_coreml.operations import UnknownOperationError

from tests.runtimes.run_coreml.mil import run, saved

pytest.importorskip(
    "coremltools", reason="coremltools is not installed: pip install -e '.[coreml]'"
)

SHAPE = (1, 4, 6, 5)
X = np.random.default_rng(7).normal(size=SHAPE).astype(np.float32)
SIDES = [0, 0, 0, 0, 1, 2, 2, 1]  # before and after: channels none, rows 1 and 2, columns 2 and 1
SAME = {"pad_type": "custom", "pad": [1, 1, 1, 1]}

CASES = {
    "pad": (
        lambda mb, x: mb.pad(x=x, pad=SIDES, mode="constant", constant_val=np.float16(0.5)),
        lambda x: F.pad(x, (2, 1, 1, 2), value=0.5),
    ),
    "pad reflect": (
        lambda mb, x: mb.pad(x=x, pad=SIDES, mode="reflect", constant_val=np.float16(0)),
        lambda x: F.pad(x, (2, 1, 1, 2), mode="reflect"),
    ),
    "pad replicate": (
        lambda mb, x: mb.pad(x=x, pad=SIDES[4:], mode="replicate", constant_val=np.float16(0)),
        lambda x: F.pad(x, (2, 1, 1, 2), mode="replicate"),
    ),
    "max_pool": (
        lambda mb, x: mb.max_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="valid"),
        lambda x: F.max_pool2d(x, 3, 2),
    ),
    "max_pool ceil": (
        lambda mb, x: mb.max_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], ceil_mode=True, **SAME),
        lambda x: F.max_pool2d(x, 3, 2, padding=1, ceil_mode=True),
    ),
    "avg_pool": (
        lambda mb, x: mb.avg_pool(x=x, kernel_sizes=[2, 3], strides=[2, 1], pad_type="valid"),
        lambda x: F.avg_pool2d(x, (2, 3), (2, 1)),
    ),
    "avg_pool over what is there": (
        lambda mb, x: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], strides=[1, 1], exclude_padding_from_average=True, **SAME
        ),
        lambda x: F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False),
    ),
    "avg_pool over zeros too": (
        lambda mb, x: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], strides=[1, 1], exclude_padding_from_average=False, **SAME
        ),
        lambda x: F.avg_pool2d(x, 3, 1, padding=1),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_operation_computes_what_pytorch_does(case, tmp_path):
    build, expected = CASES[case]
    found = run(saved(tmp_path, build, SHAPE), X)
    wanted = expected(torch.from_numpy(X).half().double())
    assert found.shape == wanted.shape
    assert (found.double() - wanted).abs().max() <= 1e-3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda mb, x: mb.max_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="same"),
            "pooling with padding 'same' cannot be emulated",
        ),
        (
            lambda mb, x: mb.avg_pool(
                x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="custom", pad=[0, 1, 0, 1]
            ),
            "unequal padding cannot be emulated",
        ),
    ],
)
def test_variants_that_are_not_emulated_are_named(build, message, tmp_path):
    with pytest.raises(UnknownOperationError, match=message):
        run(saved(tmp_path, build, SHAPE), X)
