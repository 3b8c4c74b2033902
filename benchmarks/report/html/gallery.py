"""The pictures of a report's page: WebP inside the file, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..pictures import DRIFT_SCALE, EACH, INPUTS, slug

BUDGET_BYTES = 9_000_000  # of pictures, as text; with the charts' library a page stays below 15 MB
_QUALITIES = (95, 90, 80, 70, 60)  # of WebP, tried in turn


@dataclass(frozen=True)
class Gallery:
    """Pictures for the page.

    Attributes:
        pictures: JSON types: a name, ``before`` and ``sharp`` as data addresses, and by engine
            ``after`` and, where PyTorch's output is known, ``drift``.
        remark: How they are stored, and what was left out.
    """

    pictures: tuple[dict[str, Any], ...]
    remark: str


def read_gallery(
    folder: Path | None, engines: Sequence[str], *, full: bool, budget: int = BUDGET_BYTES
) -> Gallery:
    """Encode what the benchmark saved in ``folder`` (`pictures.write_each`).

    Args:
        folder: Has a folder of each engine's, named by `pictures.slug`; None if there is none.
        engines: Names of rows.
        full: Without loss, and without a budget.
        budget: The most bytes of text that all pictures may take.
    """
    inputs = sorted((folder / INPUTS).glob("*_before.png")) if folder else []
    if folder is None or not inputs:
        return Gallery((), "")
    if full:
        return Gallery(_encoded(folder, inputs, engines, _lossless), "Stored without loss.")
    for count in range(len(inputs), 0, -1):
        for quality in _QUALITIES:
            found = _encoded(folder, inputs[:count], engines, _lossy(quality), most=budget)
            if found:
                return Gallery(found, _remark(quality, len(inputs) - count))
    return Gallery((), "Not even one picture fits into the page; --full-quality ignores its limit.")


def _remark(quality: int, left_out: int) -> str:
    text = (
        f"Stored as WebP of quality {quality}; all figures were computed before that. "
        "--full-quality stores them without loss."
    )
    return f"{text} {left_out} more did not fit." if left_out else text


Encode = Callable[[Path], bytes]


def _encoded(
    folder: Path,
    inputs: Sequence[Path],
    engines: Sequence[str],
    encode: Encode,
    most: int | None = None,
) -> tuple[dict[str, Any], ...]:
    """All pictures as data addresses; none as soon as they take more than ``most`` bytes."""
    pictures: list[dict[str, Any]] = []
    used = 0
    for before in inputs:
        number, name = before.stem.removesuffix("_before").split("_", 1)
        stem = f"{number}_{name}"
        files: dict[tuple[str, str], Path] = {
            ("before", ""): before,
            ("sharp", ""): before.with_name(f"{stem}_sharp.png"),
        }
        for engine in engines:
            for kind in ("after", "drift"):
                file = folder / slug(engine) / EACH / f"{stem}_{kind}.png"
                if file.is_file():
                    files[kind, engine] = file
        entry: dict[str, Any] = {"name": name, "after": {}, "drift": {}, "scale": DRIFT_SCALE}
        for (kind, engine), file in files.items():
            text = base64.b64encode(encode(file)).decode("ascii")
            used += len(text)
            if most is not None and used > most:
                return ()
            address = f"data:image/webp;base64,{text}"
            if engine:
                entry[kind][engine] = address
            else:
                entry[kind] = address
        pictures.append(entry)
    return tuple(pictures)


def _lossy(quality: int) -> Encode:
    return lambda file: _webp(file, quality=quality, method=4)


def _lossless(file: Path) -> bytes:
    return _webp(file, lossless=True)


def _webp(file: Path, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's options
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(file) as picture:
        picture.convert("RGB").save(stream, "WEBP", **options)
    return stream.getvalue()
