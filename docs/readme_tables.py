"""Rewrites the README's generated parts: targets, results, and where things are.

``python docs/readme_tables.py`` writes; ``--check`` only says whether the README is up to date.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

from edgedeblur.benchmarks.report.readme import (  # pyright: ignore[reportMissingImports]
    results_table_markdown,
)
from edgedeblur.export.registry import (  # pyright: ignore[reportMissingImports]
    targets_markdown,
)

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
ROOMS = ("models", "quantize", "export", "runtimes", "benchmarks")


def main(argv: list[str] | None = None) -> int:
    """Entry point; exit code 1 if ``--check`` finds the README out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(argv).check
    before = README.read_text(encoding="utf-8")
    after = render(before)
    if check:
        if before != after:
            sys.stderr.write("README.md is out of date; run: make readme\n")
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    return 0


def render(text: str) -> str:
    """The text with its generated parts renewed.

    Raises:
        ValueError: a pair of markers is missing.
    """
    parts = {
        "targets": targets_markdown(),
        "results": results_table_markdown(ROOT / "benchmarks" / "results").strip(),
        "map": file_map(),
    }
    for name, body in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        head, found_begin, rest = text.partition(begin)
        _, found_end, tail = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError(f"README.md has no markers for {name}")
        text = f"{head}{begin}\n{body}\n{end}{tail}"
    return text


def file_map() -> str:
    """One line per module: its path and the first line of its docstring."""
    lines: list[str] = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            summary = first_line(path)
            name = path.relative_to(ROOT).as_posix()
            if path.name == "__init__.py":
                name = name.removesuffix("__init__.py")
            lines.append(f"- `{name}`: {summary}")
    return "\n".join(lines)


def first_line(path: Path) -> str:
    """First paragraph of a module's docstring, on one line.

    Raises:
        ValueError: it has none.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path}: no module docstring")
    return " ".join(docstring.split("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main())
