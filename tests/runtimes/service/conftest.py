import pytest
from edgedeblur.runtimes.service import answer
from edgedeblur.runtimes.service.backend import Replica

from tests.runtimes.service.support import Gated, opener, served, settings


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    from edgedeblur.export import cli as export_cli

    path = tmp_path_factory.mktemp("artifact") / "model.onnx"
    argv = ["--backbone", "mobilenet_dsc", "--target", "onnx-fp32", "--dynamic", "-o", str(path)]
    assert export_cli.main(argv) == 0
    return path


@pytest.fixture(scope="module")
def service():
    """A service with small limits over a network that inverts."""
    chosen = settings(body_bytes=1 << 20, pixels=100_000, body_s=1.0, header_s=1.0, uploads=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer, "open_runner", opener())
        replica = Replica(chosen)
    with served(replica, chosen) as running:
        yield running


@pytest.fixture
def port(service):
    return service.port


@pytest.fixture
def gated(monkeypatch):
    """Opens services whose pictures wait until ``Gated.gate`` is set."""
    Gated.gate.set()
    monkeypatch.setattr(answer, "open_runner", opener(Gated))

    def open_(**limits):
        chosen = settings(**limits)
        replica = Replica(chosen)  # infers once while it opens
        Gated.gate.clear()
        Gated.entered = 0
        return served(replica, chosen)

    yield open_
    Gated.gate.set()
