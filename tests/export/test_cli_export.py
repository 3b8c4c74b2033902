from __future__ import annotations

import dataclasses
import json

import pytest
from edgedeblur.export.arguments import parse_size
from edgedeblur.export.build import output_path
from edgedeblur.export.cli import main
from edgedeblur.export.registry import Target, get_target, register, targets, targets_markdown


def test_builds_and_reports_json(tmp_path, capsys):
    command = [
        "--backbone",
        "mobilenet_dsc",
        "--target",
        "onnx-fp32",
        "--size",
        "32x64",
        "-o",
        str(tmp_path),
        "--json",
    ]
    assert main(command) == 0
    body = json.loads(capsys.readouterr().out)
    name = "mobilenet_dsc_onnx-fp32_32x64.onnx"
    assert body["artifact"] == str(tmp_path / name)
    assert body["manifest"] == json.loads((tmp_path / f"{name}.json").read_text())
    assert body["manifest"]["parity"]["residual_snr_db"] >= 80
    assert main(command) == 1
    assert f"{name} exists already" in capsys.readouterr().err


def test_checkpoint_alone_tells_the_backbone(tmp_path, capsys, released_h5):
    command = [
        "--checkpoint",
        str(released_h5),
        "--target",
        "onnx-fp32",
        "--size",
        "96x128",
        "--norm",
        "frozen",
        "-o",
        str(tmp_path / "net.onnx"),
    ]
    assert main(command) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "freezing them changed the PyTorch output" in out
    assert "against PyTorch PSNR" in out


