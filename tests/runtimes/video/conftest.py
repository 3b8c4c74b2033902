from pathlib import Path
from types import SimpleNamespace

import pytest
from edgedeblur.runtimes.video import command

from tests.runtimes.cli_run.support import manifest
from tests.runtimes.video.support import Identity


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def opened(here, monkeypatch):
    """``deblur-run model.onnx`` opens ``opened.runner``, which gives back its input."""
    Path("model.onnx").write_bytes(b"weights")
    calls = SimpleNamespace(runner=Identity, hints=[])

    def open_runner(path, *, threads, device, hint):
        calls.hints.append(hint)
        return calls.runner(Path(path), manifest(), threads=threads or 1, device=device, hint=hint)

    monkeypatch.setattr(command, "open_runner", open_runner)
    monkeypatch.setattr(command, "check_artifact", lambda path: None)
    return calls
