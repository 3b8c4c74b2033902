"""The architecture record: every hidden width of a network, in channels.

A backbone's default record is the published network. A compressed network carries its own in its
checkpoint's header, and manifests show it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

# Of one layer. Up to 3 channels, `conv3x3` is dense; records come from untrusted files.
MIN_WIDTH, MAX_WIDTH = 4, 1024


@dataclass(frozen=True)
class Widths:
    """Channels of every layer that may be made narrower. Levels count from 1/4 to 1/32.

    Attributes:
        streams: Of the backbone: after its stem, then after each group of blocks.
        hidden: Expansion channels of each block that has them, in order. 0 leaves the block out,
            which only a block that adds its input to its output allows.
        pyramid: Maps at 1/4, 1/8, 1/16 and 1/32. A lateral is as wide as what it is added to: the
            one at 1/32 and 1/16 as the map at 1/32, at 1/8 as the map at 1/16, and so on.
        heads: After the first and the second convolution of head 1 to 4. A first width of 0 leaves
            the first convolution out.
        smooth: After ``smooth``, and after the lateral at 1/2 that is added to it.
        smooth2: After ``smooth2``.
    """

    streams: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    pyramid: tuple[int, ...] = (128, 128, 128, 128)
    heads: tuple[tuple[int, int], ...] = ((64, 64),) * 4
    smooth: int = 64
    smooth2: int = 32

    @property
    def laterals(self) -> tuple[int, ...]:
        """Channels after the laterals at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        return (self.smooth, *self.pyramid[1:], self.pyramid[-1])

    @property
    def merged(self) -> int:
        """Channels of the heads' concatenation, the input of ``smooth``."""
        return sum(out for _, out in self.heads)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def to_json(self) -> str:
        """One line of JSON, the same text for the same record."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def network_key(backbone: str, widths: Widths, default: Widths) -> str:
    """What tuned choices are stored under: ``mobilenet_dsc``, or ``mobilenet_dsc-1a2b3c4d``."""
    if widths == default:
        return backbone
    return f"{backbone}-{hashlib.sha256(widths.to_json().encode()).hexdigest()[:8]}"


def backbone_of(key: str) -> str:
    """The backbone in a key that `network_key` made; backbones' names have no hyphen."""
    return key.partition("-")[0]


def widths_from_json(text: str, default: Widths) -> Widths:
    """Read a record that has the form of ``default``: as many streams, blocks, levels and heads.

    Raises:
        ValueError: not such a record; the message names the field.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the widths are not JSON ({error})") from error
    if not isinstance(body, dict) or set(body) != set(default.to_dict()):
        raise ValueError(f"the widths must be an object of {', '.join(default.to_dict())}")
    values = {name: _tuples(value, name) for name, value in body.items()}
    widths = Widths(**values)
    check_widths(widths, default)
    return widths


def check_widths(widths: Widths, default: Widths) -> None:
    """ValueError unless the record has the default's form, with widths in their limits."""
    for name, wanted in default.to_dict().items():
        found = widths.to_dict()[name]
        if _shape(found) != _shape(wanted):
            raise ValueError(f"widths: {name} is {found}; an example is {wanted}")
    may_be_zero = {("hidden", i) for i in range(len(widths.hidden))}
    may_be_zero |= {("heads", i, 0) for i in range(len(widths.heads))}
    published = dict(_numbers(default.to_dict()))
    for place, value in _numbers(widths.to_dict()):
        if value == published[place]:
            continue
        if not MIN_WIDTH <= value <= MAX_WIDTH and not (value == 0 and place in may_be_zero):
            name = ".".join(str(part) for part in place)
            raise ValueError(f"widths: {name} is {value}; it must be {MIN_WIDTH} to {MAX_WIDTH}")


def _tuples(value: object, name: str) -> Any:  # noqa: ANN401 - numbers and nested tuples of them
    if isinstance(value, list):
        return tuple(_tuples(item, name) for item in value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"widths: {name} holds {str(value)[:40]!r}, which is not a whole number")
    return value


def _shape(value: object) -> object:
    return [_shape(item) for item in value] if isinstance(value, list) else None


def _numbers(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], int]]:  # noqa: ANN401
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _numbers(item, (*place, key))]
    if isinstance(value, list):
        items = enumerate(value)
        return [found for key, item in items for found in _numbers(item, (*place, key))]
    return [(place, value)]
