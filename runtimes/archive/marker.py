"""Which artifact and settings a folder's outputs were made with, so that a run can be continued.

The folder holds one small file, `MARKER`. An output counts as finished if it was written no earlier
than that file, by the store's own clock: so a folder with a million outputs needs one listing, no
second file per picture, and a run with ``--force`` that was killed half-way goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .stores import Store, join

MARKER = "edgedeblur.json"
# Object stores tell times in whole seconds: an older output must be older by more than that.
CLOCK_STEP_S = 1.1


@dataclass(frozen=True)
class Fingerprint:
    """What decides an output's bytes, besides the input and the machine's arithmetic.

    Attributes:
        artifact_sha256: Of the artifact's file or folder.
        format: Ending of all outputs without its dot; None: each input's own.
        quality: 1 to 100, for JPEG and WebP.
        protocol, tile, overlap_px: See `pictures.tile_plan.TilingOptions`.
    """

    artifact_sha256: str
    format: str | None
    quality: int
    protocol: str
    tile: tuple[int, int] | None
    overlap_px: int | None

    def to_text(self) -> str:
        """The marker file's contents; the same for the same fingerprint."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def claim_folder(
    store: Store,
    folder: str,
    fingerprint: Fingerprint,
    *,
    force: bool,
    there: dict[str, float],
    wanted: Callable[[str], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Mark ``folder`` as holding outputs of ``fingerprint``.

    Args:
        store: Where the folder is.
        folder: Its address.
        fingerprint: Of this run.
        force: Outputs that are there may be made anew, whatever they were made with.
        there: The folder's files, from `Store.listing`.
        wanted: Whether a file would be an output of this run.
        sleep: Waits so many seconds.

    Returns:
        Since when, by the store's clock, outputs are this fingerprint's.

    Raises:
        FileExistsError: the folder holds outputs of another artifact, of other settings, or of
            unknown ones, and ``force`` was not given.
        ValueError: the marker file is damaged.
    """
    address = join(folder, MARKER)
    others = [name for name in sorted(there) if wanted(name)]
    if MARKER in there and not force:
        difference = _difference(store.read(address).decode("utf-8"), fingerprint, address)
        if not difference:
            return there[MARKER]
        raise FileExistsError(
            f"{folder} holds pictures of another run ({difference}); choose another folder, or "
            "make them anew with --force"
        )
    if others and not force:
        raise FileExistsError(
            f"{join(folder, others[0])} exists already, and no {MARKER} says what made it; choose "
            "another folder, or make it anew with --force"
        )
    if others:
        sleep(CLOCK_STEP_S)
    store.write(address, fingerprint.to_text().encode())
    return store.modified_s(address)


def _difference(text: str, fingerprint: Fingerprint, address: str) -> str:
    """What differs, in words; empty if nothing does."""
    try:
        before = json.loads(text)
        if not isinstance(before, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise ValueError(
            f"{address}: damaged ({error}); choose another folder, or add --force"
        ) from error
    now = json.loads(fingerprint.to_text())
    different = [name for name in now if before.get(name) != now[name]]
    if not different:
        return ""
    name = different[0]
    shorten = (lambda value: str(value)[:12]) if name.endswith("sha256") else str
    return f"{name} {shorten(before.get(name))}, not {shorten(now[name])}"
