"""One conversion by litert-torch (seconds each) for all tests that start from the same network."""

from __future__ import annotations

import hashlib

import edgedeblur.export.to_tflite.operators as tflite_graph
from edgedeblur.runtimes.run_tflite.tflite_file import TfliteFile

_DONE: dict[object, bytes] = {}
_convert = tflite_graph.to_operators


def to_operators(graph, size, *, levels) -> TfliteFile:
    """`tflite_graph.to_operators`, cached by weights, size and value range."""
    digest = hashlib.sha256()
    for name, value in graph.module.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    key = (digest.digest(), size, levels)
    if key not in _DONE:
        _DONE[key] = _convert(graph, size, levels=levels).pack()
    return TfliteFile(_DONE[key])
