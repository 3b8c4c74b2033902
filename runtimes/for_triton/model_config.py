"""Reads what Triton hands to a Python model: its configuration, and the files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..artifact import Manifest

MANIFEST = "manifest.json"


class ModelConfig:
    """A model's ``parameters`` and its version folder."""

    def __init__(self, arguments: Mapping[str, str]) -> None:
        """``arguments`` is what Triton gives to ``initialize``."""
        self.body: dict[str, Any] = json.loads(arguments["model_config"])
        self.folder = Path(arguments["model_repository"]) / arguments["model_version"]

    def parameter(self, name: str) -> str:
        """The text of a parameter.

        Raises:
            ValueError: it is missing.
        """
        try:
            return self.body["parameters"][name]["string_value"]
        except KeyError as error:
            raise ValueError(f"config.pbtxt has no parameter {name!r}; export it again") from error

    def output(self) -> str:
        """The name of the only output."""
        return self.body["output"][0]["name"]

    def manifest(self) -> Manifest:
        """The manifest beside ``model.py``; the artifact it describes lies elsewhere.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: it was altered.
        """
        path = self.folder / MANIFEST
        return Manifest.from_dict(json.loads(path.read_text("utf-8")), origin=str(path))
