"""Names of layers: one before and after rewrites, and none outside ``models/``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
from edgedeblur.models.checkpoints.layer_names import fusion_point_of, layer_name
from edgedeblur.models.network.fusion_points import FUSION_POINTS
from edgedeblur.models.network.registry import build_generator, networks

ROOT = Path(__file__).parents[3]
ROOMS = ("quantize", "export", "runtimes", "benchmarks")
# Words that layers share with files, formats and recipes; what is left is the networks' alone.
COMMON = {"model", "final", "encoder", "decoder", "blocks", "inception", "depthwise", "pointwise"}
# The language of rewrites: --rewrite names fusion points, as in ``split_concat@smooth``.
REWRITES = {"export/rewrites/tune.py", "export/rewrites/rewrite.py", "export/arguments.py"}
# --keep of deblur-compress names fields of the architecture record.
RECORD = {"export/compress/cli.py": {"heads", "smooth", "smooth2"}}


@pytest.mark.parametrize(
    ("weight", "layer"),
    [
        ("fpn.features.3.conv.0.weight", "features.3.conv.0"),
        ("features.3.conv.0.weight", "features.3.conv.0"),
        ("heads.0.block1.weight", "head4.block1"),
        ("heads.3.block0.depthwise.weight", "head1.block0.depthwise"),
        ("final.branches.0.conv.conv.weight", "final.branches.0.conv.conv"),
        ("model.10.conv_block.1.weight", "model.10.conv_block.1"),
    ],
)
def test_layers_have_one_name_before_and_after_rewrites(weight, layer):
    assert layer_name(weight) == layer


def test_laterals_and_decoders_belong_to_fusion_points():
    laterals = [fusion_point_of(f"lateral{level}") for level in range(5)]
    assert laterals == ["smooth2", "td3", "td2", "td1", None]
    assert {fusion_point_of(f"{point}.0.pointwise") for point in FUSION_POINTS} == {*FUSION_POINTS}
    for other in (
        "features.1.conv.0",
        "inception.repeat.0",
        "head1.block0",
        "model.26",
        "blocks.0",
    ):
        assert fusion_point_of(other) is None


def layer_words():
    """The first two parts of the names of all networks' tensors, such as ``fpn`` and ``td1``."""
    found = set()
    for network in networks():
        with torch.device("meta"):
            state = build_generator(network.name).state_dict()
        found |= {part for name in state for part in name.split(".")[:-1][:2]}
    return {word for word in found if not word.isdigit()} - COMMON


def texts(path):
    """(line, text) of the strings of a module that are not documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def foreign_names(root, words):
    """``file:line: word`` of each layer's name that a room other than ``models/`` holds."""
    found = []
    for path in (path for room in ROOMS for path in sorted((root / room).rglob("*.py"))):
        name = path.relative_to(root).as_posix()
        allowed = RECORD.get(name, set()) | (set(FUSION_POINTS) if name in REWRITES else set())
        for line, text in texts(path):
            said = set(re.findall(r"[A-Za-z_]\w*", text)) & (words - allowed)
            found += [f"{name}:{line}: {word}" for word in sorted(said)]
    return found


def test_nothing_outside_models_knows_a_layers_name():
    words = layer_words()
    assert {"fpn", "td1", "lateral0", "head1", "smooth", "features", "bottleneck"} <= words
    assert foreign_names(ROOT, words) == []


def test_a_layers_name_outside_models_is_found(tmp_path):
    (tmp_path / "quantize").mkdir()
    lines = ['"""The fpn."""', 'A = {"lateral0": 1}', 'B = f"fpn.{A}"', 'C = "features of a file"']
    (tmp_path / "quantize" / "x.py").write_text("\n".join(lines))
    assert foreign_names(tmp_path, {"lateral0", "fpn"}) == [
        "quantize/x.py:2: lateral0",
        "quantize/x.py:3: fpn",
    ]
