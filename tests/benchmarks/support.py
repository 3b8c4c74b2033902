"""Tiny true artifacts and pictures for the benchmark tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from edgedeblur.benchmarks.result import Conditions, Latency, Samples
from edgedeblur.benchmarks.timing.latency import spread
from edgedeblur.benchmarks.workers.jobs import PictureFiles
from edgedeblur.runtimes.artifact import (
    CheckpointInfo,
    Manifest,
    TensorSpec,
    manifest_path,
    write_manifest,
)
from edgedeblur.runtimes.files import sha256_of, size_of
from onnx import TensorProto, helper, numpy_helper

SIZE = (64, 96)


def conditions(**changes):
    fields = {
        "size": SIZE, "protocol": "edge", "device": "cpu", "threads": 1, "runs": 3, "warmup": 1,
    }  # fmt: skip
    return Conditions(**{**fields, **changes})


def latency(times, *, size=SIZE, peak=1 << 20):
    """As a worker gives it, with every part of every run taking ``times`` (ms)."""
    part = spread(times)
    return Latency(
        size=size, content="p", runs=len(times), warmup=1, import_ms=1.0, load_ms=2.0,
        first_ms=3.0, infer=part, end_to_end=part, pre=part, post=part, picture_size=size,
        tiles=1, peak_memory_bytes=peak, start_memory_bytes=1, memory_method="made up",
        round_medians_ms=(part.median_ms,), samples=Samples(*(4 * (tuple(times),))),
    )  # fmt: skip


def write_artifact(
    path: Path,
    weight: np.ndarray,
    *,
    size: tuple[int, int] | None = SIZE,
    checkpoint: tuple[str, str] = ("0" * 64, "nowhere.safetensors"),
    backbone: str = "mobilenet_dsc",
    size_multiple: int = 32,
) -> Path:
    """An .onnx with its manifest: clip(image + conv3x3(image)); weight (3, 3, 3, 3)."""
    sides = size or ("height", "width")
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["residual"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["image", "residual"], ["sum"]),
        helper.make_node("Clip", ["sum", "low", "high"], ["deblurred"]),
    ]
    stored = [
        numpy_helper.from_array(weight.astype(np.float32), "weight"),
        numpy_helper.from_array(np.array(-1.0, np.float32), "low"),
        numpy_helper.from_array(np.array(1.0, np.float32), "high"),
    ]
    write_graph(path, nodes, stored, ["batch", 3, *sides], "image", "deblurred")
    sha256, source = checkpoint
    manifest = Manifest(
        target="onnx-fp32",
        backbone=backbone,
        checkpoint=CheckpointInfo(sha256, source),
        norm="frozen",
        input=TensorSpec("image", ("batch", 3, *sides), "float32"),
        output=TensorSpec("deblurred", ("batch", 3, *sides), "float32"),
        size_multiple=size_multiple,
        receptive_radius_px=1,
        params=81,
        macs=81 * SIZE[0] * SIZE[1],
        macs_size=SIZE,
        bytes=size_of(path),
        sha256=sha256_of(path),
        tools={},
    )
    write_manifest(manifest, manifest_path(path))
    return path


def write_graph(path, nodes, stored, shape, first, last, opset=18):
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(first, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, path)


def sharpening(strength: float = 0.2) -> np.ndarray:
    """Residual weights that sharpen each channel: centre minus the mean of its neighbours."""
    kernel = np.full((3, 3), -1 / 8)
    kernel[1, 1] = 1.0
    weight = np.zeros((3, 3, 3, 3))
    for channel in range(3):
        weight[channel, channel] = strength * kernel
    return weight


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 (H, W, 3): smooth shapes with a little grain, as photographs have."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = [
        120 + 70 * np.sin(rows / rng.uniform(4, 9) + c) * np.cos(columns / rng.uniform(4, 9))
        for c in range(3)
    ]
    grain = rng.normal(0, 1, (*size, 3))
    return np.clip(np.stack(waves, -1) + grain, 0, 255).astype(np.uint8)


def blurred(sharp: np.ndarray) -> np.ndarray:
    """Mean of five neighbouring columns."""
    total = sum(np.roll(sharp, shift, axis=1).astype(np.int32) for shift in (-2, -1, 0, 1, 2))
    return ((np.asarray(total) + 2) // 5).astype(np.uint8)


def save_png(path: Path, pixels: np.ndarray) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_pairs(
    root: Path, count: int = 2, size: tuple[int, int] = SIZE
) -> tuple[PictureFiles, ...]:
    """``root/blurry`` and ``root/sharp`` with ``count`` pairs."""
    files = []
    for seed in range(count):
        sharp = picture(seed, size)
        blurry_path = save_png(root / "blurry" / f"p{seed}.png", blurred(sharp))
        sharp_path = save_png(root / "sharp" / f"p{seed}.png", sharp)
        files.append(PictureFiles(f"p{seed}", str(blurry_path), (str(sharp_path),)))
    return tuple(files)
