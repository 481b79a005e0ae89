"""Rules about the files to upload."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jobgen import __version__
from jobgen.catalog import platform
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, job, names_hit
from jobgen.check.steps import Step
from jobgen.check.upload import JobFacts
from jobgen.files import sha256
from jobgen.job.build import find_secret
from jobgen.job.bundle import NOTEBOOK
from jobgen.job.names import parsed
from jobgen.job.notebook import PARAMETERS_TAG, cell_tags, cells_digest
from jobgen.settings import is_home

AGAIN = "Build it again: jobgen build JOB"
ANEW = "Move main.ipynb away, then build it again: jobgen build JOB"
# IPython's shell lines: `!cmd`, `x = !cmd`.
SHELL = re.compile(r"^\s*(?:\w+\s*=\s*)?!(?!=)", re.MULTILINE)
# Commands that only show something.
HARMLESS = re.compile(
    r"^\s*!\s*(?:nvidia-smi|ls|ll|pwd|cat|head|tail|df|du|free|echo|which|find|wc|tree|date|env|grep"
    r"|python\S*\s+-V|python\S*\s+--version|pip\S*\s+(?:list|show|freeze))\b"
)
SYSTEM_CALLS = ("os.system(", "get_ipython().system(", "%system ", "%sx ")


@job(
    "BU001",
    ERROR,
    "file that is no part of the bundle",
    why="It would be uploaded too; versions have limits, and a stray YAML confuses.",
    remedy="Keep the notebook and the two YAML files in the folder, nothing else.",
)
def extra_file(facts: JobFacts) -> Iterator[Hit]:
    ours = facts.metadata.get("files")
    if isinstance(ours, dict):
        strangers = set(facts.files) - {NOTEBOOK, *ours}
        if is_home(Path(facts.place)):
            strangers = set()  # a version is put together by hand there
    else:  # made by hand: nobody knows what belongs to it
        strangers = set()
    return names_hit(sorted(strangers), facts.place)


@job(
    "BU002",
    ERROR,
    "file that was edited after the build",
    why="What was checked and run is not what would be uploaded; jobgen run refuses it.",
    remedy="Change job.yaml and build again: jobgen build JOB",
)
def edited(facts: JobFacts) -> Iterator[Hit]:
    ours = facts.metadata.get("files")
    for name, wanted in ours.items() if isinstance(ours, dict) else ():
        if name in facts.files and sha256(facts.files[name]) != wanted:
            yield Hit(1, (name,))
    whole = facts.metadata.get("cells")
    if whole and facts.notebook and whole != cells_digest(facts.notebook):
        yield Hit(1, (f"{NOTEBOOK}: other cells than the parameters",), remedy=ANEW)


@job(
    "BU014",
    WARNING,
    "upload that is not what job.yaml says by now",
    why="What would be uploaded, or run, is an earlier state of the job.",
    remedy=AGAIN,
)
def outdated(facts: JobFacts) -> Iterator[Hit]:
    if facts.outdated:
        yield Hit(1, ())


@job(
    "BU003",
    ERROR,
    "notebook that is none",
    why="The background task ends at once.",
    remedy="Save it again from Jupyter, or build it again: jobgen build JOB",
)
def no_notebook(facts: JobFacts) -> Iterator[Hit]:
    if facts.notebook is None and len(facts.notebooks) == 1:
        yield Hit(1, facts.notebooks)


@job(
    "BU004",
    ERROR,
    "notebook without a kernel",
    why="Nothing says what should execute it.",
    remedy="Save it once from Jupyter with the Python 3 kernel, or: jobgen build JOB",
)
def no_kernel(facts: JobFacts) -> Iterator[Hit]:
    kernel = facts.notebook["metadata"].get("kernelspec") if facts.notebook else None
    if facts.notebook and not (isinstance(kernel, dict) and kernel.get("name")):
        yield Hit(1, ())


@job(
    "BU005",
    ERROR,
    "file of the bundle that is missing",
    why="The notebook stops at its configure stage: a YAML is not there.",
    remedy=AGAIN,
)
def missing_file(facts: JobFacts) -> Iterator[Hit]:
    ours = facts.metadata.get("files")
    if isinstance(ours, dict):
        yield from names_hit(sorted(set(ours) - set(facts.files)), facts.place)


@job(
    "BU006",
    NOTE,
    "notebook with output in it",
    why="Old output is uploaded with it, and looks like the job's own.",
    remedy="Clear all outputs before the version is saved.",
)
def output_left(facts: JobFacts) -> Iterator[Hit]:
    cells = facts.notebook["cells"] if facts.notebook else []
    left = [n for n, cell in enumerate(cells) if cell.get("outputs")]
    yield from names_hit([f"cell {n}" for n in left])


@cache
def is_python(source: str) -> bool:
    """Whether a cell is plain Python, without IPython's own lines."""
    try:
        parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


