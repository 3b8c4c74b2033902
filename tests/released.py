"""The released network's weights as tests/fixtures/deblurganv2_mobilenet/README.md defines them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).parent / "fixtures"
_FOLDER = FIXTURES / "deblurganv2_mobilenet"


def released_state(prefix: str = "module.") -> dict[str, torch.Tensor]:
    """622 tensors, 225 of them aliases, named as in fpn_mobilenet.h5."""
    keys = json.loads((_FOLDER / "keys.json").read_text())
    tensors = {n: _tensor(n, tuple(s)) for n, s in keys["shapes"].items()}
    return {prefix + n: tensors[keys["aliases"].get(n, n)] for n in keys["shapes"]}


def expected() -> dict[str, np.ndarray]:
    """``input``, ``output_running_stats`` and ``output_batch_stats``, float32 (1, 3, 64, 96)."""
    with np.load(_FOLDER / "expected.npz") as arrays:
        return dict(arrays)


def _tensor(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.tensor(100)
    if key.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        values = 0.1 * rng.standard_normal(shape)
    elif len(shape) == 1 and key.endswith("weight"):
        values = rng.uniform(0.7, 1.3, shape)
    elif len(shape) == 1:
        values = 0.05 * rng.standard_normal(shape)
    else:
        gain = 0.02 if key == "final.weight" else 1.5
        values = rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
