"""What cells of Python and lines of a shell are made of."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator

# Words of the shell that stand before a command.
KEYWORDS = frozenset(
    [
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "for",
        "while",
        "until",
        "do",
        "done",
        "case",
        "esac",
        "{",
        "}",
        "!",
        "time",
    ]
)


DECIDING = frozenset(("if", "elif", "while", "until", "!"))


PREFIXES = frozenset(("sudo", "nohup", "env", "command", "exec", "stdbuf"))


# What subprocess, os and IPython call.
STARTERS = frozenset(
    ("run", "call", "check_call", "check_output", "Popen", "system", "getoutput", "popen")
)


MODULES = frozenset(("subprocess", "os", "sp", "s", "get_ipython()"))


# Nobody writes longer lines; a hostile one costs no time.
LONGEST_LINE = 4000
# Calls that make or move files in ways which are not followed.
MAKERS = frozenset(
    [
        "extractall",
        "unpack_archive",
        "symlink",
        "link",
        "rename",
        "replace",
        "write_text",
        "write_bytes",
        "urlretrieve",
        "makedirs",
        "mkdir",
        "to_csv",
        "savetxt",
        "save",
    ]
)


COPIERS = {"copytree": "cp", "copy": "cp", "copyfile": "cp", "copy2": "cp", "move": "mv"}


def expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement in their order, without the statements in it."""
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, (ast.stmt, ast.ExceptHandler)):
            continue
        yield from inner_nodes(child)


def inner_nodes(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from inner_nodes(child)


def starter_of(node: ast.Call) -> str:
    """The name of a call that starts a program, as `run`; empty for any other."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in STARTERS:
        return ""
    return node.func.attr if ast.unparse(node.func.value) in MODULES else ""


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def opens_to_write(node: ast.Call) -> bool:
    modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
    modes += [k.value.value for k in node.keywords
              if k.arg == "mode" and isinstance(k.value, ast.Constant)]  # fmt: skip
    return any(letter in str(mode) for mode in modes for letter in "wax+")


def joined_lines(source: str) -> list[str]:
    """The lines of a source; one that ends in a backslash takes the next, and leaves it empty."""
    found: list[str] = []
    open_at: int | None = None
    for line in source.splitlines():
        shell = open_at is not None or bool(
            re.match(r"\s*[\w, =]*!|\s*[\w./-]+ ", line[:LONGEST_LINE])
        )
        if open_at is not None:
            found[open_at] += " " + line.rstrip("\\").strip()
            found.append("")
        else:
            found.append(line[:-1] if shell and line.endswith("\\") else line)
        going = shell and line.endswith("\\")
        open_at = (open_at if open_at is not None else len(found) - 1) if going else None
    return found


def split_commands(text: str) -> Iterator[tuple[list[str], str]]:  # noqa: C901 - one kind of token after the other
    """The commands of a line as (words, what stands after them). Redirections are left out."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&;|()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        return
    words: list[str] = []
    skip = 0
    for number, token in enumerate(tokens):
        following = tokens[number + 1] if number + 1 < len(tokens) else ""
        if skip:
            skip -= 1
        elif token == "#" or token.startswith("# "):
            break
        elif re.fullmatch(r"\d*>>?|<", token):  # `> log`, `2> &1`
            skip = 2 if following == "&" else 1
        elif re.match(r"\d*>>?[^>]", token) and "<" not in token:
            continue
        elif token == "&" and re.match(r">>?", following):  # `&> log`
            skip = 2 if following in (">", ">>") else 1
        elif set(token) <= set("&;|()"):
            if words:
                yield words, token[0] if token[0] in ");" else token
            elif token.startswith(")"):
                yield [], ")"
            words = []
        else:
            words.append(token)
    if words:
        yield words, ""