@job(
    "BU007",
    ERROR,
    "shell step that can't fail",
    why="The notebook goes on after a failed `!` command, and ends well with nothing trained.",
    remedy="jobgen's notebooks check every step; or subprocess.run([...], check=True).",
)
def shell_step(facts: JobFacts) -> Iterator[Hit]:
    following = [*facts.code[1:], ""]
    found = [(f"{facts.notebook_name} cell {number}{_line_of(line, source)}", line)
             for number, (source, after) in enumerate(zip(facts.code, following, strict=False), 1)
             for line in unchecked_lines(source, after)]  # fmt: skip
    told = {line for _, line in found}
    found += [(step.place, step.command) for step in facts.steps if unseen(step, told)]
    short = [line if len(line) <= 50 else line[:47] + "..." for _, line in found]
    yield from names_hit(short, found[0][0] if found else "")


def _line_of(line: str, source: str) -> str:
    """`:2` for the second line of a cell; a line that goes on is found by its beginning."""
    lines = [text.strip().rstrip("\\").strip() for text in source.splitlines()]
    numbers = [n for n, text in enumerate(lines, 1) if text and line.startswith(text)]
    return f":{numbers[0]}" if numbers else ""


# Steps whose failure makes a training of something else, or of nothing.
WEIGHTY = re.compile(
    r"^(?:python\S*\s+\S+\.py|git\s+clone|unzip|tar|cp|mv|pip\S*\s+install|bash\s|sh\s|wget|7z)"
)


def unseen(step: Step, told: set[str]) -> bool:
    """Whether nobody notices that a step fails, beside the lines that are told already."""
    if step.seen or not WEIGHTY.match(step.command):
        return False
    return not any(step.words[0] in line and step.words[-1] in line for line in told)


def unchecked_lines(source: str, following: str = "") -> list[str]:
    """The `!` lines and os.system calls of a cell that matter, and whose exit nobody looks at:
    neither the cell itself nor the first line of the `following` one."""
    looks = "_exit_code" in source or "_exit_code" in following.lstrip().partition("\n")[0]
    if source.lstrip().startswith("%%") or looks:
        return []
    lines = [line.strip() for line in source.replace("\\\n", " ").splitlines()]
    shell = [] if is_python(source) else [line for line in lines if SHELL.match(line)]
    calls = [line for line in lines if line.startswith(SYSTEM_CALLS)]
    return [line for line in shell if not HARMLESS.match(line)] + calls


@job(
    "BU008",
    ERROR,
    "code that the environment's Python can't read",
    why="The notebook stops at its first cell with a SyntaxError.",
    remedy="Write it for that Python, or choose another environment.",
)
def new_syntax(facts: JobFacts) -> Iterator[Hit]:
    # An upload made by hand names no environment, and IPython reads more than Python does.
    if facts.plan is None:
        return
    major, minor = map(int, facts.plan.environment.python.split("."))
    for number, source in enumerate(facts.code, 1):
        try:
            parsed(source, (major, minor))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            version = facts.plan.environment.python
            yield Hit(1, (), "", f"code cell {number}, Python {version}: {error}")


@job(
    "BU009",
    ERROR,
    "token, password or key",
    why="Whoever sees the project sees it.",
    remedy="Take it out, and make it invalid: it may have been uploaded already.",
)
def secret(facts: JobFacts) -> Iterator[Hit]:
    files = {} if facts.fresh else facts.files
    texts = {name: data.decode("utf-8", "replace") for name, data in files.items()}
    yield from names_hit([name for name, text in texts.items() if find_secret(text)])


@job(
    "BU010",
    ERROR,
    "files that are too large to submit",
    why="A job's own files may have 50 MB in all; a version of 1 GB does not load.",
    remedy="Data and weights belong into a data set that is mounted.",
)
def too_large(facts: JobFacts) -> Iterator[Hit]:
    size = sum(map(len, facts.files.values()))
    limit = platform().code_bytes
    if size > limit:
        yield Hit(1, (), facts.place, f"{size:,} bytes, at most {limit:,}")


@job(
    "BU011",
    NOTE,
    "bundle of another version of jobgen",
    why="Its notebook has that version's code, with its faults.",
    remedy=AGAIN,
)
def other_version(facts: JobFacts) -> Iterator[Hit]:
    version = facts.metadata.get("version") or facts.metadata.get("jobgen")
    if version and version != __version__:
        yield Hit(1, (), facts.place, f"{version}, this is {__version__}")


@job(
    "BU012",
    ERROR,
    "notebook whose cells are not in their places",
    why="jobgen run and papermill find the parameters by the tag of their cell.",
    remedy=ANEW,
)
def cells_moved(facts: JobFacts) -> Iterator[Hit]:
    if not facts.metadata or facts.notebook is None:
        return
    tags = [tag for cell in facts.notebook["cells"] for tag in cell_tags(cell)]
    if tags.count(PARAMETERS_TAG) != 1:
        yield Hit(1, (), "", f"{tags.count(PARAMETERS_TAG)} cells are tagged {PARAMETERS_TAG}")
    stages = [tag for tag in tags if tag.startswith("stage:")]
    if not stages or len(set(stages)) != len(stages):
        yield Hit(1, (), "", f"the stages are {', '.join(stages) or 'none'}")


@job(
    "BU013",
    WARNING,
    "bundle whose plan can't be made again",
    why="What depends on it is not checked: values, memory, hours, the data against the job.",
    remedy="Build it again with this version of jobgen: jobgen build JOB",
)
def no_plan(facts: JobFacts) -> Iterator[Hit]:
    if facts.no_plan:
        yield Hit(1, (), facts.place, facts.no_plan.splitlines()[0])
