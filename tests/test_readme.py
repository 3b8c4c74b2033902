from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "readme_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date(tables):
    assert tables.main(["--check"]) == 0


def test_an_outdated_page_is_noticed_and_mended(tables, tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    for page in tables.PAGES:
        (tmp_path / page).write_text((ROOT / page).read_text())
    stale = tmp_path / "README.md"
    current = stale.read_text()
    stale.write_text(current.replace("`onnx-fp32` |", "`onnx-fp33` |"))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "file_map", lambda: tables.render.__doc__)
    assert tables.main(["--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in told] == ["README.md", "docs/MAP.md"]
    assert "onnx-fp33" in stale.read_text()  # checking writes nothing
    assert tables.main([]) == 0
    assert stale.read_text() == current
    assert tables.main(["--check"]) == 0


def test_a_page_without_markers_is_an_error(tables):
    with pytest.raises(ValueError, match=r"docs/MAP\.md has no markers for map"):
        tables.render("docs/MAP.md", "nothing")


def test_links_and_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        text = page.read_text()
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        for goal in re.findall(r"^    make ([a-z -]+?)(?: +#|$)", text, re.MULTILINE):
            assert all(f"\n{word}:" in makefile for word in goal.split()), goal


def test_commands_in_the_pages_are_real():
    from edgedeblur.benchmarks.arguments import build_parser as bench
    from edgedeblur.benchmarks.report.html.cli import build_parser as report
    from edgedeblur.export.arguments import build_parser as export
    from edgedeblur.export.compress.cli import build_parser as compress
    from edgedeblur.export.debug.cli import build_parser as debug
    from edgedeblur.models.command.cli import build_parser as data
    from edgedeblur.models.training.cli import build_parser as train
    from edgedeblur.quantize.cli import build_parser as quantize
    from edgedeblur.runtimes.cli import build_parser as run
    from edgedeblur.runtimes.service.cli import build_parser as serve

    parsers = {
        "deblur-export": export(),
        "deblur-quantize": quantize(),
        "deblur-compress": compress(),
        "deblur-run": run(),
        "deblur-serve": serve(),
        "deblur-bench": bench(),
        "deblur-report": report(),
        "deblur-debug": debug(),
        "deblur-train": train(),
        "deblur-data": data(),
    }
    told = "\n".join(page.read_text().replace("\\\n", " ") for page in PAGES)
    lines = [line.split("  #")[0].split() for line in told.splitlines() if "    deblur-" in line]
    assert len(lines) >= 20
    for words in lines:
        if "--print-completion" in words:  # prints and ends; the words after it are the shell's
            with pytest.raises(SystemExit, match="0"):
                parsers[words[0]].parse_args(words[1:3])
            continue
        parsers[words[0]].parse_args(words[1:])


def test_the_summary_keeps_the_fastest_of_each_kind():
    from edgedeblur.benchmarks.report.readme import summary_markdown

    folder = ROOT / "benchmarks" / "results"
    tables = summary_markdown(folder).split("| engine |")[1:]
    files = sorted(folder.glob("samples_*_736x1280_*.json"))
    assert len(tables) == len(files) == 3
    for table, file in zip(tables, files, strict=True):
        shown = [line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:] if "|" in line]
        assert 4 <= len(shown) <= 11
        fastest = {}
        for row in json.loads(file.read_text())["rows"]:
            if not row["is_reference"] and row.get("baseline") != "stock":
                kind = (row["runtime"], row.get("baseline"), row["target"].endswith("-int8"))
                time_ms = row["latency"]["infer"]["median_ms"]
                fastest[kind] = min(fastest.get(kind, (time_ms, row["engine"])),
                                    (time_ms, row["engine"]))  # fmt: skip
        assert set(shown) == {engine for _, engine in fastest.values()}
