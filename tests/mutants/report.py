"""The page on mutants: how many the tests noticed, and what was judged of the others."""

from __future__ import annotations

import json
from typing import Any

from tests.mutants.child import RESULTS, ROOT, hash_of
from tests.mutants.targets import TARGETS

PAGE = ROOT / "docs" / "project" / "MUTANTS.md"
JUDGED = ROOT / "tests" / "mutants" / "judged.json"
_MARKS = ("<!-- begin mutants -->", "<!-- end mutants -->")


def write_report() -> str:
    """Write the results between the page's marks; a line that says what was done.

    Of a module without results that hold, or with a survivor that nobody has judged, the line says
    so and the page stays as it is.
    """
    held = {module: _results(module) for module in TARGETS}
    if missing := [module for module, results in held.items() if results is None]:
        return f"{PAGE.name} stays as it is: no results that still hold of {', '.join(missing)}"
    judged: dict[str, dict[str, str]] = json.loads(JUDGED.read_text(encoding="utf-8"))
    lines, open_questions = _lines(held, judged)
    if open_questions:
        return "judge these in tests/mutants/judged.json first:\n" + "\n".join(open_questions)
    before, rest = PAGE.read_text(encoding="utf-8").split(_MARKS[0])
    body = "\n".join([_MARKS[0], *lines, _MARKS[1]])
    PAGE.write_text(before + body + rest.split(_MARKS[1])[1], encoding="utf-8")
    return f"{PAGE.name} is written"


def _results(module: str) -> dict[str, Any] | None:
    """A module's results; None if there are none, or if it or its tests have changed since."""
    path = RESULTS / (module.removesuffix(".py").replace("/", ".") + ".json")
    if not path.exists():
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    now = {name: hash_of(ROOT / name) for name in (module, *TARGETS[module])}
    return results if results["hashes"] == now else None


def _lines(held: dict[str, Any], judged: dict[str, dict[str, str]]) -> tuple[list[str], list[str]]:
    """The page's lines, and the survivors that nobody has judged."""
    rows: list[str] = []
    listed: list[str] = []
    accepted = 0
    unjudged: list[str] = []
    totals = [0, 0]
    for module, results in held.items():
        mutants = list(results["mutants"].values())
        survivors = [mutant for mutant in mutants if mutant["outcome"] == "survived"]
        killed = len(mutants) - len(survivors)
        totals = [totals[0] + len(mutants), totals[1] + killed]
        rows.append(_row(f"`{module}`", len(mutants), killed))
        if survivors:
            listed += ["", f"### `{module}`", ""]
        for mutant in survivors:
            change = f"{mutant['before']} => {mutant['after']}"
            verdict = judged.get(module, {}).get(change)
            accepted += (verdict or "").startswith("accepted")
            if verdict is None:
                unjudged.append(f"{module}:{mutant['line']}: {change}")
            listed += [
                f"- line {mutant['line']}: `{mutant['before']}`",
                f"  becomes `{mutant['after'] or 'nothing'}`",
                f"  {verdict}",
            ]
    date = max(results["date"] for results in held.values())
    head = [
        f"Last run: {date}.", "", "| module | mutants | noticed | survived | score |",
        "|:--|--:|--:|--:|--:|", *rows, _row("**all**", *totals), "",
        "## Survivors, judged", "",
        f"{totals[0] - totals[1] - accepted} are equivalent: no test can tell them from the "
        f"original. {accepted} are accepted.",
    ]  # fmt: skip
    return head + listed + [""], unjudged


def _row(name: str, mutants: int, killed: int) -> str:
    score = 100 * killed / max(mutants, 1)
    return f"| {name} | {mutants} | {killed} | {mutants - killed} | {score:.1f} % |"
