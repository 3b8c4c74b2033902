"""Makes the sample pairs from their source photographs, as `samples.json` describes.

    python -m edgedeblur.benchmarks.samples.make_samples SOURCES [--out FOLDER] [--only NAME ...]

SOURCES is a folder anywhere under which the source files lie, by the names and SHA-256 sums in
`samples.json`. Every pair is: crop, shrink by area averaging (this is the sharp picture), blur in
linear light with one camera-shake kernel from the sample's seed, add Gaussian noise from the same
generator (this is the blurry picture). So a blurry picture can be made again from its shipped
sharp one: `blur_sample`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ...models.data.blur import add_noise_and_jpeg, blur_with_kernel, random_kernel

HERE = Path(__file__).parent
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """What one pair is made of; the fields of an entry of `samples.json` that make_samples needs.

    `crop` is left, top, width, height in source pixels; `size` width, height in pixels;
    `noise_std` in steps of [0, 255].
    """

    name: str
    file: str
    sha256: str
    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    length_px: float
    seed: int
    noise_std: float


def load_recipe(path: Path = HERE / "samples.json") -> list[Sample]:
    """Read the samples from `samples.json`, in its order; a missing field raises KeyError."""
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["samples"]
    return [
        Sample(
            name=entry["name"],
            file=entry["source"]["file"],
            sha256=entry["source"]["sha256"],
            crop=tuple(entry["crop"]),
            size=tuple(entry["size"]),
            length_px=entry["length_px"],
            seed=entry["seed"],
            noise_std=entry["noise_std"],
        )
        for entry in entries
    ]


def blur_sample(sharp: Picture, sample: Sample) -> Picture:
    """The blurry picture of a sharp one (uint8 RGB, height x width x 3), by the sample's seed."""
    rng = np.random.default_rng(sample.seed)
    kernel = random_kernel(rng, sample.length_px)
    return add_noise_and_jpeg(rng, blur_with_kernel(sharp, kernel), sample.noise_std)


def make_sample(sources: Path, sample: Sample, out: Path) -> None:
    """Write `out/sharp/NAME.png` and `out/blurry/NAME.png`.

    Raises FileNotFoundError if no file under `sources` has the sample's name and hash, ValueError
    if the crop does not lie inside the picture or is smaller than the size asked for.
    """
    path = _find_source(sources, sample)
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: cannot be decoded as a picture; get the file again")
    left, top, width, height = sample.crop
    if top + height > picture.shape[0] or left + width > picture.shape[1]:
        raise ValueError(f"{path}: crop {sample.crop} leaves the picture {picture.shape[:2]}")
    if sample.size[0] > width or sample.size[1] > height:
        raise ValueError(f"{path}: size {sample.size} would enlarge the crop {sample.crop}")
    crop = picture[top : top + height, left : left + width]
    shrunk = cv2.resize(crop, sample.size, interpolation=cv2.INTER_AREA)
    sharp = np.ascontiguousarray(np.asarray(shrunk, dtype=np.uint8)[..., ::-1])
    _write_rgb(out / "sharp" / f"{sample.name}.png", sharp)
    _write_rgb(out / "blurry" / f"{sample.name}.png", blur_sample(sharp, sample))


def _find_source(sources: Path, sample: Sample) -> Path:
    for path in sorted(sources.rglob(Path(sample.file).name)):
        if hashlib.sha256(path.read_bytes()).hexdigest() == sample.sha256:
            return path
    raise FileNotFoundError(
        f"{sources}: no {Path(sample.file).name} with SHA-256 {sample.sha256[:12]}...; "
        "unpack the package named in samples.json there"
    )


def _write_rgb(path: Path, image: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS]
    if not cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]), options):
        raise OSError(f"{path}: could not be written; check the folder")


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when all pairs are written, 1 with one line on standard error if not."""
    parser = argparse.ArgumentParser(description="Make the sample pairs from their sources.")
    parser.add_argument("sources", type=Path, help="folder that holds the source photographs")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for blurry/ and sharp/")
    parser.add_argument("--only", nargs="*", help="names of the samples to make (default: all)")
    options = parser.parse_args(arguments)
    recipe = load_recipe()
    unknown = set(options.only or ()) - {sample.name for sample in recipe}
    if unknown:
        parser.error(f"no such sample: {', '.join(sorted(unknown))}")
    try:
        for sample in recipe:
            if not options.only or sample.name in options.only:
                make_sample(options.sources, sample, options.out)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"make_samples: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
