"""Sources of checkpoints: the shipped zoo, a file, or the released weights' addresses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..network.registry import backbone_names
from .download import Progress, download
from .recorded import UnpinnedFile, download_recorded

_ZOO = Path(__file__).parent.parent / "zoo"


@dataclass(frozen=True)
class ReleasedFile:
    """A published file, pinned by size and hash."""

    name: str
    addresses: tuple[str, ...]
    size_bytes: int
    sha384: str


# Addresses, size and hash as in OpenVINO's Open Model Zoo, models/public/deblurgan-v2/model.yml
# (2022.1); the Drive id is the one in the README of github.com/VITA-Group/DeblurGANv2.
RELEASED = ReleasedFile(
    name="fpn_mobilenet.h5",
    addresses=(
        "https://storage.openvinotoolkit.org/repositories/open_model_zoo/public/2022.1/"
        "deblurgan-v2/ckpt/fpn_mobilenet.h5",
        "https://drive.usercontent.google.com/download"
        "?id=1JhnT4BBeKBBSLqTo6UsJ13HeBXevarrU&export=download&confirm=t",
    ),
    size_bytes=13_505_344,
    sha384=(
        "93bd1ef8e8d6cc190a3310db6b556aee2df42a294b7015f689237cb1a1cad1f9"
        "327b9369e530804f8369195d4b286386"
    ),
)


# The Drive id in the README of github.com/VITA-Group/DeblurGANv2. No hash of it is published: 60.9
# million parameters in float32 are 243.7 MB, and the names of the tensors a little more.
UNPINNED = {
    "inception": UnpinnedFile(
        name="fpn_inception.h5",
        addresses=(
            "https://drive.usercontent.google.com/download"
            "?id=1UXcsRVW-6KF23_TNzxw-xC0SzaMfXOaR&export=download&confirm=t",
        ),
        least_bytes=243_000_000,
        most_bytes=260_000_000,
    )
}


def zoo_path(network: str) -> Path:
    """The path of a network's shipped checkpoint, whether or not it exists."""
    return _ZOO / f"{network}.safetensors"


def zoo_names() -> tuple[str, ...]:
    """The networks whose weights are shipped."""
    return tuple(sorted(path.stem for path in _ZOO.glob("*.safetensors")))


def network_names() -> tuple[str, ...]:
    """The backbones, which are networks at full width, and the other networks of the zoo."""
    return tuple(sorted({*backbone_names(), *zoo_names()}))


def default_source(network: str) -> str:
    """The zoo's checkpoint for a backbone or another network.

    Raises:
        ValueError: none is shipped; the message says how to get one.
    """
    if network in zoo_names():
        return f"zoo:{network}"
    hint = "--checkpoint FILE with your own weights"
    if network == "mobilenet":
        hint = "--checkpoint released (downloads fpn_mobilenet.h5, 13.5 MB), or " + hint
    if network in UNPINNED:
        hint = f"--checkpoint released (downloads {UNPINNED[network].name}, 244 MB), or {hint}"
    raise ValueError(f"no checkpoint is shipped for {network!r}; use {hint}")


def resolve_source(
    source: str, *, backbone: str | None = None, progress: Progress | None = None
) -> Path:
    """The file of a source; ``released`` is downloaded into the cache if it is not there.

    ``backbone`` says which of the released files; None for the one over MobileNetV2.

    Raises:
        FileNotFoundError: no such file or zoo entry.
        ValueError: nothing was released for the backbone.
        OSError: the download failed; see `download.download`.
    """
    if source == "released":
        if backbone in UNPINNED:
            target = cache_folder() / UNPINNED[backbone].name
            download_recorded(UNPINNED[backbone], target, progress=progress)
            return target
        if backbone not in (None, "mobilenet"):
            raise ValueError(f"nothing was released for {backbone}; use --checkpoint FILE")
        target = cache_folder() / RELEASED.name
        download(
            RELEASED.addresses, target, RELEASED.size_bytes, RELEASED.sha384, progress=progress
        )
        return target
    if source.startswith("zoo:"):
        path = zoo_path(source.removeprefix("zoo:"))
        if not path.exists():
            shipped = ", ".join(f"zoo:{name}" for name in zoo_names())
            raise FileNotFoundError(f"{source}: not shipped; available: {shipped or 'none'}")
        return path
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint {source}: {_not_a_file(path)}; give a file, zoo:<network> or released"
        )
    return path


def _not_a_file(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, which is not there"  # noqa: PTH115 - any text
    return "is not a regular file" if path.exists() else "no such file"


def cache_folder() -> Path:
    """``$EDGEDEBLUR_CACHE``, else the user's cache folder."""
    if chosen := os.environ.get("EDGEDEBLUR_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "edgedeblur"
