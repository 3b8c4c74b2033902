"""Writes the site: the page, onnxruntime-web, and the models that were exported into it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ...runtimes.artifact import Manifest, manifest_path, manifest_text
from ...runtimes.files import check_folder_writable, replacing, replacing_all
from ...runtimes.optional import version_of
from ...runtimes.pictures.sample_inputs import SAMPLES
from .vendor import SLIDER, SLIDER_FILES, copy_ort, find_ort

PAGE = Path(__file__).parent / "site"
INDEX = "site.json"
SAMPLE = "cat"


def check_site(folder: Path) -> None:
    """Fail before the export if the site could not be written after it.

    Raises:
        FileExistsError: the folder holds something other than a site.
        FileNotFoundError, ValueError: onnxruntime-web is not installed, or another version.
        OSError: the folder cannot be written.
    """
    find_ort()
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give --web a folder")
    _read_index(folder)
    check_folder_writable(folder)


def write_site(folder: Path, artifact: Path, manifest: Manifest) -> None:
    """Write the site around a model, or add the model to the site that is there.

    Args:
        folder: Made if it is missing.
        artifact: The ONNX file, just exported.
        manifest: Its manifest.

    Raises:
        FileExistsError: the folder holds something other than a site.
        FileNotFoundError, ValueError: onnxruntime-web is not installed, or another version.
        OSError: the folder cannot be written, or the disk is full.
    """
    body = _read_index(folder)
    for source in sorted(path for path in PAGE.rglob("*") if path.is_file()):
        _copy(source, folder / source.relative_to(PAGE))
    for name in SLIDER_FILES:
        _copy(SLIDER / name, folder / "vendor" / name)
    _copy(SAMPLES / f"{SAMPLE}.png", folder / "sample.png")
    copy_ort(find_ort(), folder / "ort")
    model = folder / "models" / artifact.name
    with replacing_all((model, manifest_path(model))) as (file, beside):
        shutil.copyfile(artifact, file)
        beside.write_text(manifest_text(manifest), encoding="utf-8")
    known: list[str] = body["models"] if body else []
    index = {
        "edgedeblur": version_of("edgedeblur"),
        # The first is what the page opens with.
        "models": [*(name for name in known if name != artifact.name), artifact.name],
        "sample": {"file": "sample.png", "credit": _credit()},
    }
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def site_note(folder: Path) -> str:
    """How to look at it, in one line."""
    return f"web page: {folder}; look at it with: python -m edgedeblur.export.web.serve {folder}"


def _read_index(folder: Path) -> dict[str, Any] | None:
    """``site.json`` of an existing site; None where the folder is missing or empty."""
    path = folder / INDEX
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise FileExistsError(
                f"{folder} holds other files and no {INDEX}; give --web a new or empty folder"
            )
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(body["models"], list):
            return body
    except (ValueError, KeyError, TypeError):
        pass
    raise FileExistsError(f"{path} is not of a site that --web wrote; give a new or empty folder")


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _credit() -> str:
    listed = json.loads((SAMPLES.parent / "samples.json").read_text(encoding="utf-8"))["samples"]
    sample = next(sample for sample in listed if sample["name"] == SAMPLE)
    return f"{sample['title']} by {sample['author']} ({sample['licence']}), blurred"
