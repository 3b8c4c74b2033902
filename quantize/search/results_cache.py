"""Measurements that took time and must survive an interruption: one JSON file of named results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...runtimes.files import replacing


class ResultsCache:
    """Results by key, written after each; a file with another header is not continued.

    Raises:
        ValueError: the file is not one of ours, or belongs to another experiment.
    """

    def __init__(self, path: Path, header: dict[str, Any], *, force: bool = False) -> None:
        self.path, self._header = path, header
        self._entries: dict[str, Any] = {}
        if not path.exists() or force:
            return
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            found, entries = body["header"], dict(body["entries"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: no measurements of ours; move it, or use --force") from error
        if found != json.loads(json.dumps(header)):
            different = sorted(k for k in header if found.get(k) != header[k])
            raise ValueError(
                f"{path} belongs to another experiment (other {', '.join(different)}); choose "
                "another --output, or use --force"
            )
        self._entries = entries

    def get(self, key: str, measure: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
        """The result under ``key``, measured and kept if it is not there yet."""
        if key not in self._entries:
            self._entries[key] = measure()
            self._write()
        return self._entries[key]

    def entries(self) -> dict[str, Any]:
        """Everything measured so far."""
        return dict(self._entries)

    def _write(self) -> None:
        body = {"header": self._header, "entries": self._entries}
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n", "utf-8")
