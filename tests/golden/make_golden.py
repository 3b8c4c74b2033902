"""Write the golden vectors that the app's Kotlin and the web page's JavaScript are tested with.

Run ``python -m tests.golden.make_golden`` after a deliberate change of tiling, statistics,
comparison or the manifest; ``tests/test_golden.py`` fails until then.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from edgedeblur.benchmarks.timing.latency import spread
from edgedeblur.runtimes.artifact import (
    CheckpointInfo,
    Manifest,
    Parity,
    TensorSpec,
    manifest_text,
)
from edgedeblur.runtimes.compare import max_abs, psnr_db, residual_snr_db
from edgedeblur.runtimes.io_format import from_io_format, to_io_format
from edgedeblur.runtimes.pictures.sample_inputs import to_uint8
from edgedeblur.runtimes.pictures.tile_plan import axis_weights, plan_tiles
from edgedeblur.runtimes.pictures.tiling import TilingOptions, deblur_picture

FOLDER = Path(__file__).parent
MULTIPLE = 32
PHONE_SIZE = (32, 64)
BYTES = TensorSpec("bytes", (1, 32, 32, 3), "uint8", "NHWC", value_range=(0.0, 255.0))
# (picture, tile, receptive radius): smaller than a tile, one pixel, equal, one cut, many cuts with
# weights that leave margins out, with a bare ramp, and with neither room for one.
CASES: tuple[tuple[tuple[int, int], tuple[int, int], int | None], ...] = (
    ((1, 1), (32, 64), None),
    ((20, 50), (64, 96), 283),
    ((64, 96), (64, 96), None),
    ((65, 97), (64, 96), 283),
    ((110, 161), (64, 96), 8),
    ((110, 161), (64, 96), None),
    ((70, 97), (32, 32), None),
    ((200, 33), (96, 32), 16),
)
# Larger pictures than are worth deblurring in a test: their plan alone.
PLANS: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = (
    ((720, 1280), (736, 1280)),
    ((3024, 4032), (736, 1280)),
    ((4032, 3024), (256, 256)),
    ((9000, 12000), (512, 512)),
    ((737, 1281), (736, 1280)),
)
# The same for networks of free size, with their multiple and smallest side.
FREE_PLANS: tuple[tuple[tuple[int, int], int, int | None], ...] = (
    ((1, 1), 32, None),
    ((451, 300), 32, None),
    ((1080, 1920), 32, None),
    ((1100, 1920), 32, None),
    ((3000, 4000), 32, None),
    ((4000, 6000), 32, None),
    ((500, 9000), 32, None),
    ((1537, 2049), 16, None),
    ((20, 700), 4, 64),
)


def make(folder: Path) -> None:
    """Write all files into ``folder``."""
    _write(folder / "plans.json", [_plan(picture, tile) for picture, tile in (*_sizes(), *PLANS)])
    _write(folder / "free_plans.json", [_free_plan(*case) for case in FREE_PLANS])
    _write(folder / "statistics.json", _statistics())
    _write_arrays(folder / "conversion.npz", _conversion())
    _write_arrays(folder / "weights.npz", _weights())
    _write_arrays(folder / "tiling.npz", _tiling())
    arrays, numbers = _parity()
    _write_arrays(folder / "parity.npz", arrays)
    _write(folder / "parity.json", numbers)
    for name, size, dtype, low, high in (
        ("model.tflite.json", (64, 96), "uint8", 0.0, 255.0),
        ("phone.tflite.json", PHONE_SIZE, "float32", -1.0, 1.0),
        ("browser.onnx.json", PHONE_SIZE, "float32", -1.0, 1.0),
    ):
        manifest = _manifest(size, dtype, (low, high))
        if name.startswith("browser"):
            manifest = dataclasses.replace(manifest, target="onnx-int8", **_channels_first(size))
        (folder / name).write_text(manifest_text(manifest), encoding="utf-8")


def _channels_first(size: tuple[int, int]) -> dict[str, Any]:
    names = {"input": "image", "output": "deblurred"}
    return {key: TensorSpec(name, (1, 3, *size), "float32") for key, name in names.items()}


def fake_network(image: np.ndarray) -> np.ndarray:
    """Half of the input plus a pattern that betrays where in its tile a pixel lay.

    Both terms are exact in float32, so every implementation must give the same bits.
    """
    rows, columns = np.mgrid[: image.shape[2], : image.shape[3]]
    planes = [(7 * rows + 13 * columns + 5 * c) % 31 - 15 for c in range(3)]
    return image * np.float32(0.5) + (np.stack(planes) / 64).astype(np.float32)[None]


def _sizes() -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [(picture, tile) for picture, tile, _ in CASES]


def _plan(picture: tuple[int, int], tile: tuple[int, int]) -> dict[str, Any]:
    plan = plan_tiles(
        *picture,
        size=tile,
        multiple=MULTIPLE,
        receptive_radius_px=None,
        options=TilingOptions(),
    )
    return {
        "picture": picture,
        "tile": tile,
        "multiple": MULTIPLE,
        "padded": plan.padded,
        "rows": plan.rows,
        "columns": plan.columns,
    }


def _free_plan(picture: tuple[int, int], multiple: int, smallest: int | None) -> dict[str, Any]:
    plan = plan_tiles(
        *picture,
        size=None,
        multiple=multiple,
        receptive_radius_px=None,
        options=TilingOptions(),
        smallest=smallest,
    )
    asked = {"picture": picture, "multiple": multiple, "smallest": smallest}
    return {**asked, **dataclasses.asdict(plan)}


def _statistics() -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    lists = ([5.0], [3.0, 1.0], [4.0, 1.0, 2.0], rng.gamma(4.0, 10.0, 20), rng.gamma(4.0, 1.0, 101))
    cases: list[dict[str, Any]] = []
    for times in lists:
        values = [float(time) for time in times]
        given = spread(values)
        cases.append(
            {"ms": values, "median": given.median_ms, "p5": given.p5_ms, "p95": given.p95_ms}
        )
    return cases


def _conversion() -> dict[str, np.ndarray]:
    """All 256 levels to floats, and floats (ties and outliers among them) to levels.

    ``bytes`` and ``byte_floats`` are the same at the border of a network that takes bytes.
    """
    levels = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(8, 32, 3)
    taken: list[np.ndarray] = []

    def keep(image: np.ndarray) -> np.ndarray:
        taken.append(image.copy())
        return image

    _deblur(keep, levels, (32, 32), None)
    ties = (np.arange(255) + 0.5) / 127.5 - 1.0
    rng = np.random.default_rng(5)
    values = np.concatenate((ties, rng.uniform(-1.0009, 1.0009, 3072 - len(ties))))
    image = values.astype(np.float32).reshape(1, 3, 32, 32)
    given = _deblur(lambda _: image, np.zeros((32, 32, 3), np.uint8), (32, 32), None)
    return {
        "floats": np.ascontiguousarray(taken[0][0, 0, :8, :].reshape(256)),
        "values": np.ascontiguousarray(image[0].transpose(1, 2, 0)),
        "levels": given,
        "bytes": to_io_format(image, BYTES)[0],
        "byte_floats": from_io_format(levels[None], BYTES)[0, 0].reshape(256),
    }


def _weights() -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for number, (picture, tile, radius) in enumerate(CASES):
        plan = plan_tiles(
            *picture,
            size=tile,
            multiple=MULTIPLE,
            receptive_radius_px=radius,
            options=TilingOptions(),
        )
        arrays[f"rows{number}"] = np.stack(axis_weights(plan.rows, tile[0], radius))
        arrays[f"columns{number}"] = np.stack(axis_weights(plan.columns, tile[1], radius))
    return arrays


def _tiling() -> dict[str, np.ndarray]:
    """A picture, and its upper left corners deblurred; radius -1 in ``case`` stands for None."""
    rng = np.random.default_rng(7)
    sides = [max(picture[axis] for picture, _, _ in CASES) for axis in (0, 1)]
    arrays = {"picture": rng.integers(0, 256, (*sides, 3), dtype=np.uint8)}
    for number, (picture, tile, radius) in enumerate(CASES):
        before = arrays["picture"][: picture[0], : picture[1]]
        arrays[f"after{number}"] = _deblur(fake_network, before, tile, radius)
        case = (*tile, -1 if radius is None else radius)
        arrays[f"case{number}"] = np.array(case, np.float32)
    return arrays


def _deblur(
    infer: Any,
    picture: np.ndarray,
    size: tuple[int, int],
    radius: int | None,
) -> np.ndarray:
    return deblur_picture(
        infer,
        picture,
        size=size,
        multiple=MULTIPLE,
        receptive_radius_px=radius,
        options=TilingOptions(),
    )


def _parity() -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """A golden tensor as `edgedeblur.export.android` writes it, an answer, and how far apart."""
    rng = np.random.default_rng(11)
    picture = rng.integers(0, 256, (*PHONE_SIZE, 3), dtype=np.uint8)
    image = picture.astype(np.float32) / np.float32(127.5) - np.float32(1)
    expected = np.clip(image + rng.normal(0, 0.1, image.shape), -1, 1).astype(np.float32)
    actual = np.clip(expected + rng.normal(0, 0.01, image.shape), -1, 1).astype(np.float32)
    numbers = {
        "psnr_db": psnr_db(_picture(actual), _picture(expected)),
        "max_abs": max_abs(actual, expected),
        "residual_snr_db": residual_snr_db(actual, expected, image),
    }
    hash_of_model = np.frombuffer(hashlib.sha256(b"a model").digest(), np.uint8)
    arrays = {
        "image": picture,
        "output": expected,
        "model_sha256": hash_of_model,
        "actual": actual,
    }
    return arrays, numbers


def _picture(image: np.ndarray) -> np.ndarray:
    return to_uint8(image.transpose(2, 0, 1)[None])


def _manifest(size: tuple[int, int], dtype: str, value_range: tuple[float, float]) -> Manifest:
    """One with numbers and letters that JSON writers disagree about."""
    image, deblurred = (
        TensorSpec(name, (1, *size, 3), dtype, "NHWC", value_range=value_range)
        for name in ("image", "deblurred")
    )
    return Manifest(
        target="tflite-int8",
        backbone="mobilenet_dsc",
        checkpoint=CheckpointInfo("ab" * 32, 'höher "weights" \\ é 😀'),
        norm="frozen",
        input=image,
        output=deblurred,
        size_multiple=MULTIPLE,
        receptive_radius_px=283,
        params=1175212,
        macs=62645376,
        macs_size=size,
        bytes=7,
        sha256=hashlib.sha256(b"a model").hexdigest(),
        tools={"edgedeblur": "0.1.0"},
        parity=Parity(
            reference="PyTorch",
            pictures=4,
            picture_set="samples",
            psnr_db=50.25,
            worst_psnr_db=1e16,
            worst_picture="a.png",
            ssim=0.1,
            max_abs=1e-07,
            residual_snr_db=13.381657217532108,
            tolerance_psnr_db=30.0,
            ran_on="LiteRT",
            emulated=False,
        ),
    )


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, allow_pickle=False, **{k: np.ascontiguousarray(v) for k, v in arrays.items()})


if __name__ == "__main__":
    make(FOLDER)
