"""Writing the site, and refusing to: no browser, and small files instead of the runtimes'."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import re
import threading
import urllib.request
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from edgedeblur.export import cli
from edgedeblur.export.web import serve, vendor, write
from edgedeblur.runtimes.artifact import Manifest, TensorSpec, read_manifest

GOLDEN = Path(__file__).parents[2] / "golden"
NPM = Path(vendor.__file__).parent
PINNED = json.loads((NPM / "package.json").read_text("utf-8"))["dependencies"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The cache folder with both packages, whose files are a few bytes and what is edited."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(cache))
    monkeypatch.setattr(vendor, "find_folders", lambda: (vendor.npm_folder(),))
    modules = cache / "web" / "node_modules"
    small = {}
    for suffix, runtime in vendor.RUNTIMES.items():
        files = []
        for file in runtime.files:
            path = modules / runtime.package / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            edited = "".join(before for before, _ in file.edits)
            path.write_bytes(file.name.encode() * 100 + edited.encode())
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            files.append(dataclasses.replace(file, sha256=digest))
        small[suffix] = dataclasses.replace(runtime, files=tuple(files))
    monkeypatch.setattr(vendor, "RUNTIMES", small)
    monkeypatch.setattr(write, "RUNTIMES", small)
    return modules


def model(folder: Path, name: str) -> tuple[Path, Manifest]:
    """A file of 7 bytes that a golden manifest describes."""
    path = folder / name
    path.write_bytes(b"a model")
    golden = "model.tflite.json" if path.suffix == ".tflite" else "browser.onnx.json"
    path.with_name(f"{name}.json").write_bytes((GOLDEN / golden).read_bytes())
    return path, read_manifest(path)


def check(site: Path, suffix: str = ".onnx", dtype: str = "float32") -> None:
    write.check_site(site, suffix, TensorSpec("image", (1, 3, 32, 64), dtype))


def test_a_site_holds_page_runtime_models_and_sample(installed, tmp_path):
    site = tmp_path / "site"
    for name in ("a.onnx", "b.onnx", "a.onnx"):
        check(site)
        write.write_site(site, *model(tmp_path, name))
    body = json.loads((site / "site.json").read_text("utf-8"))
    runtime = "onnxruntime-web"
    assert body["models"] == [{"file": name, "runtime": runtime} for name in ("b.onnx", "a.onnx")]
    assert body["sample"]["credit"] == "Chelsea the cat by Stefan van der Walt (CC0 1.0), blurred"
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    page = {path.relative_to(write.PAGE).as_posix() for path in write.PAGE.rglob("*.*")}
    assert files >= page | {"index.html", "_headers", "LICENSES.txt", "sample.png"}
    assert {name for name in files if name.startswith("ort/")} == {
        "ort/ort.wasm.js", "ort/ort.wasm.gz", "ort/ort.webgpu.js", "ort/ort.webgpu.gz",
    }  # fmt: skip
    assert gzip.decompress((site / "ort" / "ort.wasm.gz").read_bytes()) == (
        b"dist/ort-wasm-simd-threaded.wasm" * 100
    )
    assert not any(name.startswith("litert/") for name in files)  # no model needs it
    assert read_manifest(site / "models" / "a.onnx").target == "onnx-int8"  # whole and unaltered


def test_a_tflite_model_brings_the_other_runtime(installed, tmp_path):
    site = tmp_path / "site"
    write.write_site(site, *model(tmp_path, "a.onnx"))
    # As sites of earlier versions have it.
    (site / "site.json").write_text('{"models": ["a.onnx"]}')
    check(site, ".tflite", "uint8")
    write.write_site(site, *model(tmp_path, "a.tflite"))
    body = json.loads((site / "site.json").read_text("utf-8"))
    assert body["models"] == [
        {"file": "a.onnx", "runtime": "onnxruntime-web"},
        {"file": "a.tflite", "runtime": "LiteRT.js"},
    ]
    builds = ("threads", "plain", "compat")
    assert {path.name for path in (site / "litert").iterdir()} == {"litert.js"} | {
        f"litert.{build}.{kind}" for build in builds for kind in ("js", "gz")
    }
    library = (site / "litert" / "litert.js").read_text("utf-8")
    assert library.endswith(f'export const VERSION = "{vendor.pinned_version(vendor.LITERT)}";\n')
    assert 'from "../worker/litert.js";' in library
    for build in builds:
        glue = (site / "litert" / f"litert.{build}.js").read_text("utf-8")
        assert "globalThis.ModuleFactory = ModuleFactory;" in glue
    with pytest.raises(ValueError, match=r"gives .tflite files uint8 pictures, not float32; leave"):
        check(site, ".tflite", "float32")


def test_every_file_that_the_page_names_is_there(installed, tmp_path):
    site = tmp_path / "site"
    for name in ("a.onnx", "a.tflite"):
        write.write_site(site, *model(tmp_path, name))
    html = (site / "index.html").read_text("utf-8")
    named = re.findall(r'(?:src|href)="([^"#:]+)"', html)
    assert "page/app.js" in named
    for script in site.glob("*/*.js"):
        text = script.read_text("utf-8")
        for other in re.findall(r'(?:from|import\() ?"(\.[^"]+)"', text):
            assert (script.parent / other).is_file(), f"{script} imports {other}"
    assert [name for name in named if not (site / name).is_file()] == []


def test_nothing_on_the_page_points_outside():
    for path in write.PAGE.rglob("*.*"):
        assert not re.search(r"https?://", path.read_text("utf-8")), path


def test_a_damaged_runtime_in_the_site_is_replaced(installed, tmp_path):
    site = tmp_path / "site"
    write.write_site(site, *model(tmp_path, "a.onnx"))
    packed = site / "ort" / "ort.webgpu.gz"
    before = packed.stat().st_mtime_ns
    write.write_site(site, *model(tmp_path, "a.onnx"))
    assert packed.stat().st_mtime_ns == before
    for damage in (b"", b"\x1f\x8b broken", gzip.compress(b"another")):
        packed.write_bytes(damage)
        write.write_site(site, *model(tmp_path, "a.onnx"))
        assert gzip.decompress(packed.read_bytes())[:15] == b"dist/ort-wasm-s"


@pytest.mark.parametrize(
    ("target", "package"), [("onnx-fp32", "onnxruntime-web"), ("tflite-int8", "@litertjs/core")]
)
def test_a_missing_package_says_what_to_run(tmp_path, monkeypatch, capsys, target, package):
    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vendor, "find_folders", lambda: (vendor.npm_folder(),))
    words = ["--backbone", "mobilenet_dsc", "--target", target, "--size", "64x64",
             "-o", str(tmp_path), "--web", str(tmp_path / "site")]  # fmt: skip
    assert cli.main(words) == 1
    error = " ".join(capsys.readouterr().err.split())
    wanted = PINNED[package]
    command = f"npm install --ignore-scripts --prefix {tmp_path / 'cache' / 'web'}"
    assert f"--web needs {package} {wanted}; run: make web-packages" in error
    assert f"{command} {package}@{wanted}" in error
    assert not list(tmp_path.glob("*.*"))  # before the work, not after it


def test_a_package_of_another_version_is_refused(installed, tmp_path):
    (installed / "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"simd-threaded.wasm: not the file of onnxruntime-web"):
        check(tmp_path / "site")
    check(tmp_path / "site", ".tflite", "uint8")  # which does not need it
    (installed / "@litertjs/core/wasm/litert_wasm_internal.wasm").unlink()
    with pytest.raises(ValueError, match=r"internal.wasm: not the file of @litertjs/core"):
        check(tmp_path / "site", ".tflite", "uint8")


def test_other_folders_are_left_alone(installed, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "site.json").write_text("[1]")
    (folder / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"site.json is not of a site that --web wrote"):
        check(folder)
    (folder / "site.json").unlink()
    with pytest.raises(FileExistsError, match=r"holds other files and no site.json"):
        check(folder)
    with pytest.raises(FileExistsError, match=r"a.txt is a file; give --web a folder"):
        check(folder / "a.txt")
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt"]


@pytest.mark.parametrize("target", ["openvino-fp32", "ncnn-fp16", "coreml-fp16"])
def test_other_formats_have_no_page(tmp_path, capsys, target):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--backbone", "mobilenet_dsc", "--target", target, "--web", str(tmp_path)])
    assert stopped.value.code == 2
    assert f"{target} has no --web" in capsys.readouterr().err


def test_the_lock_pins_versions_and_names_no_address():
    text = (NPM / "package-lock.json").read_text("utf-8")
    assert "resolved" not in text
    assert "://" not in text
    packages = json.loads(text)["packages"]
    for runtime in (vendor.ORT, vendor.LITERT):
        pinned = packages[f"node_modules/{runtime.package}"]
        assert pinned["version"] == vendor.pinned_version(runtime)
    del packages[""]
    assert all(body["integrity"].startswith("sha512-") for body in packages.values())


def test_served_files_isolate_the_page(tmp_path, capsys):
    (tmp_path / "index.html").write_text("hello")
    handler = partial(serve.SiteHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with urllib.request.urlopen(address) as answer:
            assert answer.read() == b"hello"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert serve.main([str(tmp_path), "--port", str(server.server_port)]) == 1
        assert "try --port 0" in capsys.readouterr().err
        server.shutdown()
    headers = (write.PAGE / "_headers").read_text("utf-8")
    assert all(f"{name}: {value}" in headers for name, value in serve.ISOLATION.items())
    assert serve.main([str(tmp_path / "none")]) == 1
    assert "no index.html" in capsys.readouterr().err
