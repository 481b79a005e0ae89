"""The steps of a notebook made by hand: what its cells run, where, and whether a failure is seen.

A cell is read as IPython reads it: `!` lines, `%` lines, %%bash cells, and the calls of Python
that start a program. The folder is followed through `%cd`, os.chdir, `cd` and cwd=; a `cd` of a
`!` line ends with that line. Loops and conditions are read once, as if they were taken.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from jobgen.check.cellcode import (
    COPIERS,
    DECIDING,
    KEYWORDS,
    LONGEST_LINE,
    MAKERS,
    PREFIXES,
    STARTERS,
    expressions,
    is_true,
    joined_lines,
    opens_to_write,
    split_commands,
    starter_of,
)
from jobgen.check.taskplaces import HOME
from jobgen.job.names import parsed

SHELL_CELLS = ("%%bash", "%%sh", "%%script")
# Their cell goes on in Python.
TRANSPARENT = ("%%capture", "%%time", "%%timeit", "%%prun")
HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)")
ERRORS_END = re.compile(r"set\s+(?:-\w*e|-o\s+errexit)|^#!.*\ssh?\s+-e|trap\s.*\bERR\b")
SHELL_LINE = re.compile(r"^(?P<margin>\s*)(?P<name>[\w, ]+=\s*)?!(?!=)(?P<text>.*)$")
MAGIC_LINE = re.compile(r"^(?P<margin>\s*)(?P<name>[\w, ]+=\s*)?%(?P<magic>\w+)\s*(?P<text>.*)$")
ASSIGNED = re.compile(r"^(?:export\s+)?(\w+)=(\S*)$")
MARK = "__line__"
# The first word of the steps that write a file from Python, and of %%writefile cells.
WRITE = "%%writefile"
ALWAYS_SEEN = frozenset(("check_call", "check_output"))
NESTED, MOST_STEPS = 4, 5000


@dataclass(frozen=True)
class Step:
    """A command: its words, the folder it starts in, and whether the notebook stops when it
    fails. `place` is where it is written, as `main.ipynb cell 3:2`."""

    words: tuple[str, ...]
    folder: str
    seen: bool
    place: str
    # `%%writefile`: the text; the words are then ("%%writefile", PATH).
    text: str = ""
    # Of a file of the upload that a cell starts, not of a cell itself.
    script: bool = False

    @property
    def command(self) -> str:
        return " ".join(self.words)

    def path(self, word: str) -> str:
        """A word as an absolute path."""
        if word.startswith("~"):
            word = HOME + word[1:]
        return posixpath.normpath(posixpath.join(self.folder, word))

    @property
    def tool(self) -> str:
        """The Python file that it runs, as `tools/train.py`; empty for none."""
        words = [word for word in self.words[1:] if not word.startswith("-")]
        is_python = posixpath.basename(self.words[0]).startswith(("python", "fleetrun"))
        return next((w for w in words if w.endswith(".py")), "") if is_python else ""

    def options(self, *names: str) -> Iterator[str]:
        """The values of an option, as `-c X`, `--config X` or `--config=X`."""
        for number, word in enumerate(self.words):
            name, equal, value = word.partition("=")
            if name in names and equal:
                yield value
            elif word in names and number + 1 < len(self.words):
                yield self.words[number + 1]


@dataclass
class Steps:
    """All steps of a notebook in their order, and what was not understood of it."""

    steps: list[Step] = field(default_factory=list)
    # Places of code that may make any file.
    makers: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def steps_of(cells: list[str], files: Mapping[str, bytes], notebook: str) -> Steps:
    """The steps of the code cells. `files` are the upload's, for the scripts that cells start."""
    reader = _Reader(files, notebook, "\n".join(cells))
    for number, source in enumerate(cells, 1):
        reader.cell(source, number, cells[number] if number < len(cells) else "")
    return reader.found


