"""Writes the site: the page, the models that were exported into it, and their runtimes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ...runtimes.artifact import Manifest, TensorSpec, manifest_path, manifest_text
from ...runtimes.files import check_folder_writable, replacing, replacing_all
from ...runtimes.optional import version_of
from ...runtimes.pictures.sample_inputs import SAMPLES
from .vendor import ORT, RUNTIMES, SLIDER, SLIDER_FILES, copy_runtime, find_runtime

PAGE = Path(__file__).parent / "site"
INDEX = "site.json"
SAMPLE = "cat"


def check_site(folder: Path, suffix: str, image: TensorSpec) -> None:
    """Fail before the export if the site could not be written after it.

    Args:
        folder: Of the site.
        suffix: The artifact's, which decides the runtime: ``.onnx``, ``.tflite``.
        image: Its input.

    Raises:
        FileExistsError: the folder holds something other than a site.
        FileNotFoundError: the runtime is not installed.
        ValueError: it is of another version, or the page cannot fill ``image``.
        OSError: the folder cannot be written.
    """
    runtime = RUNTIMES[suffix]
    if image.dtype != runtime.dtype:
        raise ValueError(
            f"--web: the page gives {suffix} files {runtime.dtype} pictures, not {image.dtype}; "
            "leave out --io tensor"
        )
    find_runtime(runtime)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give --web a folder")
    _read_index(folder)
    check_folder_writable(folder)


def write_site(folder: Path, artifact: Path, manifest: Manifest) -> None:
    """Write the site around a model, or add the model to the site that is there.

    Args:
        folder: Made if it is missing.
        artifact: The ONNX or TFLite file, just exported.
        manifest: Its manifest.

    Raises:
        FileExistsError: the folder holds something other than a site.
        FileNotFoundError, ValueError: the runtime is not installed, or another version.
        OSError: the folder cannot be written, or the disk is full.
    """
    body = _read_index(folder)
    for source in sorted(path for path in PAGE.rglob("*") if path.is_file()):
        _copy(source, folder / source.relative_to(PAGE))
    for name in SLIDER_FILES:
        _copy(SLIDER / name, folder / "vendor" / name)
    _copy(SAMPLES / f"{SAMPLE}.png", folder / "sample.png")
    runtime = RUNTIMES[artifact.suffix]
    copy_runtime(runtime, find_runtime(runtime), folder)
    model = folder / "models" / artifact.name
    with replacing_all((model, manifest_path(model))) as (file, beside):
        shutil.copyfile(artifact, file)
        beside.write_text(manifest_text(manifest), encoding="utf-8")
    known: list[dict[str, str]] = body["models"] if body else []
    index = {
        "edgedeblur": version_of("edgedeblur"),
        # The first is what the page opens with.
        "models": [
            *(model for model in known if model["file"] != artifact.name),
            {"file": artifact.name, "runtime": runtime.name},
        ],
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
        # Sites of earlier versions list the names of ONNX files alone.
        body["models"] = [
            {"file": model, "runtime": ORT.name}
            if isinstance(model, str)
            else {"file": model["file"], "runtime": model["runtime"]}
            for model in body["models"]
        ]
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
