"""What is mutated and what is left alone, and that every module and test named is there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.mutants.mutate import difference, mutants_of, text_of
from tests.mutants.report import JUDGED
from tests.mutants.targets import TARGETS, chosen

ROOT = Path(__file__).parents[2]

SOURCE = """\
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    WIDE = 3 + 4
LIMIT = 2
def half(value: int | None, *, steps: int = 5) -> "int | None":
    total: int = value // LIMIT
    if value < 7:
        raise ValueError(f"{value + 1} is below {6 + 1}")
    try:
        return total
    except errors.Broken as error:
        return None
"""


def changes(source):
    texts = [text_of(mutant) for mutant in mutants_of(source)]
    return {difference(source, text)[1:] for text in texts if text is not None}


def test_arithmetic_is_mutated_and_what_is_no_arithmetic_is_not():
    found = changes(SOURCE)
    after = {change for _, change in found}
    assert {
        "LIMIT = 3",
        "LIMIT = 1",
        "if value <= 7:",
        "if value < 8:",
        "if not value < 7:",
    } <= after
    assert {"total: int = value / LIMIT", "total: int = value * LIMIT"} <= after
    assert 'def half(value: int | None, *, steps: int = 6) -> "int | None":' in after
    touched = {before for before, _ in found}
    assert touched == {
        "LIMIT = 2", "total: int = value // LIMIT", "if value < 7:",
        "except errors.Broken as error:",
        'def half(value: int | None, *, steps: int = 5) -> "int | None":',
    }  # fmt: skip
    assert not any("/, steps" in change or "int & None" in change for change in after)


def test_faults_that_once_went_unnoticed_are_among_the_mutants():
    for module, fault in (
        ("models/data/motion.py", ("middle = moments // 2", "middle = moments // 3")),
        (
            "runtimes/pictures/tile_plan.py",
            ("DEFAULT_OVERLAP_PX = 128", "DEFAULT_OVERLAP_PX = 127"),
        ),
    ):
        lines = (ROOT / module).read_text(encoding="utf-8").splitlines()
        (line,) = [line for line in lines if line.strip().startswith(fault[0])]
        assert fault in changes(line.strip().partition("  #")[0] + "\n")


def test_each_operator_becomes_another_that_it_is_mistaken_for():
    names = [f"core/ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Add_RShift", "Pow_Mul")]
    assert chosen([*names, "core/AddNot"]) == [names[0], names[2], "core/AddNot"]


def test_every_module_and_every_test_is_there():
    for module, tests in TARGETS.items():
        assert [name for name in (module, *tests) if not (ROOT / name).is_file()] == []


def test_every_judgement_says_equivalent_or_accepted():
    judged = json.loads(JUDGED.read_text(encoding="utf-8"))
    assert judged.keys() <= TARGETS.keys()
    for verdicts in judged.values():
        assert all(verdict.startswith(("equivalent", "accepted")) for verdict in verdicts.values())
