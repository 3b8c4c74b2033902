"""What a compression run writes and prints: JSON, a model card, a Pareto plot, a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtimes.command_line.console import console
from ...runtimes.files import replacing

if TYPE_CHECKING:
    from PIL import ImageDraw

    from .settings import Compression

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 460, 80, 70
_BLUE, _ORANGE, _INK, _GREY = (0, 114, 178), (213, 94, 0), (20, 20, 20), (210, 210, 210)
_RADIUS = 6


def write_results(wanted: Compression, body: dict[str, Any]) -> list[Path]:
    """``compress.json``, ``<network>.md`` and ``pareto.png`` in the run's folder; their paths."""
    paths = [wanted.output / name for name in ("compress.json", f"{wanted.name}.md", "pareto.png")]
    with replacing(paths[0]) as temporary:
        temporary.write_text(json.dumps(body, indent=2, allow_nan=False) + "\n", "utf-8")
    with replacing(paths[1]) as temporary:
        temporary.write_text(card(wanted, body), "utf-8")
    write_pareto(wanted, body, paths[2])
    return paths


def condition(wanted: Compression, body: dict[str, Any]) -> str:
    """What was measured how: the caption of every figure."""
    size = f"{wanted.size[0]}x{wanted.size[1]}"
    if body["unit"] == "MACs":
        return f"multiply-accumulates of the convolutions at {size}"
    return (
        f"{wanted.target}, {size}, {wanted.threads} threads, first quartile of {wanted.rounds} "
        f"interleaved rounds, {body['machine']}"
    )


def card(wanted: Compression, body: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    rows = [
        f"| {each['name']} | {_number(each['cost'])} | {_gains(each['gains_db'])} "
        f"| {'yes' if each['fits'] else 'no'} |"
        for each in body["candidates"]
    ]
    sets = list(body["gains_db"])
    lines = [
        f"# {wanted.name}",
        "",
        f"`{wanted.checkpoint}` made narrower, to at most {_number(body['budget'])} {body['unit']} "
        f"({_number(body['unpruned_cost'])} before). {condition(wanted, body)}.",
        "",
        "| pictures | gain, dB | gain of the unpruned network, dB |",
        "|---|---:|---:|",
        *(
            f"| {name} | {body['gains_db'][name]:+.3f} | {body['unpruned_gains_db'][name]:+.3f} |"
            for name in sets
        ),
        "",
        f"Trained for {wanted.steps} steps on "
        f"{', '.join((*wanted.sharp, *wanted.pairs)) or 'nothing'} with the preset "
        f"`{wanted.preset}`; its teacher is `{wanted.teacher or wanted.checkpoint}`.",
        "",
        f"## Candidates, after {wanted.trial_steps if wanted.steps else 0} steps each",
        "",
        f"| found by | {body['unit']} | gains ({', '.join(sets)}), dB | within the budget |",
        "|---|---:|---|---|",
        *rows,
        "",
        f"Chosen: {body['chosen']}.",
        "",
        "## Widths",
        "",
        "```json",
        json.dumps(body["widths"]),
        "```",
    ]
    if model := body["latency_model"]:
        error = 100 * model["mean_relative_error"]
        lines += [
            "",
            f"The latency model is fitted to {len(model['networks']) - model['held_out']} measured "
            f"networks and off by {error:.1f} % on {model['held_out']} others.",
        ]
    return "\n".join(lines) + "\n"


def print_table(wanted: Compression, body: dict[str, Any]) -> None:
    """The candidates and the result, for people."""
    from rich.table import Table

    table = Table(title=f"{wanted.name}: candidates", caption=condition(wanted, body))
    for heading in ("found by", body["unit"], "gain, dB", "within the budget"):
        table.add_column(heading)
    table.add_row(
        "(unpruned)", _number(body["unpruned_cost"]), _gains(body["unpruned_gains_db"]), ""
    )
    for each in body["candidates"]:
        fits = "yes" if each["fits"] else "no"
        table.add_row(each["name"], _number(each["cost"]), _gains(each["gains_db"]), fits)
    table.add_row(f"{body['chosen']}, trained", "", _gains(body["gains_db"]), "")
    console().print(table)


def write_pareto(wanted: Compression, body: dict[str, Any], path: Path) -> None:
    """Plot every candidate: cost against the mean gain over the validation sets, dB."""
    from PIL import Image, ImageDraw, ImageFont

    small, large = ImageFont.load_default(12), ImageFont.load_default(16)
    points = [
        (each["name"], each["cost"], _mean(each["gains_db"]), _BLUE) for each in body["candidates"]
    ]
    chosen = next(each for each in body["candidates"] if each["name"] == body["chosen"])
    points.append(("unpruned", body["unpruned_cost"], _mean(body["unpruned_gains_db"]), _INK))
    points.append((f"{wanted.name}, trained", chosen["cost"], _mean(body["gains_db"]), _ORANGE))
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    most = max(cost for _, cost, _, _ in points) * 1.1
    gains = [gain for *_, gain, _ in points]
    low, high = min(gains) - 0.1, max(gains) + 0.1
    wide, tall = _WIDTH - _LEFT - 30, _HEIGHT - _BOTTOM - 40

    def place(cost: float, gain: float) -> tuple[float, float]:
        return _LEFT + wide * cost / most, 40 + tall * (high - gain) / (high - low)

    _axes(draw, place, (most, low, high), body["unit"], small)
    edge = place(body["budget"], low)[0]
    draw.line((edge, 40, edge, 40 + tall), fill=_GREY, width=2)
    draw.text((edge + 4, 42), "budget", _INK, small)
    for name, cost, gain, colour in points:
        x, y = place(cost, gain)
        draw.ellipse((x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS), fill=colour)
        left = x + 10 if x < _WIDTH - 180 else x - 10 - draw.textlength(name, small)
        draw.text((left, y - 7), name, colour, small)
    draw.text((10, 10), f"{wanted.name}: cost against quality", _INK, large)
    draw.text((10, _HEIGHT - 24), condition(wanted, body), _INK, small)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def _axes(draw: ImageDraw.ImageDraw, place: Any, ends: Any, unit: str, font: Any) -> None:  # noqa: ANN401
    most, low, high = ends
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, bottom = place(share * most, low)
        draw.line((x, 40, x, bottom), fill=_GREY)
        draw.text((x - 14, bottom + 4), _number(share * most), _INK, font)
        gain = low + share * (high - low)
        left, y = place(0, gain)
        draw.line((left, y, place(most, gain)[0], y), fill=_GREY)
        draw.text((left - 62, y - 7), f"{gain:+.2f} dB", _INK, font)
    draw.text((place(most, low)[0] - 40, place(0, low)[1] + 20), unit, _INK, font)


def _number(value: float) -> str:
    return f"{value / 1e9:.2f} G" if value >= 1e6 else f"{value:.1f}"


def _gains(gains: dict[str, float]) -> str:
    return ", ".join(f"{gain:+.3f}" for gain in gains.values())


def _mean(gains: dict[str, float]) -> float:
    return sum(gains.values()) / len(gains)
