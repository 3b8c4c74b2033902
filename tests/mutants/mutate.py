"""The mutants of a module's text, made by Cosmic Ray's operators and parser."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from tests.mutants.targets import chosen


class Mutant(NamedTuple):
    """One changed place: operator and occurrence as its name, and a function for the text."""

    name: str
    make: Callable[[], str | None]


def mutants_of(source: str) -> Iterator[Mutant]:
    """All mutants of a module's text; what `make` returns may not compile, or be None.

    Left alone: annotations, which nothing evaluates; `if TYPE_CHECKING`; the signature's `*` and
    `/`, which are no operators; and what follows `raise`, the wording of errors (whether one is
    raised is mutated).
    """
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(source)))
    for name in chosen(operator_names()):
        try:
            operator = get_operator(name)()
        except TypeError:  # wants arguments: puts one named variable in the place of another
            continue
        places = [node for node in nodes for _ in operator.mutation_positions(node)]
        for occurrence, node in enumerate(places):
            if not _left_alone(node):
                short = name.removeprefix("core/").removeprefix("Replace")
                yield Mutant(
                    f"{short}:{occurrence}", partial(mutate_code, source, operator, occurrence)
                )


def text_of(mutant: Mutant) -> str | None:
    """The mutated text; None if Python does not take it."""
    try:
        text = mutant.make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `is` with a literal
            compile(text or "", "mutant", "exec")
    except (SyntaxError, AttributeError):  # AttributeError: Cosmic Ray, at `except a.B`
        return None
    return text


def difference(source: str, mutated: str) -> tuple[int, str, str]:
    """Line number, and the changed lines before and after."""
    old, new = source.splitlines(), mutated.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            return a + 1, " ".join(" ".join(old[a:b]).split()), " ".join(" ".join(new[c:d]).split())
    return 0, "", ""


def _left_alone(node: Any) -> bool:
    inner, outer = node, node.parent
    if node.type == "if_stmt" and _asks_for_types(node):
        return True
    if outer is not None and outer.type == "parameters":
        return True
    while outer is not None:
        if outer.type in ("raise_stmt", "tfpdef"):
            return True
        if outer.type == "annassign" and ("=" not in outer.children or inner is outer.children[1]):
            return True
        if outer.type == "funcdef" and inner is outer.annotation:
            return True
        if outer.type == "if_stmt" and _asks_for_types(outer):
            return True
        inner, outer = outer, outer.parent
    return False


def _asks_for_types(statement: Any) -> bool:
    return statement.children[1].get_code().strip() == "TYPE_CHECKING"
