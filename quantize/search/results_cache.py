"""Cache of measurements in one JSON file, so that an interrupted run continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...runtimes.files import replacing


class ResultsCache:
    """Results by key, written after each measurement, for one experiment (``header``).

    Raises:
        ValueError: the file is not a results cache, or belongs to another experiment.
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
            raise ValueError(f"{path}: not a results cache; move it, or use --force") from error
        if found != json.loads(json.dumps(header)):
            different = sorted(k for k in header if found.get(k) != header[k])
            raise ValueError(
                f"{path} belongs to another experiment (other {', '.join(different)}); choose "
                "another --output, or use --force"
            )
        self._entries = entries

    def get(self, key: str, measure: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
        """The result for ``key``; measured and stored if missing."""
        if key not in self._entries:
            self._entries[key] = measure()
            self._write()
        return self._entries[key]

    def entries(self) -> dict[str, Any]:
        """All results so far."""
        return dict(self._entries)

    def _write(self) -> None:
        body = {"header": self._header, "entries": self._entries}
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(body, indent=1, allow_nan=False) + "\n", "utf-8")
