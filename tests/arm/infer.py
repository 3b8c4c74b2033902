"""Runs on Arm: ``infer.py IMAGE.npy ARTIFACT...`` writes ``ARTIFACT.npy`` and prints how it ran."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np
from edgedeblur.runtimes.registry import open_runner

image = np.load(sys.argv[1])
for artifact in sys.argv[2:]:
    with open_runner(Path(artifact), threads=1) as runner:
        np.save(f"{artifact}.npy", runner.infer(image))
        sys.stdout.write(f"{platform.machine()} {runner.precision}\n")
