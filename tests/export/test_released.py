"""The files that others hold, from the command to the picture: recorded outputs of the networks."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from edgedeblur.export.cli import main
from edgedeblur.models.checkpoints.checkpoint import generator_from, load_checkpoint
from edgedeblur.runtimes.registry import open_runner

from tests.released import DEBLURGAN, INCEPTION, expected, released_state

FOLDERS = {"inception": INCEPTION, "deblurgan": DEBLURGAN, "deblurgan with dropout": DEBLURGAN}
NORMS = {"frozen": ("output_running_stats", 1e-5), "live": ("output_batch_stats", 1e-4)}
CASES = [
    pytest.param("inception", marks=pytest.mark.slow),
    "deblurgan",
    pytest.param("deblurgan with dropout", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Name -> a file in the layout in which it was released, made when it is asked for."""
    folder, made = tmp_path_factory.mktemp("released"), {}

    def write(name):
        if name == "inception":
            return {"model": released_state(folder=INCEPTION)}
        state = released_state("", DEBLURGAN)
        if name == "deblurgan":
            return state
        second = re.compile(r"(conv_block\.)([56])\.")
        return {second.sub(lambda m: f"{m[1]}{int(m[2]) + 1}.", n): t for n, t in state.items()}

    def get(name):
        if name not in made:
            made[name] = folder / f"{name.replace(' ', '_')}.pth"
            torch.save(write(name), made[name])
        return made[name]

    return get


def command(backbone, path, *more):
    return main(["--backbone", backbone, "--checkpoint", str(path), "--target", "onnx-fp32", *more])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", CASES)
def test_recorded_outputs_hold_in_pytorch_and_onnxruntime(name, norm, released, tmp_path):
    recorded = expected(FOLDERS[name])
    key, tolerance = NORMS[norm]
    image, wanted = recorded["input"], recorded[key]
    with torch.no_grad():
        generator = generator_from(load_checkpoint(str(released(name))), norm=norm)
        in_pytorch = generator(torch.from_numpy(image)).numpy()
    assert np.abs(in_pytorch - wanted).max() <= tolerance

    path = tmp_path / "network.onnx"
    size = "x".join(map(str, image.shape[2:]))
    backbone = name.partition(" ")[0]
    assert command(backbone, released(name), "--size", size, "--norm", norm, "-o", str(path)) == 0
    with open_runner(path, threads=1) as runner:
        assert np.abs(runner.infer(image) - wanted).max() <= tolerance
    assert np.abs(wanted - image).mean() > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception", "deblurgan"])
def test_commands_work_as_written(name, released, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(name, released(name), "--size", "192x224", "--norm", "live") == 0
    written = tmp_path / f"{name}_onnx-fp32_192x224.onnx"
    assert written.is_file()
    other = {"inception": "mobilenet", "deblurgan": "inception"}[name]
    assert command(other, released(name), "--size", "192x224", "--norm", "live", "--force") == 1
    article = {"inception": "an", "deblurgan": "a"}[name]
    assert capsys.readouterr().err == (
        f"deblur-export: error: {released(name)}: holds {article} {name} checkpoint, not {other}; "
        f"use --backbone {name} or another --checkpoint\n"
    )
