"""Carries an artifact to workers on other machines: the file or folder, with its manifest."""

from __future__ import annotations

import getpass
import io
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..artifact import manifest_path
from ..files import sha256_of


@dataclass(frozen=True)
class Bundle:
    """An artifact in memory. ``path``: where it is on the machine that packed it."""

    path: str
    sha256: str
    packed: bytes


def pack(path: Path) -> Bundle:
    """Read an artifact, and its manifest if it has one (checkpoints describe themselves)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(path, path.name)
        manifest = manifest_path(path)
        if manifest.exists():
            archive.add(manifest, manifest.name)
    return Bundle(str(path.resolve()), sha256_of(path), stream.getvalue())


def unpack(bundle: Bundle, folder: Path | None = None) -> Path:
    """The artifact's path on this machine: where it was packed, if it is there, else a copy.

    Copies stay in the temporary folder, named after their hash, for the other workers and for
    later runs.

    Args:
        bundle: From `pack`.
        folder: Where copies are kept; None: the system's temporary folder.
    """
    here = Path(bundle.path)
    if here.exists() and sha256_of(here) == bundle.sha256:
        return here
    root = folder or Path(tempfile.gettempdir()) / f"edgedeblur-{getpass.getuser()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = root / bundle.sha256
    copy = target / here.name
    if not (copy.exists() and sha256_of(copy) == bundle.sha256):
        _extract(bundle, root, target)
    return copy


def _extract(bundle: Bundle, root: Path, target: Path) -> None:
    temporary = Path(tempfile.mkdtemp(dir=root))
    try:
        with tarfile.open(fileobj=io.BytesIO(bundle.packed)) as archive:
            archive.extractall(temporary, filter="data")
        if target.exists():  # an earlier copy that was damaged since
            target.rename(temporary / "previous")
        try:
            os.rename(temporary, target)  # noqa: PTH104 - Path.rename says the same
        except OSError:
            if not target.exists():
                raise  # else another worker was faster
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
