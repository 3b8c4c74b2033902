"""Emulated: what ncnn computes on 64-bit Arm. It says nothing about time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.compare import psnr_db
from edgedeblur.runtimes.pictures.sample_inputs import load_sample_inputs, to_uint8
from edgedeblur.runtimes.registry import open_runner

from tests.contracts import pytorch, spec_for

from .arm_python import ROOT, ArmPython

pytestmark = pytest.mark.arm

SIZE = (128, 128)
PRECISIONS = ("fp32", "fp16", "int8")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of each precision: PyTorch's output, x86's and Arm's, uint8; and what ran on Arm."""
    folder = tmp_path_factory.mktemp("arm")
    checkpoint = load_checkpoint("zoo:mobilenet_dsc")
    image = load_sample_inputs(SIZE, 32, dynamic=False, count=1)[0].image
    np.save(folder / "image.npy", image)
    paths: list[Path] = []
    for precision in PRECISIONS:
        target = get_target(f"ncnn-{precision}")
        paths.append(folder / f"{precision}.ncnn")
        produce(target, checkpoint, spec_for(target, size=SIZE), paths[-1], norm="frozen")
    printed = ArmPython(ROOT / ".arm").run(
        Path(__file__).with_name("infer.py"), str(folder / "image.npy"), *map(str, paths)
    )
    wanted, found = to_uint8(pytorch(checkpoint, image)), {}
    for precision, path, line in zip(PRECISIONS, paths, printed.splitlines(), strict=True):
        with open_runner(path) as runner:
            here = to_uint8(runner.infer(image))
        found[precision] = wanted, here, to_uint8(np.load(f"{path}.npy")), line
    return found


@pytest.mark.parametrize(
    ("precision", "to_pytorch_db", "to_x86_db"),
    [("fp32", 80.0, 80.0), ("fp16", 50.0, 50.0), ("int8", 40.0, 45.0)],
)
def test_arm_agrees_with_pytorch_and_x86(results, precision, to_pytorch_db, to_x86_db):
    wanted, x86, arm, ran = results[precision]
    # QEMU's processor has float16 arithmetic, so ncnn takes it there, and does not here.
    assert ran == f"aarch64 {precision}"
    told = f"{psnr_db(arm, wanted):.2f} dB to PyTorch, {psnr_db(arm, x86):.2f} dB to x86"
    sys.stdout.write(f"\nemulated {precision}: {told}\n")
    assert psnr_db(arm, wanted) >= to_pytorch_db
    assert psnr_db(arm, x86) >= to_x86_db
