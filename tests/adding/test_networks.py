"""The page's network, beside the package and as an installed distribution."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from edgedeblur.export.cli import main as export
from edgedeblur.models.checkpoints.checkpoint import (
    generator_from,
    load_checkpoint,
    save_checkpoint,
)
from edgedeblur.models.network.norm import norms
from edgedeblur.models.network.receptive_field import receptive_radius_px
from edgedeblur.models.network.registry import build_generator, networks
from edgedeblur.models.training.config import load_config
from edgedeblur.models.training.setup import start_generator
from edgedeblur.runtimes.registry import open_runner

from .examples import added, read_examples
from .test_plugins import call

PLACE = "models/network/networks/small_unet.py"


@pytest.fixture(scope="module", autouse=True)
def _added(tmp_path_factory):
    with added(tmp_path_factory.mktemp("beside"), {PLACE: read_examples()[PLACE]}):
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state dict as others save it, with norms that are not the identity."""
    torch.manual_seed(0)
    generator = build_generator("small_unet")
    for norm in norms(generator).values():
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "unet.pth"
    torch.save({"state_dict": generator.state_dict()}, path)
    return path


def test_the_example_is_short():
    assert len(read_examples()[PLACE].splitlines()) < 60


def test_state_dict_is_told_by_its_marks(weights):
    checkpoint = load_checkpoint(str(weights))
    assert (checkpoint.backbone, checkpoint.decoder_norm) == ("small_unet", "batch")
    assert checkpoint.size_multiple == 4


@pytest.mark.parametrize("norm", ["frozen", "live"])
def test_network_is_exported_in_both_norm_modes_at_sides_of_its_own(weights, norm, tmp_path):
    path = tmp_path / "unet.onnx"
    wanted = ["--target", "onnx-fp32", "--backbone", "small_unet", "--checkpoint", str(weights)]
    assert export([*wanted, "--size", "36x52", "--norm", norm, "-o", str(path)]) == 0
    manifest = json.loads(path.with_name("unet.onnx.json").read_text())
    assert (manifest["backbone"], manifest["size_multiple"]) == ("small_unet", 4)
    assert manifest["receptive_radius_px"] == (11 if norm == "frozen" else None)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 36, 52)).astype(np.float32)
    with torch.no_grad():
        generator = generator_from(load_checkpoint(str(weights)), norm=norm)
        expected = generator(torch.from_numpy(image)).numpy()
    with open_runner(path, threads=1) as runner:
        assert np.abs(runner.infer(image) - expected).max() < 1e-5
    assert np.abs(expected - image).max() > 0.1


def test_what_it_has_not_is_refused(weights, tmp_path, capsys):
    wanted = ["--target", "onnx-fp32", "--checkpoint", str(weights), "-o", str(tmp_path)]
    assert export([*wanted, "--size", "32x32", "--rewrite", "all"]) == 1
    assert "small_unet has no fusion points to rewrite" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        export([*wanted, "--size", "30x32"])
    assert "30x32: both sides must be multiples of 4" in capsys.readouterr().err
    assert export([*wanted, "--size", "32x32", "--backbone", "mobilenet"]) == 1
    assert "holds a small_unet checkpoint, not mobilenet" in capsys.readouterr().err


def test_receptive_radius_is_what_gradients_reach():
    generator = build_generator("small_unet").eval().double()
    for parameter in generator.parameters():
        parameter.data = parameter.data.abs() * 0.05 + 1e-3
    image = torch.full((1, 3, 68, 8), 0.01, dtype=torch.double, requires_grad=True)
    farthest = 0
    output = generator(image)
    for row in range(32, 36):
        (grown,) = torch.autograd.grad(output[0, 0, row, 4], image, retain_graph=True)
        rows = grown[0].abs().sum((0, 2)).nonzero().flatten()
        farthest = max(farthest, row - int(rows.min()), int(rows.max()) - row)
    assert farthest == receptive_radius_px("small_unet")


def test_training_starts_as_the_identity():
    generator = start_generator(load_config("paper", ["model.backbone=small_unet"]))
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(generator.eval()(image), image)


def test_written_checkpoints_name_it(tmp_path):
    path = tmp_path / "w.safetensors"
    save_checkpoint(build_generator("small_unet"), path, norm="frozen")
    assert load_checkpoint(str(path)).metadata["backbone"] == "small_unet"


def install(site, name, code, entry="small_unet"):
    """Lay a distribution out as pip does."""
    package = site / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    absolute = re.sub(r"^from \.\.", "from edgedeblur.models.network.", code, flags=re.MULTILINE)
    (package / "small_unet.py").write_text(absolute)
    info = site / f"{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    entries = f"[edgedeblur.networks]\n{entry} = {name}.small_unet\n"
    (info / "entry_points.txt").write_text(entries)


def test_distribution_adds_it(weights, tmp_path):
    install(tmp_path / "site", "example_deblur", read_examples()[PLACE])
    done = call(tmp_path / "site", "export", "--help")
    assert "msr2b, small_unet" in " ".join(done.stdout.split())
    wanted = ("--target", "onnx-fp32", "--backbone", "small_unet", "--checkpoint", weights)
    path = tmp_path / "unet.onnx"
    done = call(tmp_path / "site", "export", *wanted, "--size", "36x52", "-o", path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["manifest"]["parity"]["max_abs"] < 1e-5
    done = call(tmp_path / "empty", "export", *wanted, "--size", "36x52", "-o", path)
    assert done.returncode == 2
    assert "unknown backbone 'small_unet'" in done.stderr


def test_broken_distribution_is_named_and_the_rest_goes_on(weights, tmp_path):
    install(tmp_path, "broken_deblur", "import a_module_that_nobody_has\n")
    install(tmp_path, "second_deblur", read_examples()[PLACE], entry="unet")
    code = (
        "from edgedeblur.models.checkpoints.checkpoint import load_checkpoint\n"
        "print(load_checkpoint('zoo:mobilenet_dsc').backbone)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout == "mobilenet_dsc\n"
    assert done.stderr.splitlines() == [
        "edgedeblur: warning: network 'small_unet' of the plug-in broken_deblur 1.5 cannot be "
        "imported (ModuleNotFoundError: No module named 'a_module_that_nobody_has'); update or "
        "uninstall it",
        "edgedeblur: warning: the plug-in second_deblur 1.5 calls its network 'small_unet', and "
        "its entry point 'unet'; use one name",
    ]
    wanted = ("--target", "onnx-fp32", "--size", "64x64", "--checkpoint", weights)
    done = call(tmp_path, "export", *wanted, "--backbone", "small_unet")
    assert done.returncode == 1
    assert "network 'small_unet' of the plug-in broken_deblur 1.5 cannot be" in done.stderr


def test_taken_name_is_an_error_naming_the_distribution(tmp_path, weights):
    install(tmp_path, "second_deblur", read_examples()[PLACE], entry="msr2b")
    wanted = ("--target", "onnx-fp32", "--size", "64x64", "--checkpoint", weights)
    done = call(tmp_path, "export", *wanted, "--backbone", "msr2b")
    assert done.returncode == 1
    assert "network 'msr2b' is taken; the plug-in second_deblur 1.5 needs another" in done.stderr


def test_networks_lists_all_once():
    names = [network.name for network in networks()]
    assert names == sorted(set(names))
    assert {"deblurgan", "inception", "mobilenet", "msr2b", "small_unet"} <= set(names)
