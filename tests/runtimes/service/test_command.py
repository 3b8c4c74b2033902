"""`deblur-serve` as a command: its words, what is missing, and its end, without Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edgedeblur.runtimes.service import cli
from edgedeblur.runtimes.service.public_manifest import public_manifest
from edgedeblur.runtimes.service.settings import Limits, Settings

from tests.runtimes.service.support import InBackground, ask, deblur, encoded, until

ROOT = Path(__file__).parents[3]


def parsed(*words):
    return cli.settings_of(cli.build_parser().parse_args(["model.onnx", *words]))


def test_words_become_settings():
    settings = parsed(
        "--replicas", "2", "--max-replicas", "4", "--threads", "3", "--max-batch", "5", "--queue",
        "7", "--max-mib", "2", "--max-megapixels", "9", "--timeout", "8", "--body-timeout", "6",
        "--tile", "64x96", "--quality", "80",
    )  # fmt: skip
    assert (settings.replicas, settings.most_replicas, settings.threads) == (2, 4, 3)
    assert settings.capacity == 4 * 5 + 7
    limits = settings.limits
    assert (limits.body_bytes, limits.pixels) == (2 << 20, 9_000_000)
    assert (limits.answer_s, limits.body_s) == (8, 6)
    assert settings.options.tile == (64, 96)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_threads_share_the_cores(monkeypatch):
    monkeypatch.setattr(cli, "usable_cores", lambda: 8)
    assert parsed("--replicas", "3").threads == 2
    assert parsed("--replicas", "16").threads == 1


@pytest.mark.parametrize(("words", "told"), [
    (["--max-replicas", "1", "--replicas", "2"], "less than --replicas"),
    (["--in-process", "--replicas", "2"], "leave out --replicas"),
    (["--in-process", "--ray", "auto"], "not allowed with"),
    (["--port", "70000"], "65535"), (["--queue", "0"], "1 or more"),
    (["--timeout", "x"], "seconds"),
])  # fmt: skip
def test_usage_errors(capsys, words, told):
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_settings_that_do_not_exist():
    with pytest.raises(ValueError, match="artifact"):
        Settings.from_dict({"replicas": 1})
    with pytest.raises(ValueError, match="unexpected keyword"):
        Settings.from_dict({"artifact": "a", "limits": {"byte": 1}})
    assert Settings.from_dict({"artifact": "a"}).limits == Limits()


@pytest.mark.parametrize(("text", "shown"), [
    ("/home/me/run/best.safetensors", "best.safetensors"), ("runs/a/best.pth", "best.pth"),
    ("C:\\weights\\best.pth", "best.pth"), ("~/photos/", "photos"),
    ("zoo:mobilenet", "zoo:mobilenet"),
    ("cpu, 2 threads, fp32", "cpu, 2 threads, fp32"), ("samples (flat:blurry/sharp, all)",
    "samples (flat:blurry/sharp, all)"),
])  # fmt: skip
def test_paths_in_a_manifest(text, shown):
    assert public_manifest({"a": {"b": [text]}, "digest": "x"}) == {"a": {"b": [shown]}}


def test_an_artifact_that_is_not_there(capsys, tmp_path):
    assert cli.main([str(tmp_path / "model.onnx"), "--in-process"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_package_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["model.onnx"]) == 1
    assert "pip install 'edgedeblur[serve]'" in capsys.readouterr().err


@pytest.fixture
def process(tmp_path):
    """The command, with a network that inverts and takes 0.3 s."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from edgedeblur.runtimes.service import answer, cli\n"
        "from tests.runtimes.service.support import Inverter, opener\n"
        "class Slow(Inverter):\n"
        "    def _infer(self, image):\n"
        "        time.sleep(0.3)\n"
        "        return -image\n"
        "answer.open_runner = opener(Slow); cli.check_artifact = lambda path: None\n"
        "sys.exit(cli.main(['model.onnx', '--in-process', '--port', '0', '--json',"
        " '--max-batch', '1', '--drain-delay', '0.2']))"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    yield started
    started.kill()
    started.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_once_all_pictures_are_answered(process, number):
    text = ""
    while not text.endswith("}\n") or text.count("{") != text.count("}"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        text += line
    told = json.loads(text)
    assert told["settings"]["at_once"] == 1
    port = int(told["address"].rpartition(":")[2])
    assert ask(port, path="/readyz")[0] == 200
    pictures = [InBackground(deblur, port, encoded(seed=n)) for n in range(5)]
    until(lambda: b"deblur_pictures_inside 5.0" in ask(port, path="/metrics")[2])
    process.send_signal(number)
    assert [picture.result()[0] for picture in pictures] == [200] * 5
    begin = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - begin < 10
    assert process.stderr.read() == "ending: 5 pictures inside\n"
