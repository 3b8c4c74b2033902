"""Writes Core ML packages reproducibly, and checks the structure of a saved package.

The layout (``Manifest.json``, ``Data/com.apple.CoreML/...``) is that of coremltools 9.0, which adds
random identifiers and a date, and writes maps in no fixed order.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtimes.run_coreml.interpreter import MODEL_FILE, WEIGHTS, load_spec

# `--ios` -> version of the specification
SPECIFICATIONS = {"15": 6, "16": 7, "17": 8, "18": 9}
_DATE_KEY = "com.github.apple.coremltools.conversion_date"
_LIVE_NORMS = ("instance_norm", "layer_norm", "l2_norm", "reduce_mean")
_MAX_IMMEDIATE_BYTES = 256


@dataclass(frozen=True)
class PackageMetadata:
    """Descriptive metadata of a package."""

    author: str
    licence: str
    description: str
    input: str
    output: str
    user_defined: Mapping[str, str]


def write_package(model: Any, path: Path, about: PackageMetadata) -> None:  # noqa: ANN401 - ct.models.MLModel
    """Write a converted model to the new folder ``path``."""
    spec = model.get_spec()
    write_description(spec, about)
    share_constants(spec)
    file, weights = path / MODEL_FILE, path / WEIGHTS
    file.parent.mkdir(parents=True)
    file.write_bytes(spec.SerializeToString(deterministic=True))
    weights.mkdir()
    shutil.copyfile(Path(model.weights_dir) / "weight.bin", weights / "weight.bin")
    (path / "Manifest.json").write_text(json.dumps(_package_manifest(), indent=4), "utf-8")


def write_description(spec: Any, about: PackageMetadata) -> None:  # noqa: ANN401 - a protobuf message
    """Fill in the description that Xcode shows and apps can read."""
    description = spec.description
    metadata = description.metadata
    metadata.author, metadata.license = about.author, about.licence
    metadata.shortDescription = about.description
    metadata.userDefined.pop(_DATE_KEY, None)
    metadata.userDefined.update(about.user_defined)
    description.input[0].shortDescription = about.input
    description.output[0].shortDescription = about.output


def share_constants(spec: Any) -> None:  # noqa: ANN401 - a protobuf message
    """Merge equal small constants, such as the strides of every convolution.

    They made up half of the program: 600 constants for 80 convolutions.
    """
    block = main_block(spec)
    first: dict[bytes, str] = {}
    stands_for: dict[str, str] = {}
    kept: list[Any] = []
    for op in block.operations:
        for argument in op.inputs.values():
            for binding in argument.arguments:
                if binding.name in stands_for:
                    binding.name = stands_for[binding.name]
        if _is_small_constant(op):
            value = op.attributes["val"].SerializeToString(deterministic=True)
            name = first.setdefault(value, op.outputs[0].name)
            if name != op.outputs[0].name:
                stands_for[op.outputs[0].name] = name
                continue
        kept.append(op)
    kept = [type(op).FromString(op.SerializeToString()) for op in kept]
    del block.operations[:]
    block.operations.extend(kept)


def _is_small_constant(op: Any) -> bool:  # noqa: ANN401
    if op.type != "const" or op.attributes["val"].WhichOneof("value") != "immediateValue":
        return False
    return op.attributes["val"].ByteSize() <= _MAX_IMMEDIATE_BYTES


def main_block(spec: Any) -> Any:  # noqa: ANN401
    """The operations of the function ``main``."""
    main = spec.mlProgram.functions["main"]
    return main.block_specializations[main.opset]


def _package_manifest() -> dict[str, Any]:
    """The package's list of files, with identifiers derived from their names."""
    items = {
        "model.mlmodel": "CoreML Model Specification",
        "weights": "CoreML Model Weights",
    }
    numbers = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, f"edgedeblur/{name}")) for name in items}
    return {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            numbers[name]: {
                "author": "com.apple.CoreML",
                "description": text,
                "name": name,
                "path": f"com.apple.CoreML/{name}",
            }
            for name, text in items.items()
        },
        "rootModelIdentifier": numbers["model.mlmodel"],
    }


