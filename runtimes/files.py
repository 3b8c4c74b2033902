"""Writes files atomically: a crash, a full disk or an interrupt leaves no half file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

PARTIAL_PREFIX = ".partial-"  # of temporary files and folders beside their targets
PREVIOUS_PREFIX = "previous-"  # of older targets, moved into the temporary folder


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
        FileExistsError: ``target`` exists and ``force`` was not given.
        OSError: its folder cannot be created or written to.
    """
    check_absent(target, force=force)
    check_folder_writable(target.parent)


def check_absent(target: Path, *, force: bool) -> None:
    """Refuse an existing ``target``, unless it may be overwritten.

    Raises:
        FileExistsError: ``target`` is there and ``force`` was not given.
    """
    if target.exists() and not force:
        raise FileExistsError(f"{target} exists already; choose another name or add --force")


def check_folder_writable(folder: Path) -> None:
    """Make ``folder`` if it is missing, and try to create a file in it.

    Raises:
        OSError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot write into {folder} ({reason}); choose another output folder"
        raise OSError(message) from error


@contextlib.contextmanager
def replacing(target: Path) -> Generator[Path]:
    """Yield a temporary path beside ``target``; rename it to ``target`` if the block succeeds.

    The temporary name keeps the suffix, because many writers choose the format by it. If the block
    raises, the temporary file is removed and the old ``target`` stays.

    Raises:
        FileExistsError: ``target`` is a folder that holds other files.
        OSError: the folder cannot be written, or the disk is full; the message names ``target``.
    """
    with replacing_all((target,)) as (temporary,):
        yield temporary


@contextlib.contextmanager
def replacing_all(targets: Sequence[Path]) -> Generator[tuple[Path, ...]]:
    """`replacing` for files that belong together: all are renamed, or none is.

    The block must write every temporary path. If a rename fails, the earlier ones are rolled back,
    so that the older files stay whole and together.

    Args:
        targets: At least one, all in the same folder.

    Raises:
        FileExistsError: a target is a folder that holds other files.
        OSError: the folder cannot be written, or the disk is full; the message names a target. If
            the rollback failed too, it names the folder that holds the older files.
        ValueError: no targets, or in different folders.
    """
    parents = {target.parent for target in targets}
    if len(parents) != 1:
        raise ValueError(f"files in {len(parents)} folders cannot be replaced together")
    folder: Path | None = None
    keep = False
    try:
        targets[0].parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=targets[0].parent))
        temporaries = tuple(folder / target.name for target in targets)
        yield temporaries
        _swap(tuple(zip(temporaries, targets, strict=True)), folder)
    except _RollbackError:
        keep = True
        raise
    except FileExistsError:
        raise
    except OSError as error:
        named = [target for target in targets if target.name == Path(str(error.filename)).name]
        target = (*named, targets[0])[0]
        if error.filename is not None and folder is None:
            message = f"cannot write {target} ({error.strerror}); choose another output"
            raise OSError(message) from error
        if error.errno is not None and error.strerror:
            raise OSError(f"cannot write {target} ({error.strerror})") from error
        raise
    finally:
        if folder is not None and not keep:
            shutil.rmtree(folder, ignore_errors=True)


class _RollbackError(OSError):
    """A rename failed, and so did the rollback of the earlier ones."""


def _swap(pairs: Sequence[tuple[Path, Path]], folder: Path) -> None:
    """Rename each temporary path to its target; roll all back if one fails.

    Older targets move into ``folder`` and are deleted with it.
    """
    moves: list[tuple[Path, Path]] = []
    for number, (temporary, target) in enumerate(pairs):
        if not _exists(temporary):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(temporary))
        is_folder = target.is_dir() and not target.is_symlink()
        if is_folder:
            _check_replaceable(target, temporary)
        # The last one is never rolled back, so a file there is replaced in a single step.
        if is_folder or (number < len(pairs) - 1 and _exists(target)):
            moves.append((target, folder / f"{PREVIOUS_PREFIX}{number}"))
        moves.append((temporary, target))
    try:
        for source, destination in moves:
            source.replace(destination)
    except BaseException:  # an interrupt, too, must not separate them
        if _exists(pairs[-1][0]):  # else all are renamed already
            _roll_back(moves, folder)
        raise


def _roll_back(moves: Sequence[tuple[Path, Path]], folder: Path) -> None:
    """Undo the completed ``moves``, the last one first."""
    try:
        for source, destination in reversed(moves):
            if _exists(destination) and not _exists(source):
                destination.replace(source)
    except OSError as error:
        raise _RollbackError(
            f"cannot write {moves[-1][1]} ({error.strerror}); the older files are in "
            f"{folder}, move them back by hand"
        ) from error


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _check_replaceable(target: Path, replacement: Path) -> None:
    """Refuse to replace a folder that holds files which the replacement does not have.

    Raises:
        FileExistsError: ``target`` is a folder with other files.
    """
    names = {p.name for p in replacement.iterdir()} if replacement.is_dir() else set[str]()
    others = sorted(p.name for p in target.iterdir() if p.name not in names)
    if others or not replacement.is_dir():
        held = f" that holds {others[0]}" if others else ""
        raise FileExistsError(
            f"{target} is a folder{held} and would be lost; choose another name or move it away"
        )
