from pathlib import Path
from types import SimpleNamespace

import pytest
from edgedeblur.runtimes import cli

from tests.runtimes.cli_run.support import Inverter, manifest


@pytest.fixture
def opened(monkeypatch):
    """Calls of open_runner; ``opened.norm`` and ``opened.size`` set what the artifact is."""
    calls = SimpleNamespace(list=[], norm="frozen", size=None)

    def open_runner(path, *, threads, device):
        calls.list.append((path, threads, device))
        described = manifest(calls.norm, calls.size)
        return Inverter(Path(path), described, threads=threads or 1, device=device)

    monkeypatch.setattr(cli, "open_runner", open_runner)
    monkeypatch.setattr(cli, "check_artifact", lambda path: None)
    return calls


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path
