from __future__ import annotations

import pytest
from edgedeblur.runtimes.run_ncnn.param_file import (
    Layer,
    array_setting,
    param_text,
    parse_param,
    with_blob_names,
)

TEXT = """7767517
3 3
Input                    in0                      0 1 in0
Convolution              conv_1                   1 1 in0 1 0=32 1=3 -23310=2,0.0,6.0 9=3
Concat                   cat                      2 1 in0 1 out0 0=0
"""


def test_layers_are_read_as_the_format_says():
    first, conv, cat = parse_param(TEXT, origin="x")
    assert (first.kind, first.inputs, first.outputs) == ("Input", (), ("in0",))
    assert conv == Layer(
        "Convolution", "conv_1", ("in0",), ("1",), {0: "32", 1: "3", -23310: "2,0.0,6.0", 9: "3"}
    )
    assert (conv.number(0), conv.number(5), conv.number(5, 7)) == (32, 0, 7)
    assert array_setting(conv, 10) == (0.0, 6.0)
    assert array_setting(cat, 10) == ()
    assert (cat.inputs, cat.outputs) == (("in0", "1"), ("out0",))


def test_what_is_written_is_read_again():
    layers = parse_param(TEXT, origin="x")
    text = param_text(layers)
    assert parse_param(text, origin="x") == layers
    assert text.splitlines()[:2] == ["7767517", "3 3"]


def test_blobs_are_renamed_and_layers_are_not():
    named = with_blob_names(parse_param(TEXT, origin="x"), {"in0": "image"})
    assert [layer.name for layer in named] == ["in0", "conv_1", "cat"]
    assert named[0].outputs == ("image",)
    assert named[2].inputs == ("image", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x: not an ncnn param file$"),
        ("7767518\n0 0\n", "x: not an ncnn param file$"),
        (TEXT.replace("3 3", "4 3"), "x: says 4 layers, holds 3"),
        (TEXT.replace("2 1 in0", "9 1 in0"), r"\(layer cat names too few blobs\)"),
        (TEXT.replace("0=0", "zero=0"), "x: not an ncnn param file"),
        (TEXT.replace("3 3", "three 3"), "x: not an ncnn param file"),
    ],
)
def test_other_files_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_param(text, origin="x")
