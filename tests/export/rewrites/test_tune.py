from __future__ import annotations

import json

import edgedeblur.export.rewrites.tune as tune
import pytest
from edgedeblur.export.build import rewrite_steps
from edgedeblur.export.cli import main
from edgedeblur.export.registry import get_target, targets
from edgedeblur.export.rewrites.rewrite import parse_steps
from edgedeblur.export.rewrites.tune import TimedCandidate, best_rewrite, choose_fastest
from edgedeblur.models.network.registry import backbone_names


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(tmp_path / "cache"))


def test_tuning_builds_times_records_and_resumes(tmp_path, capsys, monkeypatch):
    few = ("none", "compose_separable@final,upsample_to_pixelshuffle@final")
    monkeypatch.setattr(tune, "CANDIDATES", {"mobilenet_dsc": few})
    command = ["--tune", "--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "--size",
               "64x96", "--rounds", "3", "-o", str(tmp_path / "built"), "--json"]  # fmt: skip
    assert main(command) == 0
    body = json.loads(capsys.readouterr().out)
    assert [c["rewrite"] for c in body["candidates"]] == list(few)
    assert all(
        0 < c["fastest_ms"] <= c["quartile_ms"] <= c["median_ms"] for c in body["candidates"]
    )
    entry = json.loads((tmp_path / "cache" / "rewrites.json").read_text())[
        "onnx-fp32/mobilenet_dsc"
    ]
    assert entry["candidates"] == body["candidates"]
    assert (entry["size"], entry["rounds"]) == ([64, 96], 3)
    text, where = best_rewrite("onnx-fp32", "mobilenet_dsc")
    assert text == entry["rewrite"]
    assert entry["machine"] in where
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "built").iterdir()}
    assert main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "built").iterdir()} == stamps


def test_choice_needs_a_margin_over_the_stock_graph():
    stock, close, fast = (
        TimedCandidate("none", 90, 80, 7),
        TimedCandidate("a", 70, 79, 6),
        TimedCandidate("b", 95, 60, 59),
    )
    assert choose_fastest([stock, close]) is stock
    assert choose_fastest([stock, close, fast]) is fast


def test_choice_keeps_to_candidates_that_keep_the_residual():
    stock = TimedCandidate("none", 90, 80, 7, 0.01, 22.0)
    destroyed = TimedCandidate("a", 70, 60, 59, 0.02, 19.9)
    faithful = TimedCandidate("b", 75, 65, 59, 0.02, 20.0)
    assert choose_fastest([stock, destroyed, faithful]) is faithful
    assert choose_fastest([stock, destroyed]) is stock
    worse = TimedCandidate("none", 90, 80, 7, 0.01, 19.0)
    assert choose_fastest([worse, destroyed]) is destroyed  # none keeps it: time decides
    assert choose_fastest([destroyed, faithful]) is faithful
    noise = TimedCandidate("c", 50, 40, 39, 0.02, 0.0)
    assert choose_fastest([stock, noise, faithful]) is faithful


def test_auto_is_none_for_live_norms_and_unknown_targets():
    target = get_target("onnx-fp32")
    assert rewrite_steps("auto", target, "mobilenet", "live") == ()
    assert best_rewrite("nothing-fp32", "mobilenet")[0] == "none"


def test_packaged_table_is_what_its_evidence_says():
    table = json.loads(tune.PACKAGED_TABLE.read_text())
    wanted = {f"{t}/{b}" for t in targets() for b in backbone_names()}
    assert set(table) <= wanted
    for entry in table.values():
        parse_steps(entry["rewrite"])
        measured = [TimedCandidate(**c) for c in entry["candidates"]]
        assert choose_fastest(measured).rewrite == entry["rewrite"]
        assert entry["machine"]


def test_damaged_table_is_named(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "rewrites.json").write_text("{")
    with pytest.raises(ValueError, match=r"rewrites\.json: not JSON"):
        best_rewrite("onnx-fp32", "mobilenet")


def test_tuning_with_free_size_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--tune", "--dynamic", "--backbone", "mobilenet_dsc", "--target", "onnx-fp32"])
    assert stopped.value.code == 2
    assert "--tune times one size" in capsys.readouterr().err
