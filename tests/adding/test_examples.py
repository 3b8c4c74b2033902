"""A made-up one of each kind, in a folder of its own, is found and runs; nothing is edited."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from edgedeblur.benchmarks.cli import main as bench
from edgedeblur.benchmarks.report.registry import format_for, formats, get_format
from edgedeblur.export.cli import main as export
from edgedeblur.export.prepare import prepare
from edgedeblur.export.registry import targets
from edgedeblur.export.rewrites.rewrite import apply_rewrites, parse_steps
from edgedeblur.export.rewrites.tune import candidates_for
from edgedeblur.models.checkpoints.checkpoint import (
    generator_from,
    load_checkpoint,
    save_checkpoint,
)
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.models.data import find_pairs
from edgedeblur.models.network.norm import norms
from edgedeblur.models.network.receptive_field import receptive_radius_px
from edgedeblur.models.network.registry import (
    backbone_names,
    build_generator,
    get_backbone,
    pyramid_names,
)
from edgedeblur.runtimes.cli import main as run
from edgedeblur.runtimes.pictures.read import read_picture
from edgedeblur.runtimes.registry import open_runner, runtimes

from .examples import PAGE, added, read_examples

SIZE = (64, 96)


@pytest.fixture(scope="module", autouse=True)
def _added(tmp_path_factory):
    with added(tmp_path_factory.mktemp("beside"), read_examples()):
        yield
    assert "program-fp32" not in targets()
    assert "five_convolutions" not in backbone_names()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint of the made-up backbone, with residuals that show."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "five.safetensors"
    save_checkpoint(build_generator("five_convolutions"), path, norm="frozen")
    return path


@pytest.fixture(scope="module")
def artifact(weights, tmp_path_factory):
    """The made-up backbone through the made-up target, by the command."""
    folder = tmp_path_factory.mktemp("artifact")
    arguments = ["--target", "program-fp32", "--checkpoint", str(weights), "--size", "64x96"]
    assert export([*arguments, "--output", str(folder), "--threads", "1"]) == 0
    return folder / "five_convolutions_program-fp32_64x96.pt2"


def test_the_page_has_one_example_of_each():
    assert [name.rpartition("/")[0] for name in read_examples()] == [
        "export",
        "runtimes",
        "models/network/backbones",
        "models/network/networks",
        "models/data/layouts",
        "benchmarks/report/formats",
    ]


def test_target_is_listed_with_what_it_needs(capsys):
    assert export(["--list", "--json"]) == 0
    rows = {row["target"]: row for row in json.loads(capsys.readouterr().out)}
    assert "onnx-fp32" in rows
    row = rows["program-fp32"]
    assert (row["file"], row["builds_here"], row["runs_here"]) == (".pt2", True, True)


def test_target_writes_what_the_runner_opens(artifact, weights, image):
    manifest = json.loads((artifact.parent / f"{artifact.name}.json").read_text())
    assert (manifest["target"], manifest["backbone"]) == ("program-fp32", "five_convolutions")
    assert 0 < manifest["parity"]["max_abs"] < 1e-5
    assert manifest["parity"]["ran_on"].startswith("ProgramRunner: cpu, 1 threads")
    assert runtimes()["program"].formats == (".pt2",)
    with torch.inference_mode():
        expected = generator_from(load_checkpoint(str(weights)))(torch.from_numpy(image)).numpy()
    assert np.abs(expected - image).max() > 0.01  # the network does something
    with open_runner(artifact, threads=1) as runner:
        assert np.abs(runner.infer(image) - expected).max() < 1e-4


def test_command_runs_the_artifact_on_a_picture(artifact, photo, tmp_path):
    from PIL import Image

    Image.fromarray(photo[:80, :120]).save(tmp_path / "a.png")
    assert run([str(artifact), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]) == 0
    with open_runner(artifact, threads=1) as runner:
        expected = runner.deblur(photo[:80, :120])
    (written,) = (tmp_path / "out").iterdir()
    assert np.abs(read_picture(written).pixels.astype(int) - expected).max() <= 1


def test_backbone_is_found_by_its_file_name(capsys):
    assert pyramid_names() == ("five_convolutions", "inception", "mobilenet", "mobilenet_dsc")
    assert {*pyramid_names(), "deblurgan"} <= set(backbone_names())
    assert get_backbone("five_convolutions").channels() == (8, 12, 16, 24, 32)
    with pytest.raises(SystemExit):
        export(["--help"])
    listed = " ".join(capsys.readouterr().out.split())
    assert "deblurgan, five_convolutions, inception, mobilenet, mobilenet_dsc" in listed


def test_backbone_gets_the_candidates_of_its_decoder(weights):
    texts = candidates_for("five_convolutions")
    assert texts == candidates_for("mobilenet_dsc") != candidates_for("mobilenet")
    graph = prepare(load_checkpoint(str(weights)), norm="frozen")
    image = torch.rand(1, 3, 64, 96) * 2 - 1
    for text in texts:
        rewritten = apply_rewrites(graph, parse_steps(text)).module
        with torch.no_grad():
            assert (rewritten(image) - graph.module(image)).abs().max() < 1e-5


def test_receptive_field_of_the_backbone_is_what_gradients_reach():
    generator = build_generator("five_convolutions").eval().double()
    for parameter in generator.parameters():
        parameter.data = parameter.data.abs() * 0.05 + 0.01
    for norm in norms(generator).values():
        norm.bias.data.fill_(0.5)
        norm.weight.data.fill_(1e-3)
    farthest = 0
    for row in range(320, 352):
        image = torch.zeros(1, 3, 672, 32, dtype=torch.double, requires_grad=True)
        generator(image)[0, 0, row, 16].backward()
        assert image.grad is not None
        rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
        farthest = max(farthest, row - int(rows.min()), int(rows.max()) - row)
    assert farthest == receptive_radius_px("five_convolutions")


def test_layout_is_recognised(tmp_path):
    for name in ("b_blurry", "b_sharp", "a_blurry", "a_sharp", "other"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    found = find_pairs(tmp_path)
    assert (found.layout, found.split) == ("one_folder", "all")
    assert [(p.name, p.blurry.name, p.sharps[0].name) for p in found.pairs] == [
        ("a", "a_blurry.png", "a_sharp.png"),
        ("b", "b_blurry.png", "b_sharp.png"),
    ]
    (tmp_path / "a_sharp.png").unlink()
    with pytest.raises(ValueError, match=r"a_blurry\.png: no a_sharp\.png beside it"):
        find_pairs(tmp_path)


def test_a_known_layout_comes_before_one_without_a_rank(tmp_path):
    for name in ("a_blurry.png", "a_sharp.png", "input/1.png", "target/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_pairs(tmp_path).layout == "flat:input/target"


def test_layout_stands_in_the_message_that_none_fits(tmp_path):
    with pytest.raises(ValueError, match=r"\(\*_test_list\.txt\), one folder \(NAME_blurry\.png"):
        find_pairs(tmp_path)


def test_command_reads_the_layout_and_writes_the_format_of_the_ending(photo, tmp_path):
    from PIL import Image

    for side in ("blurry", "sharp"):
        Image.fromarray(photo[:64, :96]).save(tmp_path / f"a_{side}.png")
    path = tmp_path / "result.csv"
    weights = zoo_path("mobilenet_dsc")
    what = ["--engine", str(weights), "--data", str(tmp_path), "--no-latency", "--no-quality"]
    assert bench([*what, "--report", str(path)]) == 0
    with path.open(newline="") as stream:
        heading, row = list(csv.reader(stream))
    assert heading == ["engine", "bytes"]
    assert "mobilenet_dsc" in row[0]
    assert row[1] == str(weights.stat().st_size)


def test_other_endings_stay_the_folder(tmp_path):
    assert list(formats()) == ["csv", "html", "json", "markdown", "table"]
    assert format_for(tmp_path / "result.CSV") is get_format("csv")
    for name in ("report", "report.json", "report.md", "v1.2"):
        assert format_for(tmp_path / name) is get_format("markdown")
    with pytest.raises(ValueError, match=r"'pdf'\. Known: csv, html, json, markdown, table"):
        get_format("pdf")


def test_two_formats_of_one_suffix_are_an_error_naming_both(tmp_path):
    code = read_examples()["benchmarks/report/formats/csv_file.py"]
    other = code.replace('ReportFormat("csv"', 'ReportFormat("commas"')
    with (
        added(tmp_path, {"benchmarks/report/formats/values.py": other}),
        pytest.raises(ValueError, match=r"'\.csv' is in formats/ twice: in csv_file.*values\.py"),
    ):
        formats()
    assert "commas" not in formats()


def test_the_examples_pass_the_linter(tmp_path):
    root = PAGE.parents[1]
    for name, code in read_examples().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    for command in ("check", "format --check"):
        ruff = [sys.executable, "-m", "ruff", *command.split(), "--no-cache"]
        settings = ["--config", str(root / "pyproject.toml"), str(tmp_path)]
        done = subprocess.run([*ruff, *settings], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
