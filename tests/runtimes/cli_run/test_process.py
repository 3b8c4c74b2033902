"""`deblur-run` as a process: what it imports, closed and broken streams, encodings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.runtimes.pictures.read import read_picture

from tests.runtimes.cli_run.support import files, pixels, save


def test_help_loads_no_library():
    code = (
        "import sys\n"
        "from edgedeblur.runtimes.cli import build_parser\n"
        "build_parser().format_help()\n"
        "heavy = {'cv2', 'PIL', 'tifffile', 'rich', 'onnxruntime', 'torch'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _script(here, *, shell):
    """Runs the real command under a shell, with a runner that needs no artifact."""
    for name in ("a", "b", "c"):
        save(f"in/{name}.png")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r});"
        "from tests.runtimes.cli_run import support; from edgedeblur.runtimes import cli;"
        "from pathlib import Path;"
        "cli.open_runner = lambda path, *, threads, device:"
        " support.Inverter(Path(path), support.manifest(), threads=1, device='cpu');"
        "sys.exit(cli.main(['model.onnx', *sys.argv[1:]]))"
    )
    Path("run.py").write_text(code)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell.format(run=f"{sys.executable} run.py")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_reader_that_goes_away_does_not_stop_the_run(here):
    done = _script(here, shell="{run} in -o out | true")
    assert files("out") == ["out/a.png", "out/b.png", "out/c.png"]
    assert done.stderr == ""


def test_a_reader_that_goes_away_does_not_matter_to_a_finished_run(here):
    for name in "abc":
        save(f"out/{name}.png")
    done = _script(here, shell="{run} in -o out --skip-existing | true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(here, closed):
    done = _script(here, shell="{run} in -o out " + closed)
    assert done.returncode == 0
    assert files("out") == ["out/a.png", "out/b.png", "out/c.png"]
    assert "Traceback" not in done.stderr
    for name in "abc":  # nothing was printed into a picture that got the closed stream's number
        np.testing.assert_array_equal(read_picture(f"out/{name}.png").pixels, 255 - pixels())


def test_names_that_the_terminal_cannot_show(here):
    save("in/caf\u00e9.png")
    done = _script(here, shell="PYTHONIOENCODING=ascii {run} in -o out")
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9.png" in done.stdout
