"""Names of layers as recipes and messages write them: the same before and after rewrites.

Exact rewrites (`pyramid_network.RewritableGenerator`) number the heads from the coarsest level, and
merge laterals into the fusion points that read them. Other networks' layers keep their names.
"""

from __future__ import annotations

_INNER = "fpn."  # the part of a pyramid that holds its backbone, its laterals and td1 to td3
_HEADS = {f"heads.{index}": f"head{4 - index}" for index in range(4)}
_READER_OF_LATERAL = {
    "lateral0": "smooth2",
    "lateral1": "td3",
    "lateral2": "td2",
    "lateral3": "td1",
}
_FUSION_POINTS = (*_READER_OF_LATERAL.values(), "smooth", "final")


def layer_name(weight: str) -> str:
    """``fpn.features.3.conv.0.weight`` -> ``features.3.conv.0``, in rewritten networks too."""
    name = weight.removesuffix(".weight").removeprefix(_INNER)
    for numbered, plain in _HEADS.items():
        if name.startswith(f"{numbered}."):
            return plain + name[len(numbered) :]
    return name


def fusion_point_of(layer: str) -> str | None:
    """The fusion point that a layer (by `layer_name`) is part of after rewrites, or None."""
    first = layer.partition(".")[0]
    point = _READER_OF_LATERAL.get(first, first)
    return point if point in _FUSION_POINTS else None
