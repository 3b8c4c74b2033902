"""Quantisation recipes: bit widths, range observers and the layers that stay in float.

A recipe's name says what it does.

``static_w8a8_perchannel``: 8-bit weights with a scale per output channel, 8-bit activations with
ranges fixed by calibration. ``a16``: 16-bit activations. ``weight_only_w8``: float activations.
``_symmetric``: signed activations without a zero point, as TensorRT needs them.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models.network.widths import backbone_of

PAIRS = ("everywhere", "fused")
_POINTWISE = ".0.pointwise"  # the second half of a separable convolution of the decoder
DEPTHWISE = "depthwise"  # in `Recipe.keep`: all depthwise convolutions
NARROW = "narrow"  # in `Recipe.keep`: convolutions of at most 32 input channels; ncnn only
KINDS = (DEPTHWISE, NARROW)
LAST = "final"  # in `Recipe.keep`: the last convolution, also where it has another name
OBSERVERS = ("minmax", "percentile", "entropy", "mse")
DEFAULTS = Path(__file__).parent / "recipes.json"
NAMES = (
    "static_w8a8_perchannel",
    "static_w8a8_pertensor",
    "static_w8a8_perchannel_symmetric",
    "static_w8a16_perchannel",
    "weight_only_w8_perchannel",
)
_NAME = re.compile(
    r"(?:static_w8a(?P<bits>8|16)|weight_only_w8)(?:_per(?P<grain>channel|tensor))?(?P<sym>_symmetric)?"
)


@dataclass(frozen=True)
class Scheme:
    """The meaning of a recipe's name. ``activation_bits`` is None for float activations."""

    activation_bits: int | None
    per_channel: bool
    symmetric: bool

    @staticmethod
    def decode(name: str) -> Scheme:
        """Decode a name; per channel unless the name says otherwise.

        Raises:
            ValueError: not a recipe name; the message lists the usual ones.
        """
        match = _NAME.fullmatch(name)
        if match is None or (match["bits"] is None and match["sym"]):
            near = difflib.get_close_matches(name, NAMES, 1, 0.4)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"unknown recipe {name!r}{hint} Known: {', '.join(NAMES)}")
        bits = None if match["bits"] is None else int(match["bits"])
        return Scheme(bits, match["grain"] != "tensor", match["sym"] is not None)


@dataclass(frozen=True)
class Recipe:
    """A quantisation recipe.

    Attributes:
        name: Decodes to a `Scheme`.
        observer: How ranges follow from the observed values; one of `OBSERVERS`.
        percentile: For the observer ``percentile``: the percentage kept at either end.
        equalise: Apply cross-layer equalisation to the backbone first.
        correct_bias: Subtract the mean error of rounded weights from the biases.
        keep: Layers that stay in float, by `layer_name`; a prefix up to a dot is enough.
            ``depthwise`` means all depthwise convolutions, ``narrow`` (for ncnn) those and all
            others of at most 32 input channels, ``final`` the last one.
        pairs: Where Q/DQ pairs go: ``everywhere``, around every operation, as CPU kernels need
            them; or ``fused``, where TensorRT fuses, see `tensorrt_pairs`.
    """

    name: str = "static_w8a8_perchannel"
    observer: str = "minmax"
    percentile: float = 99.99
    equalise: bool = False
    correct_bias: bool = False
    keep: tuple[str, ...] = (LAST,)
    pairs: str = "everywhere"

    def __post_init__(self) -> None:
        scheme = Scheme.decode(self.name)
        if self.pairs not in PAIRS:
            raise ValueError(f"pairs is {self.pairs!r}; known: {', '.join(PAIRS)}")
        if self.pairs == "fused" and (scheme.activation_bits != 8 or not scheme.symmetric):
            raise ValueError(
                f"pairs 'fused' need symmetric 8-bit activations, which {self.name} does not have; "
                "use static_w8a8_perchannel_symmetric"
            )
        if self.observer not in OBSERVERS:
            raise ValueError(f"unknown observer {self.observer!r}; known: {', '.join(OBSERVERS)}")
        if not 50.0 < self.percentile <= 100.0:
            raise ValueError(
                f"percentile is {self.percentile}; it must be above 50 and at most 100"
            )

    @property
    def scheme(self) -> Scheme:
        """The scheme that the name decodes to."""
        return Scheme.decode(self.name)

    @property
    def needs_pictures(self) -> bool:
        """Whether it needs calibration pictures."""
        return self.scheme.activation_bits is not None or self.correct_bias or self.equalise

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**dataclasses.asdict(self), "keep": list(self.keep)}

    @staticmethod
    def from_dict(body: dict[str, Any], *, origin: str) -> Recipe:
        """Rebuild from `to_dict`'s output.

        Raises:
            ValueError: unknown keys (with the nearest), or values out of range.
        """
        plain = Recipe().to_dict()
        for key, value in body.items():
            if key not in plain:
                near = difflib.get_close_matches(key, plain, 1, 0.4)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{origin}: unknown key {key!r}{hint}")
            wanted = (int, float) if key == "percentile" else type(plain[key])
            if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
                raise ValueError(f"{origin}: {key} is {value!r}; an example is {plain[key]!r}")
        values: dict[str, Any] = {**plain, **body}
        values["keep"] = tuple(str(layer) for layer in values["keep"])
        return Recipe(**values)


