"""Writing files so that a crash, a full disk or an interrupt leaves no half file behind."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their relative names, as lower-case hex."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size


def check_writable(target: Path, *, force: bool) -> None:
    """Fail early, before minutes of work, if ``target`` could not be written at the end.

    Raises:
        FileExistsError: ``target`` is there and ``force`` was not given.
        OSError: its folder cannot be made or written to.
    """
    if target.exists() and not force:
        raise FileExistsError(f"{target} exists already; choose another name or add --force")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot write into {target.parent} ({reason}); choose another output folder"
        raise OSError(message) from error


@contextlib.contextmanager
def replacing(target: Path) -> Generator[Path]:
    """Give a temporary path beside ``target``; rename it to ``target`` if the block succeeds.

    The temporary name keeps the suffix, since many writers choose the format by it. Whatever
    stands under the temporary name is removed if the block raises, and the old ``target`` stays.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the message names ``target``.
    """
    temporary_folder: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary_folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
        temporary = temporary_folder / target.name
        yield temporary
        if target.is_dir() and not target.is_symlink():
            _check_ours(target, temporary)
            target.replace(temporary_folder / "previous")  # deleted with the temporary folder
        temporary.replace(target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.filename is not None and temporary_folder is None:
            message = f"cannot write {target} ({error.strerror}); choose another output"
            raise OSError(message) from error
        if error.errno is not None and error.strerror:
            raise OSError(f"cannot write {target} ({error.strerror})") from error
        raise
    finally:
        if temporary_folder is not None:
            shutil.rmtree(temporary_folder, ignore_errors=True)


def _check_ours(target: Path, replacement: Path) -> None:
    """Refuse to replace a folder that holds anything the replacement does not bring itself.

    Raises:
        FileExistsError: ``target`` is somebody's folder, not an older version of ours.
    """
    names = {p.name for p in replacement.iterdir()} if replacement.is_dir() else set[str]()
    foreign = sorted(p.name for p in target.iterdir() if p.name not in names)
    if foreign or not replacement.is_dir():
        held = f" that holds {foreign[0]}" if foreign else ""
        raise FileExistsError(
            f"{target} is a folder{held} and would be lost; choose another name or move it away"
        )
