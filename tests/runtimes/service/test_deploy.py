"""The container's and the cluster's files agree with the package, as far as text shows it."""

import re
from pathlib import Path

import pytest
import yaml
from edgedeblur.runtimes.service import cli, replicas
from edgedeblur.runtimes.service.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "runtimes" / "service" / "deploy"


@pytest.fixture(scope="module")
def manifest():
    return yaml.safe_load((DEPLOY / "rayservice.yaml").read_text())


def locked(name):
    (line,) = re.findall(rf"^{name}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return line


def test_the_cluster_serves_what_the_package_has(manifest):
    (application,) = yaml.safe_load(manifest["spec"]["serveConfigV2"])["applications"]
    module, _, name = application["import_path"].partition(":")
    assert module == replicas.__name__
    assert callable(getattr(replicas, name))
    settings = Settings.from_dict(application["args"])
    assert settings.threads * settings.replicas <= 4
    assert settings.limits.answer_s < 90  # Ray's own limit, above it


def test_versions_are_the_locks(manifest):
    assert manifest["spec"]["rayClusterConfig"]["rayVersion"] == locked("ray")


def test_nothing_runs_as_root(manifest):
    cluster = manifest["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert lines.index("USER 10001") < next(
        number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )


def test_the_image_copies_what_exists_and_starts_the_command():
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    names = [name for names in copied for name in names if not name.startswith(("-", "/"))]
    assert names
    assert all((ROOT / name).exists() for name in names)
    assert all(":" in image for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    (entry,) = re.findall(r"^ENTRYPOINT (.*)", text, re.MULTILINE)
    command, *words = yaml.safe_load(entry)
    assert command == "deblur-serve"
    arguments = cli.build_parser().parse_args([*words, "model.onnx"])
    assert (arguments.host, arguments.port) == ("0.0.0.0", 8000)
