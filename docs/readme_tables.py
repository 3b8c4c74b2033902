"""Rewrites the generated parts of the README and of the pages in ``docs/``.

``python docs/readme_tables.py`` writes; ``--check`` only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

from edgedeblur.benchmarks.report.readme import (  # pyright: ignore[reportMissingImports]
    format_markdown,
    results_table_markdown,
    summary_markdown,
)
from edgedeblur.export.registry import (  # pyright: ignore[reportMissingImports]
    targets_markdown,
)

ROOT = Path(__file__).parent.parent
ROOMS = ("models", "quantize", "export", "runtimes", "benchmarks")
RESULTS = ROOT / "benchmarks" / "results"
# Which page holds which generated parts.
PAGES = {
    "README.md": ("targets", "summary"),
    "docs/RESULTS.md": ("results",),
    "docs/COREML.md": ("coreml",),
    "docs/EDGE.md": ("edge",),
    "docs/MAP.md": ("map",),
    "docs/PHONES.md": ("tflite",),
    "docs/TENSORRT.md": ("tensorrt",),
}
FORMATS = {
    "coreml": ("coreml",),
    "edge": ("executorch", "ncnn"),
    "tensorrt": ("trt",),
    "tflite": ("tflite",),
}


def main(argv: list[str] | None = None) -> int:
    """Entry point; exit code 1 if ``--check`` finds a page out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(argv).check
    stale = 0
    for page in PAGES:
        path = ROOT / page
        before = path.read_text(encoding="utf-8")
        after = render(page, before)
        if check and before != after:
            sys.stderr.write(f"{page} is out of date; run: make readme\n")
            stale = 1
        elif not check:
            path.write_text(after, encoding="utf-8")
    return stale


def render(page: str, text: str) -> str:
    """A page's text with its generated parts renewed.

    Raises:
        ValueError: a pair of markers is missing.
    """
    for name in PAGES[page]:
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        head, found_begin, rest = text.partition(begin)
        _, found_end, tail = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError(f"{page} has no markers for {name}")
        text = f"{head}{begin}\n{part(name)}\n{end}{tail}"
    return text


def part(name: str) -> str:
    """The text of one generated part."""
    if name == "targets":
        return targets_markdown()
    if name == "summary":
        return summary_markdown(RESULTS).strip()
    if name == "results":
        return results_table_markdown(RESULTS).strip()
    if name in FORMATS:
        return format_markdown(RESULTS, FORMATS[name]).strip()
    return file_map()


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
