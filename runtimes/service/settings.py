"""What a service is asked for: the artifact, its replicas, and the limits of a request."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..pictures.tiling import TilingOptions

# Formats that come in and go out: the media type of each, and the ending that chooses it.
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
FORMAT_NAMES = {"jpeg": "JPEG", "jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True)
class Limits:
    """What a request may cost; every number is at least 1.

    Attributes:
        body_bytes: Most bytes of a body.
        pixels: Most pixels of a picture, by its header, before any is decoded.
        body_s: Seconds in which the body must have come.
        answer_s: Seconds from the end of the body to the answer, waiting included.
        header_s: Seconds in which a request's head must have come, and in which a client must
            take some of its answer.
        queue: Pictures that may wait while all replicas are busy.
        uploads: Bodies that may arrive at the same time.
        connections: Connections that may be open.
    """

    body_bytes: int = 32 << 20
    pixels: int = 50_000_000
    body_s: float = 30.0
    answer_s: float = 60.0
    header_s: float = 10.0
    queue: int = 16
    uploads: int = 64
    connections: int = 512


@dataclass(frozen=True)
class Settings:
    """A service.

    Attributes:
        artifact: Path of the artifact, on every machine that runs a replica.
        replicas: How many runners are open at first, each in a process of its own.
        most_replicas: How many there may be under load; ``replicas`` for a fixed number.
        threads: CPU threads of each replica.
        device: ``cpu`` or ``cuda``.
        at_once: Pictures that a replica works on at once. One of them infers; the others decode
            and encode meanwhile, since artifacts take one picture at a time.
        quality: Of JPEG and WebP, 1 to 100, where the request names none.
        options: Borders and tiles, as for `deblur_picture`.
        limits: See `Limits`.
    """

    artifact: str
    replicas: int = 1
    most_replicas: int = 1
    threads: int = 1
    device: str = "cpu"
    at_once: int = 2
    quality: int = 95
    options: TilingOptions = field(default_factory=TilingOptions)
    limits: Limits = field(default_factory=Limits)

    @property
    def capacity(self) -> int:
        """Pictures that may be inside at once: worked on, and waiting."""
        return self.at_once * self.most_replicas + self.limits.queue

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for ``--json`` and for a Ray application's arguments."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(body: dict[str, Any]) -> Settings:
        """Rebuild from `to_dict`'s output, or from part of it: the rest is at its default.

        Raises:
            ValueError: a key that does not exist, or a value of another type.
        """
        fields: dict[str, Any] = {"artifact": "", **body}
        try:
            options = dict(fields.pop("options", {}))
            if options.get("tile"):
                options["tile"] = tuple(options["tile"])  # JSON has lists alone
            limits = Limits(**fields.pop("limits", {}))
            settings = Settings(**fields, limits=limits, options=TilingOptions(**options))
        except TypeError as error:
            raise ValueError(f"settings of the service: {error}") from error
        if not settings.artifact:
            raise ValueError("settings of the service: 'artifact' is missing")
        return settings


@dataclass(frozen=True)
class Ask:
    """What a request wants besides the picture.

    Attributes:
        format: ``JPEG``, ``PNG`` or ``WEBP``; None: the picture's own.
        quality: 1 to 100; None: the service's.
    """

    format: str | None = None
    quality: int | None = None


@dataclass(frozen=True)
class Answer:
    """A deblurred picture, encoded; times in seconds, waiting for the network left out."""

    body: bytes
    media_type: str
    height: int
    width: int
    tiles: int
    decode_s: float
    infer_s: float
    total_s: float


@dataclass(frozen=True)
class Refusal:
    """Why a request gets no picture, as its answer says it: nothing of the machine is in it."""

    status: int
    detail: str
    retry_after_s: int | None = None
