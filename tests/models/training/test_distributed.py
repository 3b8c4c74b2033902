"""Two processes train as one: same gradients, same weights, as with the doubled batch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.network.norm import BatchNorm
from edgedeblur.models.training.distributed import (
    SyncedBatchNorm,
    all_reduce_sum,
    join_process_group,
)
from edgedeblur.models.training.state import LAST_NAME


def test_alone_nothing_is_summed():
    values = torch.arange(3.0)
    assert all_reduce_sum(values) is values


def test_the_synced_norm_is_batch_norm_when_alone():
    torch.manual_seed(0)
    plain, synced = BatchNorm(5), SyncedBatchNorm(5)
    for norm in (plain, synced):
        torch.nn.init.constant_(norm.weight, 1.5)
        torch.nn.init.constant_(norm.bias, -0.25)
    image = torch.randn(3, 5, 7, 4)
    first, second = image.clone().requires_grad_(), image.clone().requires_grad_()
    one, two = plain(first), synced(second)
    assert torch.allclose(one, two, atol=1e-5)
    weights = torch.randn_like(one)
    (one * weights).sum().backward()
    (two * weights).sum().backward()
    assert torch.allclose(first.grad, second.grad, atol=1e-4)
    assert torch.allclose(plain.weight.grad, synced.weight.grad, rtol=1e-4, atol=1e-4)
    assert torch.allclose(plain.running_mean, synced.running_mean, atol=1e-6)
    assert torch.allclose(plain.running_var, synced.running_var, atol=1e-5)


def arguments(sharp_folder, output, batch, *more):
    given = ["--sharp", str(sharp_folder), "--device", "cpu", "--threads", "1", "-o", str(output)]
    overrides = (
        "loss.pixel_kind=l1",
        "loss.pixel=1.0",
        "loss.perceptual=0",
        "loss.adversarial=0",
        "optim.flat_epochs=0",
        "optim.decay_epochs=1",
        "optim.optimiser=adam",
        "data.epoch_steps=1",
        "data.crop=64",
        f"data.batch={batch}",
        "data.workers=0",
        "run.tensorboard=false",
        *more,
    )
    return given + [part for override in overrides for part in ("--set", override)]


def train(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def both(sharp_folder, tmp_path_factory):
    """Weights after one step: by one process with 4 crops, by two with 2 each."""
    folder = tmp_path_factory.mktemp("processes")
    module = "edgedeblur.models.training.cli"
    # Adam's first step is lr * sign(gradient): all weights move, whatever the gradient's size.
    more = ("optim.lr=1e-3", "optim.beta1=0.0", "optim.beta2=0.0")
    train([sys.executable, "-m", module, *arguments(sharp_folder, folder / "one", 4, *more)])
    train(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", module),
            *arguments(sharp_folder, folder / "two", 2, *more),
        ]
    )
    return folder


def test_two_processes_give_the_weights_of_one(both):
    first = load_checkpoint(str(both / "one" / LAST_NAME)).state
    second = load_checkpoint(str(both / "two" / LAST_NAME)).state
    for name, tensor in first.items():
        if name.endswith(("running_mean", "running_var")):
            assert torch.allclose(tensor, second[name], rtol=1e-4, atol=1e-5), name
    differing = sum(
        int((~torch.isclose(t, second[name], atol=1e-5)).sum())
        for name, t in first.items()
        if t.is_floating_point()
    )
    total = sum(t.numel() for t in first.values())
    # A sign may flip where a gradient is zero up to rounding.
    assert differing < 0.01 * total


def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    script = tmp_path / "gradients.py"
    script.write_text(SCRIPT)
    train([sys.executable, str(script), str(tmp_path / "one.pt")])
    train(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", str(script), str(tmp_path / "two.pt")),
        ]
    )
    one = torch.load(tmp_path / "one.pt", weights_only=True)
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        scale = float(gradient.abs().max())
        assert float((gradient - two[name]).abs().max()) <= 1e-9 * scale + 1e-12, name


SCRIPT = """
import sys, torch
from edgedeblur.models.network.registry import build_generator
from edgedeblur.models.training.distributed import (
    global_mean, join_process_group, share_batch_norms
)
from edgedeblur.models.training.objective import losses
from edgedeblur.models.training.objective.discriminators import PatchDiscriminator

torch.set_num_threads(1)
torch.manual_seed(0)
# In double precision: what is left to differ would be a mistake, not rounding.
blurry, sharp = torch.rand(2, 4, 3, 64, 64, dtype=torch.float64) * 2 - 1
generator = build_generator("mobilenet_dsc").double().train()
critic = PatchDiscriminator(norm=False).double().requires_grad_(False)
with join_process_group("cpu") as group:
    each = 4 // group.world
    mine = slice(group.rank * each, (group.rank + 1) * each)
    module = generator
    if group.world > 1:
        share_batch_norms(generator)
        module = torch.nn.parallel.DistributedDataParallel(generator)
    restored = module(blurry[mine])
    loss = losses.pixel_loss("l1", restored, sharp[mine])
    real, fake = critic(sharp[mine]), critic(restored)
    loss = loss + 0.1 * losses.ragan_ls_generator(real, fake, global_mean)
    loss.backward()
    if group.is_main:
        torch.save({n: p.grad for n, p in generator.named_parameters()}, sys.argv[1])
"""


def test_cuda_is_asked_for_but_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="PyTorch sees no CUDA device; install"):
        with join_process_group("cuda"):
            pass
