"""The released networks' weights, as fixtures/deblurganv2_mobilenet/README.md defines them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).parent / "fixtures"
MOBILENET, INCEPTION = "deblurganv2_mobilenet", "deblurganv2_inception"
DEBLURGAN = "deblurgan_resnet"
# Folder -> its network's last convolution, and the gain of that one's weights.
_LAST = {
    MOBILENET: ("final.weight", 0.02),
    INCEPTION: ("final.weight", 0.005),
    DEBLURGAN: ("model.26.weight", 0.001),
}


def released_state(prefix: str = "module.", folder: str = MOBILENET) -> dict[str, torch.Tensor]:
    """Named as in the released file; of fpn_mobilenet.h5 622 tensors, 225 of them aliases."""
    keys = json.loads((FIXTURES / folder / "keys.json").read_text())
    aliases = keys["aliases"]
    tensors = {n: _tensor(n, tuple(s), folder) for n, s in keys["shapes"].items()
               if n not in aliases}  # fmt: skip
    return {prefix + n: tensors[aliases.get(n, n)] for n in keys["shapes"]}


def expected(folder: str = MOBILENET) -> dict[str, np.ndarray]:
    """``input``, ``output_running_stats`` and ``output_batch_stats``, float32 (1, 3, H, W)."""
    with np.load(FIXTURES / folder / "expected.npz") as arrays:
        return dict(arrays)


def _tensor(key: str, shape: tuple[int, ...], folder: str) -> torch.Tensor:
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
        last, small = _LAST[folder]
        gain = small if key == last else 1.5
        values = rng.standard_normal(shape) * np.sqrt(gain / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
