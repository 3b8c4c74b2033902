"""Finds the files of the page's two runtimes, which npm installs; the site gets copies of them.

They are 70 MB, so that neither the repository nor the wheel holds them.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from ...models.checkpoints.sources import cache_folder
from ...runtimes.files import replacing, sha256_of

HERE = Path(__file__).parent
SLIDER = HERE.parents[1] / "benchmarks" / "report" / "html" / "assets"


@dataclass(frozen=True)
class RuntimeFile:
    """A file of an npm package, and what the site gets of it.

    Scripts lose the ending ``.mjs``, which some servers do not know; what ends in ``.gz`` is
    compressed to a third or less, and unpacked by the page.

    Attributes:
        name: In the package.
        sha256: As npm installed it.
        site_name: In the site.
        edits: Text that is there once, and what replaces it; ``{version}`` is the package's.
    """

    name: str
    sha256: str
    site_name: str
    edits: tuple[tuple[str, str], ...] = ()

    def for_site(self, data: bytes, version: str) -> bytes:
        """The file's contents in the site, before compression."""
        for before, after in self.edits:
            assert data.count(before.encode()) == 1
            data = data.replace(before.encode(), after.replace("{version}", version).encode())
        return data


@dataclass(frozen=True)
class WebRuntime:
    """What runs a kind of files on the page.

    Attributes:
        name: As ``site.json`` and the page call it.
        package: Of npm.
        folder: In the site.
        dtype: The type of the pictures that the page's module for it makes.
        files: All that the page may load, one build of them at a time.
    """

    name: str
    package: str
    folder: str
    dtype: str
    files: tuple[RuntimeFile, ...]


# Of version 1.30.0, as package-lock.json pins it. The build without WebGPU is the smallest there is
# for WebAssembly; of the two with WebGPU, `asyncify` runs in every browser that has WebGPU.
ORT = WebRuntime(
    name="onnxruntime-web",
    package="onnxruntime-web",
    folder="ort",
    dtype="float32",
    files=(
        RuntimeFile(
            "dist/ort.wasm.bundle.min.mjs",
            "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
            "ort.wasm.js",
        ),
        RuntimeFile(
            "dist/ort-wasm-simd-threaded.wasm",
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
            "ort.wasm.gz",
        ),
        RuntimeFile(
            "dist/ort.webgpu.bundle.min.mjs",
            "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
            "ort.webgpu.js",
        ),
        RuntimeFile(
            "dist/ort-wasm-simd-threaded.asyncify.wasm",
            "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
            "ort.webgpu.gz",
        ),
    ),
)

_CHANGED = "// Changed by deblur-export --web; see export/web/vendor.py of edgedeblur.\n"
# Workers of modules can only import scripts, which keeps their variables from `globalThis`. The
# pool's workers, which are classic, load the same file.
_GLUE_HEAD = "// This code implements the `-sMODULARIZE`"
_GLUE_END = "if (typeof exports === 'object' && typeof module === 'object') {"
_GLUE_EDITS = (
    (_GLUE_HEAD, _CHANGED + _GLUE_HEAD),
    (_GLUE_END, "globalThis.ModuleFactory = ModuleFactory;\n" + _GLUE_END),
)
# Of version 2.5.3. `threads` and `plain` need relaxed SIMD, which not every browser has; `compat`
# does without. The build with promise integration is for WebGPU and WebNN, which the page leaves.
LITERT = WebRuntime(
    name="LiteRT.js",
    package="@litertjs/core",
    folder="litert",
    dtype="uint8",
    files=(
        RuntimeFile(
            "dist/index.js",
            "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
            "litert.js",
            edits=(
                ("// src/wasm_binding_types.ts\n", _CHANGED),
                # The original loads scripts by importScripts, and lets them fetch the binary.
                ('from "@litertjs/wasm-utils";', 'from "../worker/litert.js";'),
                # The page runs it on the CPU: without this it takes a graphics processor.
                ("await Environment.create()", "await Environment.create({ webGpuDevice: null })"),
                ("//# sourceMappingURL=index.js.map", 'export const VERSION = "{version}";\n'),
            ),
        ),
        RuntimeFile(
            "wasm/litert_wasm_threaded_internal.js",
            "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849",
            "litert.threads.js",
            _GLUE_EDITS,
        ),
        RuntimeFile(
            "wasm/litert_wasm_threaded_internal.wasm",
            "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf",
            "litert.threads.gz",
        ),
        RuntimeFile(
            "wasm/litert_wasm_internal.js",
            "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
            "litert.plain.js",
            _GLUE_EDITS,
        ),
        RuntimeFile(
            "wasm/litert_wasm_internal.wasm",
            "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
            "litert.plain.gz",
        ),
        RuntimeFile(
            "wasm/litert_wasm_compat_internal.js",
            "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
            "litert.compat.js",
            _GLUE_EDITS,
        ),
        RuntimeFile(
            "wasm/litert_wasm_compat_internal.wasm",
            "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
            "litert.compat.gz",
        ),
    ),
)
# By the artifact's suffix.
RUNTIMES = {".onnx": ORT, ".tflite": LITERT}
SLIDER_FILES = ("img-comparison-slider.js", "img-comparison-slider.css")


def pinned_version(runtime: WebRuntime) -> str:
    """The version that ``package.json`` asks for."""
    body = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    return body["dependencies"][runtime.package]


def find_runtime(runtime: WebRuntime) -> Path:
    """The package's folder: beside this module, else in the user's cache.

    Raises:
        FileNotFoundError: it is not installed; the message has the command.
        ValueError: files of another version.
    """
    wanted = f"{runtime.package} {pinned_version(runtime)}"
    places = [folder / "node_modules" / runtime.package for folder in find_folders()]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise FileNotFoundError(f"--web needs {wanted}; {_how_to_install(runtime)}")
    for file in runtime.files:
        path = found / file.name
        if not path.is_file() or sha256_of(path) != file.sha256:
            raise ValueError(f"{path}: not the file of {wanted}; {_how_to_install(runtime)}")
    return found


def find_folders() -> tuple[Path, ...]:
    """Where npm may have installed to, the first that has it counts."""
    return HERE, npm_folder()


def npm_folder() -> Path:
    """Where npm installs to without a checkout."""
    return cache_folder() / "web"


def _how_to_install(runtime: WebRuntime) -> str:
    wanted = f"{runtime.package}@{pinned_version(runtime)}"
    command = f"npm install --ignore-scripts --prefix {npm_folder()} {wanted}"
    if (HERE.parents[1] / "Makefile").is_file():
        return f"run: make web-packages, or: {command}"
    return f"run: {command}"


def copy_runtime(runtime: WebRuntime, source: Path, site: Path) -> None:
    """Write all of a runtime's files from `find_runtime`'s folder; what is there already stays.

    Raises:
        OSError: the site cannot be written.
    """
    version = pinned_version(runtime)
    for file in runtime.files:
        target = site / runtime.folder / file.site_name
        data = file.for_site((source / file.name).read_bytes(), version)
        if _is_there(target, data):
            continue
        if target.suffix == ".gz":
            data = gzip.compress(data, compresslevel=9, mtime=0)
        with replacing(target) as temporary:
            temporary.write_bytes(data)


def _is_there(target: Path, wanted: bytes) -> bool:
    if not target.is_file():
        return False
    try:
        data = target.read_bytes()
        return (gzip.decompress(data) if target.suffix == ".gz" else data) == wanted
    except (OSError, EOFError):  # damaged
        return False
