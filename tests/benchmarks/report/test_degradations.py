"""A Restore set through the command: quality by degradation, from the pictures' own numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from edgedeblur.benchmarks.cli import main as bench
from edgedeblur.models.checkpoints.sources import zoo_path
from edgedeblur.models.data import find_pairs
from edgedeblur.models.data.restore import KINDS, write_restore_set

from tests.benchmarks.support import write_pairs


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("restore")
    write_pairs(root / "pairs")
    write_restore_set(find_pairs(root / "pairs").pairs, root / "set")
    where = ["--data", str(root / "set"), "--report", str(root / "report")]
    weights = str(zoo_path("mobilenet_dsc"))
    assert bench(["--engine", weights, *where, "--no-latency", "--threads", "1"]) == 0
    return root / "report"


def test_report_has_a_column_for_each_degradation(report):
    lines = (report / "report.md").read_text().splitlines()
    start = lines.index("## Quality by degradation")
    heading, _, row, _, remark = lines[start + 2 : start + 7]
    kinds = [cell.strip() for cell in heading.strip("|").split("|")][1:]
    assert kinds == sorted(("motion", *KINDS))
    scores = json.loads((report / "report.json").read_text())["rows"][0]["quality"]["scores"]
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    for kind, cell in zip(kinds, cells, strict=True):
        of_kind = [score for score in scores if score["name"].startswith(f"{kind}/")]
        assert len(of_kind) == 2
        psnr = np.mean([score["psnr_db"] for score in of_kind])
        before = np.mean([score["blurry_psnr_db"] for score in of_kind])
        assert cell == f"{psnr:.2f} ({psnr - before:+.2f})"
    assert remark.startswith("Mean PSNR in dB")
