"""A Python for 64-bit Arm in a folder: Debian's packages, unpacked, and wheels from the index.

Nothing is installed on the machine itself. Needs ``qemu-aarch64-static`` and Debian's apt-get.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

QEMU = "qemu-aarch64-static"
ROOT = Path(__file__).parent.parent.parent
_DEBIAN = ("python3.11-minimal", "libpython3.11-stdlib", "libgomp1", "libstdc++6")
_APT = """\
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
"""


class ArmPython:
    """Runs Python files as a 64-bit Arm machine would.

    Args:
        folder: Where it lies; made if it is not there (90 MB).

    Raises:
        RuntimeError: QEMU or apt-get is missing; the message says what to install.
    """

    def __init__(self, folder: Path) -> None:
        lacking = [tool for tool in (QEMU, "apt-get", "dpkg-deb") if shutil.which(tool) is None]
        if lacking:
            raise RuntimeError(
                f"{', '.join(lacking)} not found: this needs Debian, and "
                "apt-get install qemu-user-static"
            )
        self._root, self._wheels = folder / "root", folder / "wheels"
        if not (folder / "ready").exists():
            self._root.mkdir(parents=True, exist_ok=True)
            _unpack_debian(folder / "apt", self._root)
            _install_wheels(self._wheels)
            (folder / "ready").touch()

    def run(self, script: Path, *arguments: str) -> str:
        """What the script prints."""
        settings = {"PYTHONPATH": str(self._wheels), "OMP_WAIT_POLICY": "PASSIVE"}
        settings["PYTHONDONTWRITEBYTECODE"] = "1"
        given = [word for key, value in settings.items() for word in ("-E", f"{key}={value}")]
        python = self._root / "usr/bin/python3.11"
        command = [QEMU, "-L", str(self._root), *given, str(python), str(script), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _unpack_debian(apt: Path, root: Path) -> None:
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text("deb http://deb.debian.org/debian bookworm main\n")
    (apt / "apt.conf").write_text(_APT.format(folder=apt))
    env = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    subprocess.run(["apt-get", "--quiet", "update"], env=env, check=True)
    fetch = ["apt-get", "--quiet", "--yes", "--download-only", "install", *_DEBIAN]
    subprocess.run(fetch, env=env, check=True)
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)


def _install_wheels(folder: Path) -> None:
    """This environment's versions, for Arm; of this package the folders that run artifacts."""
    platforms = [f"manylinux_2_{glibc}_aarch64" for glibc in (36, 34, 28, 27, 24, 17)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--python-version",
               "3.11", "--only-binary", ":all:", "--target", str(folder),
               *(word for name in platforms for word in ("--platform", name)),
               *(f"{name}=={version(name)}" for name in ("ncnn", "numpy"))]  # fmt: skip
    subprocess.run(command, check=True)
    (folder / "edgedeblur").mkdir(exist_ok=True)
    for room in ("models", "runtimes"):
        (folder / "edgedeblur" / room).symlink_to(ROOT / room)
