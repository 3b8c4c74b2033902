"""What all commands share: their version, completion scripts, and help that is in groups."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import re
import shutil
import subprocess

import pytest
from edgedeblur.export.registry import targets

PARSERS = {
    "deblur-export": "edgedeblur.export.arguments",
    "deblur-quantize": "edgedeblur.quantize.cli",
    "deblur-compress": "edgedeblur.export.compress.cli",
    "deblur-run": "edgedeblur.runtimes.cli",
    "deblur-serve": "edgedeblur.runtimes.service.cli",
    "deblur-bench": "edgedeblur.benchmarks.arguments",
    "deblur-debug": "edgedeblur.export.debug.cli",
    "deblur-report": "edgedeblur.benchmarks.report.html.cli",
    "deblur-train": "edgedeblur.models.training.cli",
    "deblur-data": "edgedeblur.models.command.cli",
}


def parser_of(command: str) -> argparse.ArgumentParser:
    return importlib.import_module(PARSERS[command]).build_parser()


def printed(command: str, *argv: str, capsys) -> str:
    with pytest.raises(SystemExit) as ended:
        parser_of(command).parse_args(argv)
    assert ended.value.code == 0
    return capsys.readouterr().out


def groups(command: str) -> dict[str, set[str]]:
    return {
        str(group.title): {flag for a in group._group_actions for flag in a.option_strings}
        for group in parser_of(command)._action_groups
    }


def test_these_are_all_commands():
    scripts = importlib.metadata.distribution("edgedeblur").entry_points
    assert {script.name for script in scripts} == set(PARSERS)


@pytest.mark.parametrize("command", PARSERS)
def test_version_is_the_installed_one(command, capsys):
    installed = importlib.metadata.version("edgedeblur")
    assert printed(command, "--version", capsys=capsys) == f"{command} {installed}\n"


@pytest.mark.parametrize("command", PARSERS)
def test_bash_completion_parses_and_offers_every_option(command, capsys, tmp_path):
    script = printed(command, "--print-completion", "bash", capsys=capsys)
    path = tmp_path / "completion"
    path.write_text(script)
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    options = {flag for a in parser_of(command)._actions for flag in a.option_strings}
    assert options <= set(re.split(r"[\s()]+", script))


def completed(script: str, *words: str) -> list[str]:
    """What bash would offer for the last of the words typed."""
    line = " ".join(f"'{word}'" for word in words)
    asked = (
        f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
        f"_shtab_deblur_export; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    return sorted(done.stdout.split())


def test_bash_completes_targets_and_files(capsys, tmp_path, monkeypatch):
    script = printed("deblur-export", "--print-completion", "bash", capsys=capsys)
    assert completed(script, "deblur-export", "--target", "") == sorted(targets())
    assert completed(script, "deblur-export", "--target", "trt-i") == ["trt-int8"]
    assert completed(script, "deblur-export", "--norm", "") == ["frozen", "live"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.safetensors").touch()
    (tmp_path / "wood").mkdir()
    found = completed(script, "deblur-export", "--checkpoint", "w")
    assert [name.rstrip("/") for name in found] == ["weights.safetensors", "wood"]
    found = completed(script, "deblur-export", "--calib", "w")
    assert [name.rstrip("/") for name in found] == ["wood"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
@pytest.mark.parametrize("command", PARSERS)
def test_other_shells_get_their_own_script(command, shell, capsys, tmp_path):
    script = printed(command, "--print-completion", shell, capsys=capsys)
    assert {"zsh": f"#compdef {command}", "tcsh": f"complete {command}"}[shell] in script
    if shutil.which(shell):
        path = tmp_path / "completion"
        path.write_text(script)
        assert subprocess.run([shell, "-n", str(path)], check=False).returncode == 0


def test_options_of_a_format_stand_in_its_group():
    found = groups("deblur-export")
    owners: dict[str, set[str]] = {}
    for target in targets().values():
        for option in target.options:
            owners.setdefault(option.flag, set()).add(target.format)
    own = {
        form: {flag for flag, formats in owners.items() if formats == {form}}
        for form in ("coreml", "tflite", "trt")
    }
    assert found["Core ML targets"] == own["coreml"]
    assert found["TFLite targets"] == own["tflite"]
    assert found["TensorRT targets"] == own["trt"]
    assert found["Core ML, TFLite and TensorRT targets"] == {"--io"}
    assert found["int8 targets"] == {"--calib", "--calib-count", "--recipe", "--max-drop"}
    assert found["options"] == {
        "-h", "--help", "--version", "--print-completion", "--threads", "--json",
    }  # fmt: skip


def test_a_shared_flag_says_what_it_means_to_each_format():
    text = " ".join(parser_of("deblur-export").format_help().split())
    assert "Core ML and TFLite: what goes in and out: image (8-bit pixels) or tensor" in text
    assert "TensorRT: type of input and output; uint8 takes whole pictures" in text


@pytest.mark.parametrize("command", PARSERS)
def test_every_option_has_help_that_is_no_sentence(command):
    """One phrase each: lower case unless a name, no full stop, the default last."""
    pending = [parser_of(command)]
    seen = 0
    while pending:
        for action in pending.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
                continue
            seen += 1
            text = action.help or ""
            assert text, action.option_strings
            assert not text.endswith("."), text
            assert text.count("(default: ") <= text.count(";") + 1, text
    assert seen >= 8