class _Reader:
    def __init__(self, files: Mapping[str, bytes], notebook: str, code: str) -> None:
        self.files, self.notebook, self.code = files, notebook, code
        self.found = Steps()
        self.folder = HOME
        self.depth = 0
        self.starts = False
        self.names: dict[str, str] = {}
        # Functions that start what they are given, and whether they look at its status; which of
        # them take each word by itself.
        self.wrappers: dict[str, bool] = {}
        self.taking_words: set[str] = set()

    def cell(self, source: str, number: int, following: str) -> None:
        where = f"{self.notebook} cell {number}"
        first, _, rest = source.partition("\n")
        if first.startswith("%%"):
            magic, _, argument = first.partition(" ")
            if magic in SHELL_CELLS:
                self.shell(rest, where, 1, errors_end="-e" in argument.split())
            elif magic in ("%%writefile", "%%file"):
                path = next((w for w in argument.split() if not w.startswith("-")), "")
                added = "-a" in argument.split()
                words = (WRITE, self.filled(path, braces=True))
                text = "" if added else rest
                self.found.steps.append(
                    Step(words, self.folder, seen=True, place=f"{where}:1", text=text)
                )
            elif magic in TRANSPARENT:
                self.python(f"\n{rest}", where, following)
            else:
                self.found.makers.append(where)
        else:
            self.python(source, where, following)

    def python(self, source: str, where: str, following: str) -> None:
        """A cell of Python with IPython's own lines in it."""
        lines, marked = joined_lines(source), []
        status = "_exit_code" in source or (following.lstrip().startswith(
            ("assert", "if", "_exit_code")
        ) and "_exit_code" in following.splitlines()[0])  # fmt: skip
        own: dict[int, tuple[str, str]] = {}
        for number, line in enumerate(lines, 1):
            start = line[:LONGEST_LINE]
            found = SHELL_LINE.match(start) or MAGIC_LINE.match(start)
            if found is None or line.lstrip().startswith("%%"):
                marked.append(line)
                continue
            magic = "!" if found.re is SHELL_LINE else found["magic"]
            own[number] = (magic, found["text"])
            marked.append(f"{found['margin']}{found['name'] or ''}{MARK}({number})")
        # Few cells hold a word that starts a program, and their functions are many.
        self.starts = any(f".{word}" in source for word in STARTERS)
        try:
            tree = parsed("\n".join(marked))
            self.block(tree.body, where, own, status)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            for number, (magic, text) in own.items():
                self.own_line(magic, text, f"{where}:{number}", status)

    def own_line(self, magic: str, text: str, place: str, status: bool) -> None:
        """A `!` or `%` line."""
        text = self.filled(text, braces=True)
        if magic in ("!", "sx", "system"):
            for step in self.commands(text, self.folder, place, status)[0]:
                self.started(step)
        elif magic == "cd":
            self.folder = Step(("cd",), self.folder, seen=True, place=place).path(
                text.strip("'\" ") or "~"
            )
        elif magic == "run":
            words = tuple(text.split())
            if words:
                self.started(Step(("python", *words), self.folder, seen=True, place=place))

    def block(
        self, body: list[ast.stmt], where: str, own: dict[int, tuple[str, str]], status: bool
    ) -> None:
        for statement in body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.define(statement)
            elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        self.names[target.id] = str(statement.value.value)
            else:
                inner = [n for name in ("body", "orelse", "finalbody", "handlers")
                         for n in getattr(statement, name, ())]  # fmt: skip
                used = not isinstance(statement, ast.Expr)
                for node in expressions(statement):
                    if isinstance(node, ast.Call):
                        self.call(node, where, own, status, used)
                for part in inner:
                    self.block(getattr(part, "body", [part])
                               if isinstance(part, ast.ExceptHandler) else [part],
                               where, own, status)  # fmt: skip

    def define(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if not self.starts:
            return
        several = function.args.vararg.arg if function.args.vararg else ""
        names = {several, *(argument.arg for argument in function.args.args)}
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and starter_of(node) and node.args):
                continue
            given = {n.id for n in ast.walk(node.args[0]) if isinstance(n, ast.Name)}
            if given & names:
                text = ast.unparse(function)
                looked = any(word in text for word in ("assert", "raise", "check=True", "exit("))
                self.wrappers[function.name] = looked or starter_of(node) in ALWAYS_SEEN
                if several in given:
                    self.taking_words.add(function.name)

    def call(  # noqa: C901 - one kind of call after the other
        self, node: ast.Call, where: str, own: dict[int, tuple[str, str]], status: bool, used: bool
    ) -> None:
        place = f"{where}:{node.lineno}"
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        texts = [self.constant(argument) for argument in node.args]
        first = texts[0] if texts else None
        if name == MARK:
            number = int(str(node.args[0].value)) if isinstance(node.args[0], ast.Constant) else 0
            self.own_line(*own[number], f"{where}:{number}", status)
        elif name == "input":
            self.found.questions.append(place)
        elif attribute in ("run_line_magic", "run_cell_magic", "magic"):
            words = [text or "" for text in texts]
            if attribute == "run_cell_magic" and words[0] in ("bash", "sh"):
                self.shell(words[-1], where, node.lineno)
            else:
                magic, _, rest = " ".join(words).partition(" ")
                self.own_line(magic.lstrip("%"), rest, place, status)
        elif attribute == "chdir" and first:
            self.folder = Step(("cd",), self.folder, seen=True, place=place).path(first)
        elif attribute in COPIERS and len(texts) == 2 and first and texts[1]:
            words2 = (COPIERS[attribute], first, texts[1])
            self.found.steps.append(Step(words2, self.folder, seen=True, place=place))
        elif attribute in ("makedirs", "mkdir") and first:
            words3 = ("mkdir", "-p", first)
            self.found.steps.append(Step(words3, self.folder, seen=True, place=place))
        elif name in self.wrappers or starter_of(node):
            self.program(node, place, used, first)
        elif name == "open" and opens_to_write(node) and first:
            self.found.steps.append(Step((WRITE, first), self.folder, seen=True, place=place))
        elif attribute in MAKERS or (name == "open" and opens_to_write(node)):
            self.found.makers.append(place)

    def program(self, node: ast.Call, place: str, used: bool, first: str | None) -> None:
        """A call that starts a program."""
        starter = starter_of(node)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if isinstance(node.func, ast.Name) and node.func.id in self.wrappers:
            seen = self.wrappers[node.func.id]
        elif starter in ALWAYS_SEEN or is_true(keywords.get("check")):
            seen = True
        elif starter in ("run", "Popen"):
            seen = used and any(word in self.code for word in ("returncode", "check_returncode"))
            seen = seen or (starter == "Popen" and ".wait(" in self.code)
        else:
            seen = used
        cwd = self.constant(keywords["cwd"]) if "cwd" in keywords else None
        folder = Step(("cd", cwd or "."), self.folder, seen=True, place=place).path(cwd or ".")
        argument = node.args[0] if node.args else keywords.get("args")
        if isinstance(node.func, ast.Name) and node.func.id in self.taking_words and node.args[1:]:
            argument = ast.List(node.args)
        if isinstance(argument, (ast.List, ast.Tuple)):
            words = tuple(self.constant(item) or "{}" for item in argument.elts)
            if len(words) == 3 and words[0] in ("bash", "sh") and words[1] in ("-c", "-lc"):
                first = words[2]
            else:
                words = tuple(word.lstrip() for word in words) or ("{}",)
                self.started(Step(words, folder, seen, place))
                return
        text = first if first is not None else self.constant(argument)
        if text is None:
            self.found.makers.append(place)
            return
        for step in self.commands(text, folder, place, seen)[0]:
            self.started(step)

    def constant(self, node: ast.expr | None) -> str | None:
        """The text of an expression: constants, names of constants, f-strings and sums of them."""
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.JoinedStr):
            parts = [self.constant(v.value if isinstance(v, ast.FormattedValue) else v)
                     for v in node.values]  # fmt: skip
            return "".join(part if part is not None else "{}" for part in parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.constant(node.left), self.constant(node.right)
            return left + right if left is not None and right is not None else None
        return None

    def filled(self, text: str, braces: bool = False) -> str:
        """A line with the notebook's and the shell's names replaced by what they hold."""
        whole = text
        for name, value in self.names.items():
            if braces:
                text = text.replace("{" + name + "}", value)
            text = text.replace("${" + name + "}", value)
            text = re.sub(rf"\${name}\b", value.replace("\\", r"\\"), text)
            if len(text) > LONGEST_LINE:
                return whole[:LONGEST_LINE]
        return text.replace("${HOME}", HOME).replace("$HOME", HOME)

    def shell(
        self,
        source: str,
        where: str,
        before: int,
        *,
        errors_end: bool = False,
        script: bool = False,
    ) -> None:
        """A %%bash cell or a script, `before` whose lines others stand."""
        folder, end = self.folder, ""
        pending: list[list[Step]] = []
        kept, errors_end = dict(self.names), errors_end
        lines = joined_lines(source)
        for number, line in enumerate(lines, before + 1):
            text = line[:LONGEST_LINE].strip()
            if end:
                end = "" if text == end else end
                continue
            errors_end = errors_end or bool(ERRORS_END.search(text))
            here = HERE_DOCUMENT.search(text)
            end = here.group(1) if here else ""
            if not text or text.startswith("#"):
                continue
            found, folder = self.commands(
                self.filled(text), folder, f"{where}:{number}", errors_end, shell=True
            )
            if found:
                pending.append(found)
        for number, steps in enumerate(pending):
            last = number == len(pending) - 1
            for step in steps:
                step = replace(step, seen=step.seen or (last and not script), script=script)
                self.started(step)
        self.names = kept

    def commands(
        self, text: str, folder: str, place: str, seen: bool, *, shell: bool = False
    ) -> tuple[list[Step], str]:
        """The commands of a line and the folder after them: `a && b; c | d` has four."""
        found: list[Step] = []
        before, outer = "", folder
        for words, after in split_commands(text):
            decided = False
            while words and words[0] in KEYWORDS | PREFIXES:
                decided = decided or words[0] in DECIDING
                words = words[1:]
            while words and (assigned := ASSIGNED.match(words[0])):
                if shell:
                    self.names[assigned[1]] = assigned[2]
                words = words[1:]
            if words[:1] == ["("]:
                words = words[1:]
            if words and words[0] in ("cd", "pushd"):
                step = Step(tuple(words), folder, seen=True, place=place)
                folder = step.path(words[1] if len(words) > 1 else "~")
            elif words and words[0] != ")":
                handled = decided or after == "||" or (before == "||" and seen)
                # In `a && b; c` the status of b is lost, that of c is the line's.
                lost = after in (";", "|", "&") and not shell
                found.append(Step(tuple(words), folder, (seen and not lost) or handled, place))
            if after == ")":
                folder = outer
            before = after
        return found, folder

    def started(self, step: Step) -> None:
        """Keep a step; a script of the upload gives its own steps too."""
        if len(self.found.steps) >= MOST_STEPS:
            return
        self.found.steps.append(step)
        words = [word for word in step.words[1:] if not word.startswith("-")]
        starts = step.words[0] in ("bash", "sh", "source", ".") or step.words[0].startswith("./")
        target = step.words[0] if step.words[0].startswith("./") else words[0] if words else ""
        name = posixpath.basename(target)
        if starts and name.endswith(".sh") and name in self.files and self.depth < NESTED:
            if step.path(target) != f"{HOME}/{name}":
                return
            kept, self.folder = self.folder, step.folder
            errors_end = "-e" in step.words or "-ex" in step.words
            text = self.files[name].decode("utf-8", "replace")
            self.depth += 1
            self.shell(text, name, 0, errors_end=errors_end, script=True)
            self.depth -= 1
            self.folder = kept
