from __future__ import annotations

import json

import pytest
from edgedeblur.benchmarks.cli import main
from edgedeblur.benchmarks.roofline.estimate import (
    LayerWork,
    estimate,
    layers_of,
    milliseconds,
)
from edgedeblur.benchmarks.roofline.phones import PHONES
from edgedeblur.models.checkpoints.checkpoint import generator_from, load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.models.network.counting import conv_macs

FRAME = (736, 1280)


@pytest.mark.parametrize("backbone", ["mobilenet_dsc", "mobilenet", "deblurgan"])
def test_layers_hold_the_networks_multiply_accumulates(backbone):
    from edgedeblur.models.network.registry import build_generator

    layers = layers_of(backbone, None, FRAME)
    network = (
        generator_from(load_checkpoint(f"zoo:{backbone}"))
        if backbone != "deblurgan"
        else build_generator(backbone).eval()
    )
    assert sum(layer.macs for layer in layers) == conv_macs(network, FRAME)


def test_a_layers_elements_by_hand():
    first = layers_of("mobilenet_dsc", None, (64, 96))[0]
    # 3 -> 32 channels, 3x3, stride 2.
    assert first.macs == 32 * 27 * 32 * 48
    assert first.elements == 3 * 64 * 96 + 32 * 32 * 48 + 32 * 27


def test_each_layer_takes_the_longer_of_arithmetic_and_traffic():
    computes = LayerWork("a", macs=2_000_000_000, elements=1_000_000)
    moves = LayerWork("b", macs=1_000_000, elements=500_000_000)
    # 2 GMAC at 100 GMAC/s are 20 ms; 0.5 G elements of 2 bytes at 50 GB/s are 20 ms too.
    for layers, wanted in (([computes], 20.0), ([moves], 20.0), ([computes, moves], 40.0)):
        found = milliseconds(layers, gmacs=100.0, gb_per_s=50.0, bytes_each=2)
        assert found == pytest.approx(wanted)


def test_peaks_by_hand():
    mid = next(phone for phone in PHONES if phone.chip == "Snapdragon 778G")
    # One core at 2.4 GHz and three at 2.2, each with two pipes of four lanes.
    assert mid.cpu_gmacs("fp32") == pytest.approx(8 * (2.4 + 3 * 2.2))
    assert mid.cpu_gmacs("int8") == 4 * mid.cpu_gmacs("fp32")
    assert mid.gpu_gmacs("fp32") == pytest.approx(384 * 0.49)
    assert mid.gpu_gmacs("int8") == mid.gpu_gmacs("fp16") == 2 * mid.gpu_gmacs("fp32")


def test_fewer_bits_take_less_time_and_every_figure_has_a_source():
    layers = layers_of("mobilenet", None, FRAME)
    for phone in PHONES:
        fp32, fp16, int8 = (estimate(layers, each, phone) for each in ("fp32", "fp16", "int8"))
        assert fp32.cpu_ms > fp16.cpu_ms > int8.cpu_ms > 0
        assert fp32.gpu_ms > fp16.gpu_ms == int8.gpu_ms
        assert phone.sources
        assert fp32.kind == "estimate"


def test_the_command_labels_estimates(capsys, tmp_path):
    path = zoo_path("mobilenet_dsc")
    assert main(["--engine", str(path), "--estimate", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["estimates"]
    assert [row["phone"] for row in rows] == [phone.name for phone in PHONES]
    assert {row["kind"] for row in rows} == {"estimate"}
    assert main(["--engine", str(path), "--estimate"]) == 0
    printed = capsys.readouterr().out
    assert "estimates, not measurements" in printed
    assert f"{rows[0]['cpu_ms']:.0f}" in printed
    with pytest.raises(SystemExit) as refused:
        main(["--engine", str(path), "--engine", str(path), "--estimate"])
    assert refused.value.code == 2
