from __future__ import annotations

import pytest
from edgedeblur.benchmarks.counts.module_counts import count_checkpoint
from edgedeblur.benchmarks.counts.ncnn_counts import count_ncnn
from edgedeblur.export.graph import ExportSpec
from edgedeblur.export.prepare import prepare
from edgedeblur.export.rewrites.rewrite import apply_rewrites, parse_steps
from edgedeblur.export.to_ncnn.target import convert_fp32
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.models.network.counting import conv_macs

FRAME = (736, 1280)


def _folder(tmp_path, *lines: str):
    blobs = len({word for line in lines for word in line.split()[4:] if "=" not in word})
    head = ["7767517", f"{len(lines) + 1} {blobs}", "Input in 0 1 image"]
    (tmp_path / "model.param").write_text("\n".join([*head, *lines]) + "\n")
    return tmp_path


def test_strided_grouped_conv_by_hand(tmp_path):
    # (3, 8, 12) -> 6 channels, 3 groups, 3x3, stride 2: (6, 4, 6); each output takes 9 weights.
    line = "ConvolutionDepthWise c 1 1 image y 0=6 1=3 11=3 3=2 13=2 4=1 14=1 5=1 6=54 7=3 9=1"
    counts = count_ncnn(_folder(tmp_path, line), (8, 12))
    assert counts.macs == 6 * 4 * 6 * 9
    assert counts.macs_elementwise == counts.macs + 2 * 6 * 4 * 6  # bias and ReLU
    assert counts.params == 54 + 6


def test_transposed_conv_counts_from_its_input(tmp_path):
    # Kernel 4, stride 2, padding 1: (3, 4, 6) -> (7, 8, 12); then an addition.
    lines = ("Deconvolution d 1 1 image y 0=7 1=4 11=4 3=2 13=2 4=1 14=1 6=336", "ReLU r 1 1 y z")
    counts = count_ncnn(_folder(tmp_path, *lines), (4, 6))
    assert counts.macs == 3 * 4 * 6 * 7 * 16
    assert counts.macs_elementwise - counts.macs == 7 * 8 * 12


@pytest.mark.parametrize("backbone", ["mobilenet_dsc", "mobilenet"])
def test_a_converted_network_has_the_modules_own_counts(backbone, tmp_path):
    checkpoint = load_checkpoint(f"zoo:{backbone}")
    graph = prepare(checkpoint, norm="frozen")
    convert_fp32(graph, ExportSpec("ncnn-fp32", (64, 96)), tmp_path / "net.ncnn")
    found = count_ncnn(tmp_path / "net.ncnn", FRAME)
    assert found.macs == conv_macs(graph.module, FRAME)
    assert found.params == sum(p.numel() for p in graph.module.parameters())
    module = count_checkpoint(zoo_path(backbone), FRAME, norm="frozen")
    assert found.macs_elementwise == pytest.approx(module.macs_elementwise, rel=0.03)


def test_rewritten_networks_are_counted(tmp_path):
    graph = prepare(load_checkpoint("zoo:mobilenet"), norm="frozen")
    transposed = "split_concat@smooth,upsample_to_transposed@smooth"
    for number, text in enumerate((transposed, "upsample_to_pixelshuffle@final")):
        rewritten = apply_rewrites(graph, parse_steps(text))
        path = tmp_path / str(number)
        convert_fp32(rewritten, ExportSpec("ncnn-fp32", (64, 96)), path)
        assert count_ncnn(path, FRAME).macs == conv_macs(rewritten.module, FRAME)


def test_an_unknown_layer_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"model\.param: layer l: LSTM cannot be counted"):
        count_ncnn(_folder(tmp_path, "LSTM l 1 1 image y"), (32, 32))
