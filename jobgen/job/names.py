"""Names that a program uses and nothing in it defines, as pyflakes finds them."""

from __future__ import annotations

import ast
import functools
import warnings
from collections.abc import Iterable


# The cells of one notebook are asked about by several rules; nobody changes a tree.
@functools.lru_cache(maxsize=64)
def parsed(source: str, version: tuple[int, int] | None = None) -> ast.Module:
    """The source as a tree; what Python would only warn of is kept off the terminal.

    Raises SyntaxError, ValueError, RecursionError and MemoryError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, feature_version=version)


def undefined_names(source: str, known: Iterable[str] = ()) -> list[tuple[str, int]]:
    """(name, line) of each use of a name that is neither defined before it nor `known`. Raises
    SyntaxError."""
    from pyflakes.checker import Checker
    from pyflakes.messages import UndefinedLocal, UndefinedName

    # What a notebook has besides.
    builtins = {*known, "get_ipython", "display", "In", "Out", "exit", "quit"}
    checker = Checker(parsed(source), builtins=builtins)
    found = [m for m in checker.messages if isinstance(m, (UndefinedName, UndefinedLocal))]
    return [(m.message_args[0], m.lineno) for m in sorted(found, key=lambda m: m.lineno)]
