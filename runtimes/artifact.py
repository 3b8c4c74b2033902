"""The manifest: what an artifact is, what made it, and how far it is from PyTorch.

``model.onnx.json`` lies beside ``model.onnx``. Runners, benchmarks and apps read it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .files import replacing, sha256_of, size_of

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of the artifact.

    ``shape`` holds ints, or names for free sides (``"height"``); ``value_range`` is inclusive.
    ``sizes`` are all (height, width) of an artifact that takes several; ``shape`` has the first.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    layout: str = "NCHW"
    colour: str = "RGB"
    value_range: tuple[float, float] = (-1.0, 1.0)
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> tuple[int, int] | None:
        """Fixed ``(height, width)`` in pixels, or None if the artifact takes any size."""
        height, width = self.shape[self.layout.index("H")], self.shape[self.layout.index("W")]
        if isinstance(height, int) and isinstance(width, int):
            return height, width
        return None


@dataclass(frozen=True)
class CheckpointInfo:
    """Where the weights came from: SHA-256 of the file as read, and its name or address."""

    sha256: str
    source: str


@dataclass(frozen=True)
class Calibration:
    """The pictures that set the quantisation ranges, and the recipe."""

    images: int
    list_sha256: str
    recipe: str
    origin: str = ""


@dataclass(frozen=True)
class Quantisation:
    """How an artifact was quantised, and its quality drop, measured right after export.

    ``recipe`` is `quantize.recipe.Recipe` as a dictionary, whole. The drops are losses against
    sharp pictures, float network (PyTorch) minus this artifact, means over ``pictures``: PSNR in
    dB on uint8 RGB, SSIM after Wang et al. 2004. ``psnr_to_float_db`` and ``residual_snr_db``
    compare with the float network itself. ``stability_db`` is how far apart the drops are when
    either half of the calibration pictures sets the ranges; None if there was only one picture.
    """

    recipe: dict[str, Any]
    pictures: int
    picture_set: str
    psnr_drop_db: float
    ssim_drop: float
    psnr_to_float_db: float
    residual_snr_db: float
    worst_picture: str
    worst_drop_db: float
    max_drop_db: float
    stability_db: float | None


@dataclass(frozen=True)
class Parity:
    """Artifact against PyTorch, right after export; dB and intensities on uint8 RGB.

    ``psnr_db`` is that of the pictures' mean squared error, uint8 output against uint8 output,
    ``worst_psnr_db`` the lowest of one picture, ``ssim`` the mean; infinite (identical) is written
    as null. ``max_abs`` is the
    largest difference of the float outputs in [-1, 1]; ``residual_snr_db`` is measured on
    (output - input), since the network only makes a residual. ``emulated`` marks numbers that
    did not come from the target's own runtime; ``note`` names what ran instead, and why, where this
    machine cannot run the artifact itself.
    """

    reference: str
    pictures: int
    picture_set: str
    psnr_db: float
    worst_psnr_db: float
    worst_picture: str
    ssim: float
    max_abs: float
    residual_snr_db: float
    tolerance_psnr_db: float
    ran_on: str
    emulated: bool
    note: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What an artifact is, what made it, and how close it is to PyTorch.

    ``norm`` is ``frozen`` (running statistics, folded) or ``live`` (statistics of the picture);
    ``trained_norm`` is the mode the weights were trained for, None if unknown: ``parity`` is
    measured in ``norm`` and covers no difference between the two.
    ``network`` is the network's name, which is its backbone's at full width (None in manifests of
    before there were narrower ones), and ``widths`` its architecture record,
    `models.network.widths.Widths`, as a dictionary.
    ``receptive_radius_px`` is how far an output pixel sees, None for live norms (everything).
    ``macs`` counts convolutions only, at ``macs_size`` (height, width). ``freezing_psnr_db`` is
    the PSNR between frozen and live PyTorch outputs if a checkpoint trained live was frozen.
    ``options`` are the format's options, as requested or by default, without file paths.
    ``engine`` is set if the artifact was compiled: ``builder``, ``system`` and ``gpu`` that it was
    built by and for; ``build_s``: seconds of the build; ``source_bytes`` and
    ``source_sha256``: size and hash of the ONNX graph.
    ``smallest_side``, in pixels, is there where the size is free and sides of ``size_multiple`` are
    too small for the network.
    """

    target: str
    backbone: str
    checkpoint: CheckpointInfo
    norm: str
    input: TensorSpec
    output: TensorSpec
    size_multiple: int
    receptive_radius_px: int | None
    params: int
    macs: int | None
    macs_size: tuple[int, int] | None
    bytes: int
    sha256: str
    tools: dict[str, str]
    parity: Parity | None = None
    rewrites: tuple[str, ...] = ()
    calibration: Calibration | None = None
    freezing_psnr_db: float | None = None
    trained_norm: str | None = None
    quantisation: Quantisation | None = None
    options: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] | None = None
    network: str | None = None
    widths: dict[str, Any] | None = None
    smallest_side: int | None = None
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, plus ``digest``, the SHA-256 over all other fields."""
        body: dict[str, Any] = _json_types(dataclasses.asdict(self))
        if self.smallest_side is None:  # as it was before there were such networks
            del body["smallest_side"]
        body["digest"] = _digest(body)
        return body

    @staticmethod
    def from_dict(body: dict[str, Any], *, origin: str) -> Manifest:
        """Rebuild from `to_dict`'s output.

        Raises:
            ValueError: fields are missing or unknown, the schema is another version's, or the
                digest shows that the text was edited.
        """
        body = dict(body)
        version = body.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"{origin}: manifest schema {version!r}, this version reads {SCHEMA_VERSION}; "
                "export the artifact again"
            )
        digest = body.pop("digest", None)
        if digest != _digest(body):
            raise ValueError(
                f"{origin}: manifest was altered after export (its digest does not match); "
                "restore it or export the artifact again"
            )
        try:
            return _from_json_types(body)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{origin}: not a manifest of this version ({error})") from error


def manifest_path(artifact: Path) -> Path:
    """``model.onnx`` -> ``model.onnx.json``."""
    return artifact.with_name(artifact.name + ".json")


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest's JSON to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(manifest_text(manifest), encoding="utf-8")


def manifest_text(manifest: Manifest) -> str:
    """The text of a manifest file; ValueError for NaN and -inf, which JSON cannot hold."""
    return json.dumps(manifest.to_dict(), indent=2, allow_nan=False) + "\n"


def read_manifest(artifact: Path) -> Manifest:
    """Read the manifest beside ``artifact`` and check that both are as they were exported.

    Raises:
        FileNotFoundError: the artifact or its manifest does not exist.
        ValueError: the manifest is unreadable or was altered, or the artifact's hash is another.
    """
    if not artifact.exists():
        raise FileNotFoundError(f"{artifact}: no such file; make one with deblur-export")
    beside = manifest_path(artifact)
    if not beside.exists():
        raise FileNotFoundError(
            f"{artifact}: its manifest {beside.name} is missing; keep the two files together, "
            "or export the artifact again"
        )
    try:
        body = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{beside}: not JSON ({error}); export the artifact again") from error
    if not isinstance(body, dict):
        raise ValueError(f"{beside}: not a manifest; export the artifact again")
    manifest = Manifest.from_dict(body, origin=str(beside))
    if size_of(artifact) != manifest.bytes or sha256_of(artifact) != manifest.sha256:
        raise ValueError(
            f"{artifact}: not the file its manifest describes (SHA-256 differs); "
            "export the artifact again"
        )
    return manifest


def _json_types(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """JSON types only; +inf (identical pictures) becomes null, NaN is refused."""
    if isinstance(value, dict):
        return {str(key): _json_types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_types(item) for item in value]
    if isinstance(value, float):
        if math.isnan(value) or value == -math.inf:
            raise ValueError(f"a manifest cannot hold {value}")
        return None if value == math.inf else value
    return value


def _digest(body: dict[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _from_json_types(body: dict[str, Any]) -> Manifest:
    for key in ("input", "output"):
        spec = dict(body[key])
        spec["shape"] = tuple(spec["shape"])
        spec["value_range"] = tuple(spec["value_range"])
        spec["sizes"] = tuple(tuple(size) for size in spec.get("sizes", ()))
        body[key] = TensorSpec(**spec)
    body["checkpoint"] = CheckpointInfo(**body["checkpoint"])
    if body["parity"] is not None:
        parity: dict[str, Any] = dict(body["parity"])
        for name in ("psnr_db", "worst_psnr_db", "residual_snr_db"):
            parity[name] = math.inf if parity[name] is None else parity[name]
        body["parity"] = Parity(**parity)
    if body["calibration"] is not None:
        body["calibration"] = Calibration(**body["calibration"])
    if body.get("quantisation") is not None:
        body["quantisation"] = Quantisation(**body["quantisation"])
    if body["macs_size"] is not None:
        body["macs_size"] = tuple(body["macs_size"])
    body["rewrites"] = tuple(body["rewrites"])
    return Manifest(**body)
