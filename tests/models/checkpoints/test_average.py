from __future__ import annotations

import pytest
import torch
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from edgedeblur.models.network.norm import set_norm_mode
from edgedeblur.models.network.registry import build_generator
from edgedeblur.models.training.cli import main


@pytest.fixture
def checkpoint(tmp_path):
    def write(name, value, backbone="mobilenet_dsc", **options):
        generator = build_generator(backbone, **options)
        for tensor in generator.state_dict().values():
            tensor.fill_(value)
        path = tmp_path / f"{name}.safetensors"
        save_checkpoint(generator, path, norm="frozen")
        return str(path)

    return write


def test_every_tensor_is_the_mean(checkpoint, tmp_path):
    three = [checkpoint("a", 1), checkpoint("b", 2), checkpoint("c", 6)]
    path = tmp_path / "mean.safetensors"
    assert main(["--average", *three, "-o", str(path)]) == 0
    mean = load_checkpoint(str(path))
    for name, tensor in mean.state.items():
        if tensor.is_floating_point():
            assert torch.equal(tensor, torch.full_like(tensor, 3.0)), name
    for part in three:
        assert load_checkpoint(part).sha256 in mean.metadata["init"]


def test_the_mean_of_a_checkpoint_and_itself_is_that_checkpoint(tmp_path):
    path = tmp_path / "mean.safetensors"
    assert main(["--average", "zoo:mobilenet", "zoo:mobilenet", "-o", str(path)]) == 0
    shipped, mean = load_checkpoint("zoo:mobilenet"), load_checkpoint(str(path))
    assert (mean.backbone, mean.norm) == ("mobilenet", "frozen")
    assert mean.state.keys() == shipped.state.keys()
    assert all(torch.equal(mean.state[name], shipped.state[name]) for name in mean.state)


def test_norm_modes_do_not_mix(checkpoint, tmp_path, capsys):
    live = build_generator("mobilenet_dsc")
    set_norm_mode(live, "live")
    save_checkpoint(live, tmp_path / "live.safetensors", norm="live")
    both = [checkpoint("a", 1), str(tmp_path / "live.safetensors")]
    assert main(["--average", *both, "-o", str(tmp_path / "mean.safetensors")]) == 1
    assert "only checkpoints of the same network can be averaged" in capsys.readouterr().err


def test_networks_do_not_mix(checkpoint, tmp_path, capsys):
    both = [checkpoint("a", 1), checkpoint("b", 1, "mobilenet")]
    path = tmp_path / "mean.safetensors"
    assert main(["--average", *both, "-o", str(path)]) == 1
    error = capsys.readouterr().err
    assert both[1] in error
    assert "only checkpoints of the same network can be averaged" in error
    assert not path.exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [("run", "change the suffix"), ("a.safetensors", "--force")],
)
def test_where_it_may_be_written(checkpoint, tmp_path, capsys, output, message):
    one, two = checkpoint("a", 1), checkpoint("b", 2)
    before = load_checkpoint(one).sha256
    assert main(["--average", one, two, "-o", str(tmp_path / output)]) == 1
    assert message in capsys.readouterr().err
    assert load_checkpoint(one).sha256 == before


def test_one_is_not_enough(checkpoint, tmp_path, capsys):
    path = str(tmp_path / "mean.safetensors")
    assert main(["--average", checkpoint("a", 1), "-o", path]) == 1
    assert "two checkpoints or more" in capsys.readouterr().err


def test_it_is_not_combined_with_measuring(checkpoint, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--average", checkpoint("a", 1), checkpoint("b", 2), "--evaluate"])
    assert stopped.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
