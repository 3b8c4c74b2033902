"""Finds onnxruntime-web's files, which npm installs; the site gets copies of them.

They are 41 MB, so that neither the repository nor the wheel holds them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ...models.checkpoints.sources import cache_folder
from ...runtimes.files import replacing, sha256_of

HERE = Path(__file__).parent
PACKAGE = "onnxruntime-web"
SLIDER = HERE.parents[1] / "benchmarks" / "report" / "html" / "assets"


@dataclass(frozen=True)
class OrtFile:
    """A file of the npm package: its name there, its SHA-256, and its name in the site.

    Scripts lose the ending ``.mjs``, which some servers do not know; what ends in ``.gz`` is
    compressed to a quarter, and unpacked by the page.
    """

    name: str
    sha256: str
    site_name: str


# Of version 1.30.0, as package-lock.json pins it. The build without WebGPU is the smallest there is
# for WebAssembly; of the two with WebGPU, `asyncify` runs in every browser that has WebGPU.
ORT_FILES = (
    OrtFile(
        "ort.wasm.bundle.min.mjs",
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
        "ort.wasm.js",
    ),
    OrtFile(
        "ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        "ort.wasm.gz",
    ),
    OrtFile(
        "ort.webgpu.bundle.min.mjs",
        "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
        "ort.webgpu.js",
    ),
    OrtFile(
        "ort-wasm-simd-threaded.asyncify.wasm",
        "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
        "ort.webgpu.gz",
    ),
)
SLIDER_FILES = ("img-comparison-slider.js", "img-comparison-slider.css")


def ort_version() -> str:
    """The version that ``package.json`` asks for."""
    body = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    return body["dependencies"][PACKAGE]


def find_ort() -> Path:
    """The folder with onnxruntime-web's files: beside this module, else in the user's cache.

    Raises:
        FileNotFoundError: it is not installed; the message has the command.
        ValueError: files of another version.
    """
    places = [folder / "node_modules" / PACKAGE / "dist" for folder in find_folders()]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise FileNotFoundError(f"--web needs {PACKAGE} {ort_version()}; {_how_to_install()}")
    for file in ORT_FILES:
        path = found / file.name
        if not path.is_file() or sha256_of(path) != file.sha256:
            raise ValueError(
                f"{path}: not the file of {PACKAGE} {ort_version()}; {_how_to_install()}"
            )
    return found


def find_folders() -> tuple[Path, ...]:
    """Where npm may have installed to, the first that has it counts."""
    return HERE, npm_folder()


def npm_folder() -> Path:
    """Where npm installs to without a checkout."""
    return cache_folder() / "web"


def _how_to_install() -> str:
    wanted = f"{PACKAGE}@{ort_version()}"
    command = f"npm install --ignore-scripts --prefix {npm_folder()} {wanted}"
    if (HERE.parents[1] / "Makefile").is_file():
        return f"run: make web-packages, or: {command}"
    return f"run: {command}"


def copy_ort(source: Path, folder: Path) -> None:
    """Write all `ORT_FILES` into ``folder``, from `find_ort`'s; what is there already stays.

    Raises:
        OSError: the folder cannot be written.
    """
    for file in ORT_FILES:
        target = folder / file.site_name
        if _is_there(target, file):
            continue
        data = (source / file.name).read_bytes()
        if target.suffix == ".gz":
            data = gzip.compress(data, compresslevel=9, mtime=0)
        with replacing(target) as temporary:
            temporary.write_bytes(data)


def _is_there(target: Path, file: OrtFile) -> bool:
    if not target.is_file():
        return False
    try:
        data = target.read_bytes()
        plain = gzip.decompress(data) if target.suffix == ".gz" else data
    except (OSError, EOFError):  # damaged
        return False
    return hashlib.sha256(plain).hexdigest() == file.sha256
