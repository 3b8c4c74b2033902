"""``deblur-run --ray`` on the command line, as far as no Ray is started."""

import subprocess
import sys
from pathlib import Path

import pytest
from edgedeblur.runtimes.archive import command
from edgedeblur.runtimes.archive.bundle import pack, unpack
from edgedeblur.runtimes.archive.ray_session import check_address

from tests.runtimes.cli_run.support import run, save
from tests.test_without_sdks import HIDE


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.onnx").write_bytes(b"model")
    monkeypatch.setattr(command, "check_artifact", lambda path: None)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--actors", "2"], "--actors needs --ray"),
        (["--name-column", "key"], "--name-column needs --ray"),
        (["--price", "0"], "--price needs --ray"),
        (["--ray", "--side-by-side"], "--ray is for pictures"),
        (["--ray", "in/a.png"], "'in/a.png' is no address of a Ray cluster"),
        (["--ray", "ray://head:10001"], "'ray://head:10001' is no address"),
        (["--actors", "0", "--ray"], "at least 1 is needed"),
        (["--gpus", "1.5", "--ray"], "'1.5' is not a fraction of 1"),
        (["--price", "nan", "--ray"], "'nan' is not a number"),
    ],
)
def test_wrong_usage(here, capsys, words, told):
    with pytest.raises(SystemExit, match="2"):
        run("in/a.png", "-o", "out", *words)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("address", ["local", "auto", "head:6379", "10.0.0.7:6379", "[::1]:6379"])
def test_addresses(address):
    assert check_address(address) == address


def test_errors_come_before_ray_starts(here, capsys, monkeypatch):
    monkeypatch.setattr(command, "ray_session", None)
    save("in/a.png")
    for words, told in (
        (["-o", "sharp.png"], "sharp.png names a file; with --ray, -o names a folder"),
        (["-o", "out", "--actors", "900"], "900 workers of 1 threads are more than this machine's"),
        (["-o", "in"], "would replace the input"),
    ):
        assert run("in", "--ray", *words) == 1
        assert told in capsys.readouterr().err


def test_a_folder_of_a_plain_run_is_kept(here, capsys, monkeypatch):
    monkeypatch.setattr(command, "ray_session", None)
    save("in/a.png")
    save("out/a.png", 7)
    assert run("in", "-o", "out", "--ray") == 1
    assert "a.png exists already, and no edgedeblur.json says what made it" in (
        capsys.readouterr().err
    )


def test_without_ray_it_says_what_to_install(here):
    save("in/a.png")
    code = (
        "import sys\nfrom edgedeblur.runtimes import cli\n"
        "from edgedeblur.runtimes.archive import command\n"
        "command.check_artifact = lambda path: None\n"
        "sys.exit(cli.main(['model.onnx', 'in', '-o', 'out', '--ray']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=["ray"]) + code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("deblur-run: error: ray cannot be imported")
    assert "pip install 'edgedeblur[ray]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(Path("out").glob("*.png")) == []


def test_help_loads_neither_ray_nor_fsspec():
    code = (
        "import sys\nfrom edgedeblur.runtimes.cli import build_parser\n"
        "build_parser().format_help()\n"
        "sys.exit(', '.join({'ray', 'fsspec', 'pyarrow', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_artifact_reaches_a_machine_that_lacks_it(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "net.openvino").mkdir(parents=True)
    for name in ("net.openvino/model.xml", "net.openvino/model.bin", "net.openvino.json"):
        (here / name).write_text(name)
    bundle = pack(here / "net.openvino")
    assert unpack(bundle, there) == here / "net.openvino"
    assert not there.exists()
    (here / "net.openvino" / "model.bin").write_text("altered since")
    copy = unpack(bundle, there)
    assert copy == there / bundle.sha256 / "net.openvino"
    assert (copy / "model.bin").read_text() == "net.openvino/model.bin"
    assert copy.with_name("net.openvino.json").read_text() == "net.openvino.json"
    (copy / "model.xml").write_text("damaged since")
    assert (unpack(bundle, there) / "model.xml").read_text() == "net.openvino/model.xml"
    assert [p.name for p in there.iterdir()] == [bundle.sha256]
