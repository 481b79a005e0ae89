"""Names that a program uses and nothing in it defines, as pyflakes finds them."""

from __future__ import annotations

import ast
from collections.abc import Iterable


def undefined_names(source: str, known: Iterable[str] = ()) -> list[tuple[str, int]]:
    """(name, line) of each use of a name that is neither defined before it nor `known`. Raises
    SyntaxError."""
    from pyflakes.checker import Checker
    from pyflakes.messages import UndefinedLocal, UndefinedName

    # What a notebook has besides.
    builtins = {*known, "get_ipython", "display", "In", "Out", "exit", "quit"}
    checker = Checker(ast.parse(source), builtins=builtins)
    found = [m for m in checker.messages if isinstance(m, (UndefinedName, UndefinedLocal))]
    return [(m.message_args[0], m.lineno) for m in sorted(found, key=lambda m: m.lineno)]
