"""Finished pieces of a clip on disk, from which an interrupted run goes on.

A folder beside the output, ``NAME.segments``, holds ``run.json``, which says what was asked for,
and for each piece a Matroska file with the coded frames alone and a JSON file with their exact
time stamps, which Matroska would round to milliseconds. A piece counts once its JSON is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...files import replacing

SUFFIX = ".segments"
RUN = "run.json"


@dataclass(frozen=True)
class Segment:
    """One finished piece.

    Attributes:
        file: The coded frames.
        pts: Time stamps in the order of coding, in units of the clip's time base.
        durations: Of the same frames.
        delay: By how many frames coding runs ahead of showing, at most.
    """

    file: Path
    pts: tuple[int, ...]
    durations: tuple[int, ...]
    delay: int


def coding_delay(pts: list[int]) -> int:
    """By how many places a frame is coded after the place where it is shown, at most."""
    rank = {value: place for place, value in enumerate(sorted(pts))}
    return max((place - rank[value] for place, value in enumerate(pts)), default=0)


class SegmentFolder:
    """The pieces of one output.

    Args:
        target: The output's final name.
    """

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(target.name + SUFFIX)
        self._target = target

    def begin(self, asked: dict[str, Any], *, resume: bool, force: bool) -> None:
        """Make the folder, or check that it belongs to the same run.

        Args:
            asked: What the run is about, as JSON; a run with other values is another run.
            resume: Go on if the folder is there.
            force: Remove a folder of another run.

        Raises:
            FileExistsError: pieces of an earlier run, and neither was asked for.
            ValueError: to be resumed, but of another run; the message names the difference.
        """
        asked = json.loads(json.dumps(asked))
        if self.folder.exists() and not resume:
            if not force:
                raise FileExistsError(
                    f"{self.folder} holds an unfinished run; add --resume to go on, or --force to "
                    "start anew"
                )
            shutil.rmtree(self.folder)
        path = self.folder / RUN
        if path.exists():
            self._check_same(json.loads(path.read_text(encoding="utf-8")), asked)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asked, indent=2), encoding="utf-8")

    def _check_same(self, before: dict[str, Any], asked: dict[str, Any]) -> None:
        other = sorted(key for key in before | asked if before.get(key) != asked.get(key))
        if other:
            raise ValueError(
                f"{self.folder} was made with another {' and '.join(other)}; resume with the same, "
                "or start anew with --force instead of --resume"
            )

    def new(self, number: int) -> Path:
        """Where the coded frames of a piece go."""
        return self.folder / f"segment_{number:05d}.mkv"

    def finish(self, file: Path, pts: list[int], durations: list[int]) -> None:
        """Record a piece whose file is complete."""
        segment = Segment(file, tuple(pts), tuple(durations), coding_delay(pts))
        body = {**asdict(segment), "file": file.name}
        with replacing(file.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(body), encoding="utf-8")

    def finished(self) -> Iterator[Segment]:
        """The finished pieces in order, read one at a time; ends at the first that is missing."""
        number = 0
        while (path := self.new(number).with_suffix(".json")).exists():
            body = json.loads(path.read_text(encoding="utf-8"))
            file = self.folder / body["file"]
            if not file.exists():
                raise FileNotFoundError(f"{file}: missing; start anew with --force")
            yield Segment(file, tuple(body["pts"]), tuple(body["durations"]), body["delay"])
            number += 1

    def remove(self) -> None:
        """Delete the folder; its pieces are in the output."""
        shutil.rmtree(self.folder, ignore_errors=True)