WHAT = ["--target", "onnx-fp32", "--backbone", "mobilenet_dsc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "onnx-fp23"], "unknown target 'onnx-fp23'; did you mean onnx-fp32"),
        (["--target", "onnx-fp32"], "--backbone is required unless --checkpoint"),
        (["--backbone", "mobilenet_dsc"], "--target is required"),
        (["--backbone", "mobilenet_dcs"], "did you mean mobilenet_dsc?"),
        ([*WHAT, "--size", "720x1280"], "multiples of 32; the next larger is 736x1280"),
        (["--size", "0x32"], "sides go from 1 to 8192"),
        (["--size", "32x99968"], "sides go from 1 to 8192"),
        (["--size", "64"], "'64' is not HEIGHTxWIDTH"),
        (["--size", "-32x32"], "expected one argument"),
        (["--threads", "many"], "'many' is not a number of threads"),
        (["--norm", "batch"], "invalid choice: 'batch'"),
    ],
)
def test_wrong_usage_exits_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("/nowhere/x.pth", "checkpoint /nowhere/x.pth: no such file"),
        ("zoo:nothing", "zoo:nothing: not shipped"),
    ],
)
def test_failures_are_one_line_and_exit_1(checkpoint, message, capsys, tmp_path):
    assert main(["--checkpoint", checkpoint, "--target", "onnx-fp32", "-o", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("deblur-export: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_backbone_without_checkpoint(capsys, tmp_path, monkeypatch):
    import edgedeblur.models.checkpoints.sources as sources

    monkeypatch.setattr(sources, "_ZOO", tmp_path)
    assert main(["--backbone", "mobilenet", "--target", "onnx-fp32", "-o", str(tmp_path)]) == 1
    assert "--checkpoint released (downloads fpn_mobilenet.h5" in capsys.readouterr().err


def test_checkpoint_of_another_backbone(capsys, released_h5, tmp_path):
    assert (
        main(
            [
                "--backbone",
                "mobilenet_dsc",
                "--checkpoint",
                str(released_h5),
                "--target",
                "onnx-fp32",
                "-o",
                str(tmp_path),
            ]
        )
        == 1
    )
    assert "holds a mobilenet checkpoint, not mobilenet_dsc" in capsys.readouterr().err


def test_output_that_cannot_be_a_folder(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert (
        main(
            [
                "--backbone",
                "mobilenet_dsc",
                "--target",
                "onnx-fp32",
                "--size",
                "32x32",
                "-o",
                str(tmp_path / "file" / "deeper"),
            ]
        )
        == 1
    )
    assert "cannot write into" in capsys.readouterr().err


def test_output_path(tmp_path):
    target = get_target("onnx-fp32")
    folder = tmp_path / "v1.2"
    folder.mkdir()

    def path(wanted, *, dynamic=False):
        return output_path(wanted, target, "mobilenet", (32, 64), dynamic=dynamic)

    assert path(tmp_path) == tmp_path / "mobilenet_onnx-fp32_32x64.onnx"
    assert path(folder, dynamic=True) == folder / "mobilenet_onnx-fp32_dynamic.onnx"
    assert path(tmp_path / "my.onnx") == tmp_path / "my.onnx"
    with pytest.raises(ValueError, match=r"onnx-fp32 writes \.onnx files"):
        path(tmp_path / "my.plan")


def test_parse_size():
    assert parse_size("736x1280") == (736, 1280)
    assert parse_size(" 32X64 ") == (32, 64)


def listed(capsys):
    """``--list --json`` by target, and ``--list`` as one line."""
    assert main(["--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["--list"]) == 0
    return {row["target"]: row for row in rows}, " ".join(capsys.readouterr().out.split())


def test_list_comes_from_the_registry(capsys):
    rows, out = listed(capsys)
    assert list(rows) == sorted(targets())
    for name, target in targets().items():
        assert rows[name]["build_needs"] == list(target.build_modules)
        assert rows[name]["run_needs"] == list(target.run_modules)
        assert name in out
    for heading in ("needs", "builds here", "runs here"):
        assert heading in out


@pytest.mark.parametrize(
    ("absent", "builds", "runs"),
    [
        ((), True, True),
        (("onnxslim",), False, True),
        (("onnxruntime",), True, False),
        (("onnxslim", "onnxruntime"), False, False),
    ],
)
def test_list_tells_building_from_running(capsys, monkeypatch, absent, builds, runs):
    import edgedeblur.export.summary as summary

    target = dataclasses.replace(
        get_target("onnx-fp32"), build_modules=("onnx", "onnxslim"), run_modules=("onnxruntime",)
    )
    monkeypatch.setattr(summary, "targets", lambda: {"onnx-fp32": target})
    monkeypatch.setattr(summary, "available", lambda module: module not in absent)
    rows, out = listed(capsys)
    row = rows["onnx-fp32"]
    assert (row["builds_here"], row["runs_here"]) == (builds, runs)
    assert row["missing"] == list(absent)
    cells = [cell.strip() for cell in out.split("│") if cell.strip()]
    words = {True: "yes", False: "no"}
    at = cells.index("onnx, onnxslim, onnxruntime")
    assert cells[at + 1 : at + 3] == [words[builds], words[runs]]
    hint = (
        f"onnx-fp32: missing {', '.join(absent)}; to export: "
        "pip install 'edgedeblur[export-onnx]'; only to run: pip install 'edgedeblur[onnxruntime]'"
    )
    assert (hint in out) == bool(absent)


def test_missing_package_is_named_with_the_extra(capsys, monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "onnxslim", None)
    assert main(["--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "-o", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "onnxslim cannot be imported" in err
    assert "pip install 'edgedeblur[export-onnx]'" in err
    assert list(tmp_path.iterdir()) == []


def test_registering_twice_raises():
    target = get_target("onnx-fp32")
    with pytest.raises(ValueError, match="registered twice"):
        register(target)
    with pytest.raises(ValueError, match="not <format>-<precision>"):
        register(Target(**{**vars(target), "name": "onnxfp32"}))


def test_readme_table_lists_all_targets():
    table = targets_markdown()
    assert all(f"| `{name}` |" in table for name in targets())


def test_live_norms_at_one_pixel_say_why_not(tmp_path, capsys):
    arguments = ["--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "--norm", "live"]
    assert main([*arguments, "--size", "32x32", "-o", str(tmp_path / "net.onnx")]) == 1
    err = capsys.readouterr().err
    assert "--norm live cannot be used at 32x32" in err
    assert "one pixel" in err
    assert list(tmp_path.iterdir()) == []


def test_exporting_in_the_other_norm_mode_warns(tmp_path, capsys, released_h5):
    def export(*source, norm):
        size = ["--size", "64x64", "--json", "--force", "-o", str(tmp_path / "net.onnx")]
        assert main([*source, "--target", "onnx-fp32", "--norm", norm, *size]) == 0
        out, err = capsys.readouterr()
        manifest = json.loads(out)["manifest"]
        assert manifest == json.loads((tmp_path / "net.onnx.json").read_text())
        return manifest["norm"], manifest["trained_norm"], err

    ours, released = ("--backbone", "mobilenet_dsc"), ("--checkpoint", str(released_h5))
    norm, trained, err = export(*ours, norm="live")
    assert (norm, trained) == ("live", "frozen")
    assert err.startswith("deblur-export: warning: these weights were trained for frozen norms and")
    assert "are exported with live ones" in err
    assert "says nothing about that difference" in err
    assert err.count("\n") == 1
    norm, trained, err = export(*released, norm="frozen")
    assert (norm, trained) == ("frozen", "live")
    assert "trained for live norms and are exported with frozen ones" in err
    assert export(*ours, norm="frozen") == ("frozen", "frozen", "")


def test_sizes_of_a_profile_are_the_networks_own(capsys):
    words = ["--backbone", "mobilenet_dsc", "--target", "trt-fp16", "--dynamic"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--profile", "32x32,64x96,64x97"])
    assert ended.value.code == 2
    assert "64x97" in capsys.readouterr().err
