"""Arithmetic of a training step: fp32, or autocast to bf16 or fp16."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    """Autocast on ``device`` (``cpu`` or ``cuda``); nothing for ``fp32``."""
    kind = _DTYPES.get(precision)
    return contextlib.nullcontext() if kind is None else torch.autocast(device, dtype=kind)
