"""The APK that ``make android-apk`` writes, taken apart without Android's tools."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "android_demo" / "app" / "src" / "main" / "assets" / "models"
ABIS = {"arm64-v8a", "armeabi-v7a", "x86", "x86_64"}
PAGE = 16384

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("mvn") is None, reason="Maven is not installed"),
]


@pytest.fixture(scope="module")
def apk() -> Path:
    """Built anew, with a model of its own if the assets hold none."""
    made = ASSETS / "made_for_a_test.tflite"
    made.write_bytes(b"\x00\x00\x00\x00TFL3" + bytes(range(256)) * 40)
    try:
        subprocess.run(["make", "android-apk"], cwd=ROOT, check=True, timeout=900)
    finally:
        made.unlink()
    return ROOT / "android_demo" / "target" / "edgedeblur-debug.apk"


def data_offset(apk: Path, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: behind the local header, its name and its padding."""
    with apk.open("rb") as stream:
        stream.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", stream.read(4))
    return entry.header_offset + 30 + name + extra


def test_libraries_of_all_abis_are_stored_page_aligned(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        libraries = [entry for entry in archive.infolist() if entry.filename.endswith(".so")]
    names = ("libtensorflowlite_jni.so", "libtensorflowlite_gpu_jni.so")
    assert {entry.filename for entry in libraries} == {
        f"lib/{abi}/{name}" for abi in ABIS for name in names
    }
    for entry in libraries:
        assert entry.compress_type == zipfile.ZIP_STORED
        assert data_offset(apk, entry) % PAGE == 0, entry.filename


def test_models_are_stored_as_they_are(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        entry = archive.getinfo("assets/models/made_for_a_test.tflite")
        assert entry.compress_type == zipfile.ZIP_STORED
        assert data_offset(apk, entry) % 4 == 0
        assert archive.read(entry) == b"\x00\x00\x00\x00TFL3" + bytes(range(256)) * 40
        assert archive.testzip() is None


def test_dex_holds_the_app_kotlin_and_the_interpreter(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        dex = archive.read("classes.dex")
    assert dex[:4] == b"dex\n"
    assert struct.unpack_from("<I", dex, 32)[0] == len(dex)
    for name in (
        b"Ledgedeblur/demo/MainActivity;",
        b"Ledgedeblur/demo/core/Tiler;",
        b"Lkotlin/collections/CollectionsKt;",
        b"Lorg/tensorflow/lite/Interpreter;",
        b"Lorg/tensorflow/lite/Delegation;",
        b"Lorg/tensorflow/lite/gpu/GpuDelegate;",
        b"Lorg/tensorflow/lite/gpu/GpuDelegateFactory$Options;",
    ):
        assert b"\x00" + bytes([len(name)]) + name + b"\x00" in dex, name
    assert b"Lorg/robolectric" not in dex


def test_manifest_names_package_and_screens(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        manifest = archive.read("AndroidManifest.xml")
        assert archive.getinfo("resources.arsc").compress_type == zipfile.ZIP_STORED
    assert struct.unpack_from("<HHI", manifest) == (3, 8, len(manifest))  # ResXMLTree, whole
    for word in ("edgedeblur.demo", ".MainActivity", "edgedeblur.demo.files"):
        assert word.encode("utf-16-le") in manifest or word.encode() in manifest, word


def test_it_is_signed_by_scheme_2(apk: Path) -> None:
    """The block before the central directory; apksigner, where installed, checks it whole."""
    data = apk.read_bytes()
    directory = struct.unpack_from("<I", data, data.rindex(b"PK\x05\x06") + 16)[0]
    assert data[directory - 16 : directory] == b"APK Sig Block 42"
    size = struct.unpack_from("<Q", data, directory - 24)[0]
    block = data[directory - size : directory - 24]
    assert struct.pack("<I", 0x7109871A) in block  # APK Signature Scheme v2
    if shutil.which("apksigner"):
        subprocess.run(["apksigner", "verify", str(apk)], check=True)