@dataclass(frozen=True)
class ExpectedPackage:
    """The structure that a saved package must have.

    Attributes:
        ios: Oldest iOS version that must run it.
        pictures: Whether input and output are images.
        sizes: (height, width) that it accepts, the default first.
        live_norms: Whether live norms are expected.
        int8_weights: Number of weights stored in 8 bits.
    """

    ios: str
    pictures: bool
    sizes: tuple[tuple[int, int], ...]
    live_norms: bool
    int8_weights: int = 0


def check_package(path: Path, expected: ExpectedPackage) -> None:
    """Read a saved package back and check its structure.

    Raises:
        ValueError: the structure differs; the message names the difference.
    """
    spec = load_spec(path)
    if spec.WhichOneof("Type") != "mlProgram":
        raise ValueError(f"{path}: is a {spec.WhichOneof('Type')}, not an ML Program")
    wanted = SPECIFICATIONS[expected.ios]
    if spec.specificationVersion != wanted:
        raise ValueError(
            f"{path}: has specification {spec.specificationVersion}; iOS {expected.ios} reads "
            f"up to {wanted}"
        )
    for feature in (*spec.description.input, *spec.description.output):
        _check_feature(path, feature, expected)
    if expected.pictures:
        _check_sizes(path, spec.description, expected.sizes)
    kinds = [op.type for op in main_block(spec).operations]
    live = sorted({kind for kind in kinds if kind in _LIVE_NORMS})
    if live and not expected.live_norms:
        raise ValueError(
            f"{path}: norms must be frozen, but the program holds {', '.join(live)}, which uses "
            "the picture's own statistics; the norms were not folded before conversion"
        )
    int8_count = sum(kind.startswith("constexpr_") for kind in kinds)
    if int8_count != expected.int8_weights:
        raise ValueError(
            f"{path}: {int8_count} weights are stored in 8 bits, {expected.int8_weights} were to be"
        )


def _check_feature(path: Path, feature: Any, expected: ExpectedPackage) -> None:  # noqa: ANN401
    kind = feature.type.WhichOneof("Type")
    if not expected.pictures:
        if kind != "multiArrayType":
            raise ValueError(f"{path}: {feature.name} is {kind}, not multiArrayType")
        return
    if kind != "imageType":
        raise ValueError(f"{path}: {feature.name} is {kind}, not imageType")
    image = feature.type.imageType
    if image.colorSpace != image.ColorSpace.Value("RGB"):
        name = image.ColorSpace.Name(image.colorSpace)
        raise ValueError(f"{path}: {feature.name} has colours {name}, not RGB")


def _check_sizes(path: Path, description: Any, sizes: tuple[tuple[int, int], ...]) -> None:  # noqa: ANN401
    """Check the input sizes, and the output size if there is only one.

    With several, coremltools leaves the output size unspecified because of a bug in Core ML
    (converters/mil/backend/mil/load.py, rdar 122895892).
    """
    input_type, output_type = (
        part[0].type.imageType for part in (description.input, description.output)
    )
    listed = {(size.height, size.width) for size in input_type.enumeratedSizes.sizes}
    found = [
        ((input_type.height, input_type.width), listed or {(input_type.height, input_type.width)})
    ]
    if len(sizes) == 1:
        found.append(
            ((output_type.height, output_type.width), {(output_type.height, output_type.width)})
        )
    for default, every in found:
        if default != sizes[0] or every != set(sizes):
            raise ValueError(
                f"{path}: pictures are {_size_list((default,))} of {_size_list(sorted(every))}, "
                f"not {_size_list(sizes[:1])} of {_size_list(sorted(sizes))} (HxW)"
            )


def _size_list(sizes: Sequence[tuple[int, int]]) -> str:
    return " or ".join(f"{height}x{width}" for height, width in sizes)
