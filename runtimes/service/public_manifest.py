"""The manifest as ``/v1/model`` shows it: nothing of the file system it was made on."""

from __future__ import annotations

import re
from typing import Any

_SEPARATOR = re.compile(r"[/\\]")


def public_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """A copy in which every path is its last part.

    The checkpoint's source and the calibration's origin may be paths. ``digest`` is left out: it
    covers the text as it lies beside the artifact.

    Args:
        manifest: `Manifest.to_dict`'s output.
    """
    public: dict[str, Any] = {key: _without_folders(value) for key, value in manifest.items()}
    public.pop("digest", None)
    return public


def _without_folders(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and _is_path(value):
        return _SEPARATOR.split(value.rstrip("/\\"))[-1]
    return value


def _is_path(text: str) -> bool:
    """Absolute, from home, or relative with folders; no sentence, no address, no list of words."""
    if re.match(r"(/|~|[A-Za-z]:\\|\.{1,2}[/\\])", text):
        return True
    return bool(re.fullmatch(r"[\w.+@-]+([/\\][\w.+@-]+)+", text))
