"""The Android app's two builds agree, and its plain code is plain. No JDK is needed here."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "android_demo"
GRADLE = (APP / "app" / "build.gradle.kts").read_text("utf-8")
POM = (APP / "pom.xml").read_text("utf-8")
MAIN = APP / "app" / "src" / "main"


def property_of(name: str) -> str:
    return re.findall(rf"<{re.escape(name)}>([^<]+)<", POM)[0]


@pytest.mark.parametrize(
    ("in_maven", "in_gradle"),
    [
        ("app.minSdk", r"minSdk = (\d+)"),
        ("app.targetSdk", r"targetSdk = (\d+)"),
        ("app.package", r'namespace = "([^"]+)"'),
        ("app.package", r'applicationId = "([^"]+)"'),
        ("app.versionCode", r"versionCode = (\d+)"),
        ("app.versionName", r'versionName = "([^"]+)"'),
        ("tflite.version", r'tensorflow-lite:([^"]+)"'),
        ("tflite.version", r'tensorflow-lite-gpu:([^"]+)"'),
        ("tflite.gpu.api.version", r'tensorflow-lite-gpu-api:([^"]+)"'),
        ("robolectric.version", r'org.robolectric:robolectric:([^"]+)"'),
    ],
)
def test_gradle_and_maven_agree(in_maven: str, in_gradle: str) -> None:
    assert re.findall(in_gradle, GRADLE) == [property_of(in_maven)]


def test_both_take_the_same_kotlin() -> None:
    root = (APP / "build.gradle.kts").read_text("utf-8")
    assert f'kotlin.android") version "{property_of("kotlin.version")}"' in root


def test_the_library_in_results_is_the_one_that_is_linked() -> None:
    engines = (MAIN / "kotlin" / "edgedeblur" / "demo" / "TfliteEngines.kt").read_text("utf-8")
    assert f'TFLITE_VERSION = "{property_of("tflite.version")}"' in engines


def test_plain_code_knows_no_android() -> None:
    files = sorted((MAIN / "kotlin" / "edgedeblur" / "demo" / "core").glob("*.kt"))
    assert len(files) > 8
    for file in files:
        assert not re.findall(r"^import (android|org\.tensorflow)", file.read_text("utf-8"), re.M)


def test_every_screen_and_provider_is_declared() -> None:
    name = "{http://schemas.android.com/apk/res/android}name"
    application = ET.parse(MAIN / "AndroidManifest.xml").getroot().find("application")
    assert application is not None
    declared = {child.get(name) for child in application if child.tag in ("activity", "provider")}
    pattern = re.compile(r"^class (\w+) : (?:Activity|ContentProvider)\(\)", re.M)
    texts = [f.read_text("utf-8") for f in (MAIN / "kotlin" / "edgedeblur" / "demo").glob("*.kt")]
    written = {f".{found}" for text in texts for found in pattern.findall(text)}
    assert declared == written
    # Whatever needs no other app's call stays closed to them.
    exported = name.replace("name", "exported")
    assert [c.get(name) for c in application if c.get(exported) == "true"] == [".MainActivity"]