def is_kept(layer: str, keep: tuple[str, ...]) -> bool:
    """Whether an entry names the layer, in full or by a prefix up to a dot."""
    return any(layer == entry or layer.startswith(f"{entry}.") for entry in keep)


def default_recipe(network: str) -> Recipe:
    """The recipe found for a network (`recipes.json`), else for its backbone, else the plain one.

    ``network`` is `Checkpoint.key`. A backbone's recipe may keep layers that a network compressed
    from it does not have: see `without_missing`.
    """
    found = searched_network(network)
    if found is None:
        return Recipe()
    return Recipe.from_dict(_searched()[found]["recipe"], origin=str(DEFAULTS))


def for_runtime(recipe: Recipe, network: str, runtime: str) -> Recipe:
    """The network's searched recipe with the layers that one runtime needs in float besides.

    The search measures with ONNX Runtime, and others lose more in some layers: LiteRT and
    ExecuTorch keep sums and resized maps in 8 bits, too. ``runtime`` is `Target.format`.
    """
    found = searched_network(network)
    also = _searched()[found].get("also_keep", {}) if found is not None else {}
    keep = tuple(dict.fromkeys((*recipe.keep, *also.get(runtime, ()))))
    return dataclasses.replace(recipe, keep=keep)


def searched_network(network: str) -> str | None:
    """The key that `default_recipe` finds a recipe under: the network's or its backbone's."""
    searched = _searched()
    return next((key for key in (network, backbone_of(network)) if key in searched), None)


def without_missing(recipe: Recipe, layers: Collection[str]) -> Recipe:
    """The recipe without the layers in ``keep`` that a network does not have.

    ``layers`` are the network's, by `layer_name`.
    """
    keep = (e for e in recipe.keep if e in KINDS or any(is_kept(n, (e,)) for n in layers))
    return dataclasses.replace(recipe, keep=tuple(keep))


def with_whole_blocks(recipe: Recipe) -> Recipe:
    """The recipe with both halves of a separable convolution in float, where it keeps one."""
    keep = (entry.removesuffix(_POINTWISE) for entry in recipe.keep)
    return dataclasses.replace(recipe, keep=tuple(keep))


def read_recipe(text: str | None, network: str) -> Recipe:
    """A recipe by name (with the network's other defaults), from a JSON file, or the default.

    ``network`` is `Checkpoint.key`.

    Raises:
        FileNotFoundError: a path that is not there.
        ValueError: an unknown name, or a file without a recipe.
    """
    default = default_recipe(network)
    if text is None:
        return default
    if not text.endswith(".json"):
        return dataclasses.replace(default, name=text)
    path = Path(text)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such recipe; write one with deblur-quantize search")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(body, dict):
        raise ValueError(f"{path}: not a recipe")
    return Recipe.from_dict(body.get("recipe", body), origin=str(path))


def _searched() -> dict[str, Any]:
    """The recipes that ship, by network, with their evidence."""
    return json.loads(DEFAULTS.read_text(encoding="utf-8")) if DEFAULTS.exists() else {}
