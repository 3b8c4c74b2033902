from __future__ import annotations

import dataclasses
import json

import edgedeblur.export.rewrites.tune as tune
import pytest
from edgedeblur.export.build import rewrite_steps
from edgedeblur.export.cli import main
from edgedeblur.export.registry import get_target, targets
from edgedeblur.export.rewrites.rewrite import parse_steps
from edgedeblur.export.rewrites.tables import PACKAGED_TABLE, best_rewrite
from edgedeblur.export.rewrites.tune import TimedCandidate, choose_fastest
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from edgedeblur.models.checkpoints.sources import zoo_names
from edgedeblur.models.network.registry import build_generator, get_backbone
from edgedeblur.runtimes.machine import cpu_family


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(tmp_path / "cache"))


def test_tuning_builds_times_records_and_resumes(tmp_path, capsys, monkeypatch):
    few = ("none", "compose_separable@final,upsample_to_pixelshuffle@final")
    monkeypatch.setattr(tune, "CANDIDATES", {"separable": few})
    command = ["--tune", "--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "--size",
               "64x96", "--rounds", "3", "-o", str(tmp_path / "built"), "--json"]  # fmt: skip
    assert main(command) == 0
    body = json.loads(capsys.readouterr().out)
    assert [c["rewrite"] for c in body["candidates"]] == list(few)
    assert all(
        0 < c["fastest_ms"] <= c["quartile_ms"] <= c["median_ms"] for c in body["candidates"]
    )
    table = json.loads((tmp_path / "cache" / "rewrites.json").read_text())
    entry = table[f"onnx-fp32/mobilenet_dsc/{cpu_family()}"]
    assert entry["candidates"] == body["candidates"]
    assert (entry["size"], entry["rounds"]) == ([64, 96], 3)
    choice = best_rewrite("onnx-fp32", "mobilenet_dsc")
    assert choice.rewrite == entry["rewrite"]
    assert f"{entry['machine']} ({cpu_family()}), 64x96" in choice.provenance
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "built").iterdir()}
    assert main(command) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "built").iterdir()} == stamps


def test_a_compressed_network_is_tuned_under_its_own_key(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tune, "CANDIDATES", {"separable": ("none",)})
    widths = dataclasses.replace(get_backbone("mobilenet_dsc").widths, smooth=16, smooth2=8)
    weights = tmp_path / "slim.safetensors"
    generator = build_generator("mobilenet_dsc", widths=widths).eval()
    save_checkpoint(generator, weights, norm="frozen", metadata={"network": "slim"})
    key = load_checkpoint(str(weights)).key
    assert key.startswith("mobilenet_dsc-")
    command = ["--tune", "--checkpoint", str(weights), "--target", "onnx-fp32", "--size", "32x32",
               "--rounds", "1", "-o", str(tmp_path / "built")]  # fmt: skip
    assert main(command) == 0
    table = json.loads((tmp_path / "cache" / "rewrites.json").read_text())
    assert list(table) == [f"onnx-fp32/{key}/{cpu_family()}"]
    assert next(iter(table)) in capsys.readouterr().out
    built = sorted(path.name for path in (tmp_path / "built").glob("*.onnx"))
    assert built == ["slim_onnx-fp32_32x32_0.onnx"]
    choice = best_rewrite("onnx-fp32", key)
    assert choice.provenance.startswith(f"tuned for {key} on ")
    assert "--tune" not in choice.provenance


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
    assert best_rewrite("nothing-fp32", "mobilenet").rewrite == "none"


def test_packaged_table_is_what_its_evidence_says():
    table = json.loads(PACKAGED_TABLE.read_text())
    keys = [load_checkpoint(f"zoo:{name}").key for name in zoo_names()]
    families = ("amx", "avx512")
    wanted = {f"{t}/{key}/{family}" for t in targets() for key in keys for family in families}
    assert set(table) <= wanted
    for entry in table.values():
        parse_steps(entry["rewrite"])
        measured = [TimedCandidate(**c) for c in entry["candidates"]]
        assert choose_fastest(measured).rewrite == entry["rewrite"]
        assert entry["machine"]


def test_tuning_with_free_size_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--tune", "--dynamic", "--backbone", "mobilenet_dsc", "--target", "onnx-fp32"])
    assert stopped.value.code == 2
    assert "--tune times one size" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["portable", "vulkan"])
def test_only_the_default_backend_is_tuned(backend, tmp_path, capsys):
    built = tmp_path / "built"
    command = ["--tune", "--backbone", "mobilenet_dsc", "--target", "executorch-fp32", "--size",
               "64x96", "--backend", backend, "-o", str(built)]  # fmt: skip
    assert main(command) == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            "the table of rewrites holds executorch-fp32 with --backend xnnpack only; leave out "
            "--backend, or choose with --rewrite"
        )
    )
    assert not built.exists()
    assert not (tmp_path / "cache" / "rewrites.json").exists()


@pytest.mark.heavy
@pytest.mark.parametrize("target", ["executorch-fp32", "executorch-int8", "ncnn-fp16", "ncnn-int8"])
def test_runtimes_of_phones_are_tuned(target, tmp_path, capsys, monkeypatch):
    pytest.importorskip(get_target(target).run_modules[0])
    few = ("none", "compose_separable@final,upsample_to_transposed@final")
    monkeypatch.setattr(tune, "CANDIDATES", {"separable": few})
    command = ["--tune", "--backbone", "mobilenet_dsc", "--target", target, "--size", "64x96",
               "--rounds", "1", "--threads", "2", "--json"]  # fmt: skip
    command += ["-o", str(tmp_path / "built")]
    if target.endswith("int8"):
        command += ["--calib-count", "2", "--max-drop", "9"]  # too few pictures to be good
    assert main(command) == 0
    measured = json.loads(capsys.readouterr().out)["candidates"]
    assert [c["rewrite"] for c in measured] == list(few)
    assert all((c["residual_snr_db"] is not None) == target.endswith("int8") for c in measured)
    assert best_rewrite(target, "mobilenet_dsc").provenance.endswith("64x96, 2 threads")
