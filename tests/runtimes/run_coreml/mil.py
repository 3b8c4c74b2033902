"""Small ML Programs for tests: built operation by operation, saved, and read back."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import torch
from edgedeblur.runtimes.run_coreml.interpreter import MilProgram, coremltools, quiet


def saved(folder: Path, build, shape, *, half=True, ios="17") -> Path:
    """A package whose program is ``build(mb, x)`` on an input ``x`` of that shape.

    The input is float32; with ``half`` it is cast to float16 first.
    """
    ct = coremltools()
    mb = coremltools("coremltools.converters.mil.mil").Builder
    kinds = coremltools("coremltools.converters.mil.mil.types")
    opset = getattr(ct.target, f"iOS{ios}")
    path = folder / "net.mlpackage"
    with quiet(), _scratch(folder):

        @mb.program(input_specs=[mb.TensorSpec(shape=shape, dtype=kinds.fp32)], opset_version=opset)
        def program(x):
            return build(mb, mb.cast(x=x, dtype="fp16") if half else x)

        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=opset,
            compute_precision=ct.precision.FLOAT32,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        model.save(str(path))
    return path


@contextlib.contextmanager
def _scratch(folder: Path):
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def run(path: Path, x: np.ndarray) -> torch.Tensor:
    """The only output for the only input."""
    program = MilProgram(path)
    (name,), (result,) = program.inputs, program.outputs
    return program.run({name: torch.from_numpy(x)})[result]
