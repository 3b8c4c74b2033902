import dataclasses

import numpy as np
import pytest
from edgedeblur.benchmarks.report.columns import ms_per_megapixel, time_columns
from edgedeblur.benchmarks.report.scaling import (
    HEIGHT,
    WIDTH,
    Point,
    scaling_series,
    tick_step,
    write_scaling,
)
from edgedeblur.benchmarks.result import Row

from ..support import latency
from .test_report import result

SIZES = ((1088, 1920), (256, 256), (736, 1280))


def swept(*rows):
    shown = result(*rows)
    return dataclasses.replace(shown, conditions=dataclasses.replace(shown.conditions, sizes=SIZES))


def rows(name, ms_per_pixel):
    return [
        Row(name, latency=latency([ms_per_pixel * h * w, 99e-5 * h * w, 1e-5 * h * w], size=(h, w)))
        for h, w in SIZES
    ]


def test_each_engine_has_a_point_per_measured_size():
    first, second = rows("a", 2e-4), rows("b", 1e-4)
    lost = dataclasses.replace(second[1], latency=None, error="b: killed")
    a, b = scaling_series(swept(*first, second[0], lost, second[2]))
    assert (a.label, b.label) == ("a", "b")
    assert [point.megapixels for point in a.points] == [0.065536, 0.94208, 2.08896]
    assert [point.megapixels for point in b.points] == [0.94208, 2.08896]
    assert a.points[0].median_ms == pytest.approx(2e-4 * 65536)
    assert isinstance(a.points[0], Point)
    assert a.points[0].p5_ms < a.points[0].median_ms < a.points[0].p95_ms


def test_without_a_sweep_there_is_nothing_to_plot(tmp_path):
    assert scaling_series(result(*rows("a", 1e-4))) == ()
    with pytest.raises(ValueError, match="nothing to plot"):
        write_scaling(result(*rows("a", 1e-4)), tmp_path / "s.png")
    with pytest.raises(ValueError, match="nothing to plot"):
        write_scaling(swept(Row("a", error="no")), tmp_path / "s.png")


def test_the_plot_opens_and_holds_every_colour(tmp_path):
    from PIL import Image

    write_scaling(swept(*rows("a", 2e-4), *rows("b", 1e-4)), tmp_path / "s.png")
    with Image.open(tmp_path / "s.png") as image:
        assert image.size == (WIDTH, HEIGHT)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= {tuple(pixel) for pixel in pixels}


@pytest.mark.parametrize(
    ("largest", "step"), [(8.0, 1.0), (8.1, 2.0), (0.99, 0.2), (1215, 200), (41, 10), (0.003, 5e-4)]
)
def test_ticks_are_round_and_few(largest, step):
    assert tick_step(largest) == pytest.approx(step)


def test_ms_per_megapixel_is_a_column_of_sweeps_only():
    measured = latency([471.04], size=(736, 1280))
    assert ms_per_megapixel(measured) == pytest.approx(500.0)
    cells = {c.heading: c.cell(Row("a", latency=measured)) for c in time_columns(sweep=True)}
    assert (cells["ms per megapixel"], cells["HxW"]) == ("500", "736x1280")
    assert "ms per megapixel" not in [column.heading for column in time_columns()]
