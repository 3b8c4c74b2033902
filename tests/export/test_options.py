"""Options that belong to a format, with targets made up here."""

from __future__ import annotations

import argparse
import dataclasses

import pytest
from edgedeblur.export import options as module
from edgedeblur.export.cli import main
from edgedeblur.export.options import add_format_options, option_values, unused_flags
from edgedeblur.export.registry import Option, get_target

ENGINE = dataclasses.replace(
    get_target("onnx-fp32"),
    name="engine-fp32",
    format="engine",
    options=(
        Option("--io", "what goes in and out", choices=("fp32", "uint8"), default="fp32"),
        Option("--opt-level", "builder effort", parse=int, default=3, metavar="N"),
        Option("--strict", "no fallback", parse=bool, default=False),
    ),
)
PHONE = dataclasses.replace(
    ENGINE,
    name="phone-fp32",
    format="phone",
    options=(Option("--io", "what goes in", choices=("image", "tensor"), default="image"),),
)
PLAIN = dataclasses.replace(get_target("onnx-fp32"), options=())


@pytest.fixture
def parse(monkeypatch):
    known = {t.name: t for t in (ENGINE, PHONE, PLAIN)}
    monkeypatch.setattr(module, "targets", lambda: known)
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_format_options(parser)
    return lambda *words: parser.parse_args(words)


def test_defaults_are_the_targets_own(parse):
    assert option_values(ENGINE, parse()) == {"io": "fp32", "opt_level": 3, "strict": False}
    assert option_values(PHONE, parse()) == {"io": "image"}
    assert option_values(PLAIN, parse()) == {}


def test_what_was_given_is_parsed(parse):
    given = parse("--io", "uint8", "--opt-level", "5", "--strict")
    assert option_values(ENGINE, given) == {"io": "uint8", "opt_level": 5, "strict": True}


def test_another_formats_word_is_refused(parse):
    with pytest.raises(ValueError, match="phone-fp32 has no --io uint8; known: image, tensor"):
        option_values(PHONE, parse("--io", "uint8"))
    with pytest.raises(argparse.ArgumentError, match="invalid choice: 'uint9'"):
        parse("--io", "uint9")


def test_options_of_no_chosen_target_are_found(parse):
    given = parse("--opt-level", "5", "--io", "image")
    assert unused_flags([ENGINE], given) == []
    assert unused_flags([PHONE], given) == ["--opt-level"]
    assert unused_flags([PLAIN], given) == ["--io", "--opt-level"]
    assert unused_flags([PHONE, ENGINE], given) == []


def test_free_size_of_a_fixed_format_is_wrong_usage(monkeypatch, capsys):
    fixed = dataclasses.replace(PLAIN, free_size=False)
    monkeypatch.setattr("edgedeblur.export.arguments.get_target", lambda _name: fixed)
    with pytest.raises(SystemExit) as stopped:
        main(["--target", "onnx-fp32", "--backbone", "mobilenet_dsc", "--dynamic"])
    assert stopped.value.code == 2
    assert "onnx-fp32 has a fixed size; leave out --dynamic" in capsys.readouterr().err
