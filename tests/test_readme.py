from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "readme_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date(tables):
    assert tables.main(["--check"]) == 0


def test_an_outdated_readme_is_noticed_and_mended(tables, tmp_path, monkeypatch, capsys):
    stale = tmp_path / "README.md"
    current = tables.render((ROOT / "README.md").read_text())
    stale.write_text(current.replace("`onnx-fp32` |", "`onnx-fp33` |"))
    monkeypatch.setattr(tables, "README", stale)
    assert tables.main(["--check"]) == 1
    assert capsys.readouterr().err == "README.md is out of date; run: make readme\n"
    assert "onnx-fp33" in stale.read_text()  # checking writes nothing
    assert tables.main([]) == 0
    assert stale.read_text() == current
    assert tables.main(["--check"]) == 0


def test_a_readme_without_markers_is_an_error(tables):
    with pytest.raises(ValueError, match="no markers for targets"):
        tables.render("nothing")


def test_links_and_commands_exist():
    text = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for goal in re.findall(r"^    make ([a-z -]+?)(?: +#|$)", text, re.MULTILINE):
        assert all(f"\n{word}:" in makefile for word in goal.split()), goal


def test_options_in_the_tour_are_real():
    from edgedeblur.benchmarks.cli import build_parser as bench
    from edgedeblur.export.arguments import build_parser as export
    from edgedeblur.models.training.cli import build_parser as train
    from edgedeblur.quantize.cli import build_parser as quantize
    from edgedeblur.runtimes.cli import build_parser as run

    parsers = {
        "deblur-export": export(),
        "deblur-quantize": quantize(),
        "deblur-run": run(),
        "deblur-bench": bench(),
        "deblur-train": train(),
    }
    tour = (ROOT / "README.md").read_text().split("## A tour")[1].split("## Training")[0]
    lines = [line.split("  #")[0].split() for line in tour.splitlines() if "    deblur-" in line]
    assert len(lines) >= 8
    for words in lines:
        parsers[words[0]].parse_args(words[1:])
