"""Rules about notebooks that were written by hand: what the tutorials' steps do in silence."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from jobgen.catalog import environments
from jobgen.check.rules import ERROR, NOTE, SHOWN, WARNING, Hit, job, names_hit
from jobgen.check.steps import Step
from jobgen.check.upload import JobFacts
from jobgen.yamlio import load

WEIGHTS = re.compile(r"weights=(?P<path>[^\s'\"]+)")
FALSE_FLAG = re.compile(
    r"--(?:enable_ce|use_vdl|use_wandb|export_serving_model|save_results|rtn_im_file)"
    r"[= ](?:False|false|0)\b"
)
PIPED = re.compile(r"python\S*\s+\S*tools/\w+\.py[^|]*(?<!\|)\|(?!\|)")
# Branches that write straight into save_dir; those up to 2.6 add the config's name.
FLAT_OUTPUT = ("", "release/2.6.1", "release/2.7", "release/2.7.1", "develop")
# Measured: test_architectures, train, eval, infer and export of every branch on Paddle 2.6.2 and
# 3.0.0; for 2.4 and 2.5 PaddleDetection issues 8034, 8272, 9040 and 8919 (2026-11).
PADDLE_OF = {
    "release/2.5": "2.4 to 2.6, without export",
    "release/2.6": "2.4 to 2.6",
    "v2.6.0": "2.4 to 2.6",
    "release/2.6.1": "2.6 and 3.0",
    "release/2.7": "2.5 to 2.6",
    "release/2.7.1": "2.6 and 3.0",
    "develop": "2.6 and 3.0",
}


def told(found: Iterable[tuple[Step, str]]) -> Iterator[Hit]:
    """One hit for all that was found, at the place of the first."""
    rows = list(found)
    if rows:
        yield Hit(len(rows), [text for _, text in rows[:SHOWN]], rows[0][0].place)


def plain_code(facts: JobFacts) -> str:
    """The code of all cells without whole lines of comment."""
    lines = (line for source in facts.code for line in source.splitlines())
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def by_hand(facts: JobFacts) -> bool:
    return facts.notebook is not None and not facts.metadata


@job(
    "HM001",
    ERROR,
    "copy to a folder that is not there",
    why="cp fails, the notebook goes on, and training uses the stock config, or none.",
    remedy="Copy into the clone: PaddleDetection/configs/...",
)
def copy_nowhere(facts: JobFacts) -> Iterator[Hit]:
    for kind, step, target in facts.task[1].missing:
        if kind == "target":
            yield Hit(1, (target,), step.place)


@job(
    "HM002",
    ERROR,
    "weights at a path that training does not write",
    why="A path that differs by version: evaluation stops, or measures an untrained net.",
    remedy="Set save_dir yourself and give the same path to weights=.",
)
def other_weights(facts: JobFacts) -> Iterator[Hit]:
    branch = _branch(facts) if by_hand(facts) else None
    text = plain_code(facts)
    if branch is None or not facts.model_file or "save_dir" in text:
        return
    saved = facts.value("save_dir") or "output"
    name = facts.model_file.rpartition(".")[0]
    folder = saved if branch in FLAT_OUTPUT else f"{saved}/{name}"
    wrong = [p for p in WEIGHTS.findall(text) if posixpath.dirname(p) != folder]
    wrong = [path for path in wrong if path.startswith(("output/", f"{saved}/"))]
    yield from names_hit(wrong, "", f"{branch or 'the default branch'} writes {folder}/")


def _branch(facts: JobFacts) -> str | None:
    """The branch or tag that the notebook clones; empty for the default one, None where no clone
    is seen."""
    found = None
    for step in facts.steps:
        words = step.words
        if words[:2] == ("git", "clone"):
            found = next(step.options("-b", "--branch"), "")
        elif words[0] == "git" and found is not None and {"checkout", "switch"} & set(words[1:-1]):
            found = words[-1]
    return found


@job(
    "HM003",
    WARNING,
    "clone of whatever branch is the default",
    why="It moves: what trained last month may not even import with this Paddle today.",
    remedy="Clone a tag or branch that suits the environment: git clone -b v2.6.0 --depth 1 ...",
)
def unpinned_clone(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts) and _branch(facts) == "":
        clones = (step for step in facts.steps if step.words[:2] == ("git", "clone"))
        yield from told((step, step.command) for step in clones)


@job(
    "HM004",
    NOTE,
    "known defect of PaddleDetection that nothing fixes",
    why="On one card a batch without a positive sample divides by zero: the loss becomes NaN.",
    remedy="jobgen's notebooks apply the fix; jobgen environments shows it.",
)
def unfixed_defect(facts: JobFacts) -> Iterator[Hit]:
    branch = _branch(facts) if by_hand(facts) else None
    revisions = [env.revision for env in environments().values()]
    known = [r for r in revisions if branch and branch.lstrip("v") in r.name]
    # Whoever writes over the file has fixed it, or has made it something else.
    touched = {word.rpartition("/")[2] for step in facts.steps for word in step.words
               if step.words[0] in ("sed", "cp", "mv", "patch", "%%writefile")}  # fmt: skip
    text = "\n".join(facts.code)
    exports = any(step.tool.endswith("export_model.py") for step in facts.steps)
    fixes = {fix["id"]: fix for revision in known or revisions for fix in revision.fixes}
    for name, fix in fixes.items() if branch is not None else ():
        if not concerns(facts, fix.get("family")):
            continue
        fixed = fix["new"] in text or fix["file"].rpartition("/")[2] in touched
        if not fixed and (exports or name != "static-export"):
            yield Hit(1, (name,))


def concerns(facts: JobFacts, family: str | None) -> bool:
    """Whether a defect of a family's own code can be met: also where the model is not known."""
    if family is None or facts.partial is None:
        return True
    return facts.family is not None and facts.family.name == family


@job(
    "HM005",
    WARNING,
    "option that replaces another",
    why="Of several -o only the last counts in PaddleDetection's tools.",
    remedy="Give all of them after one -o: -o epoch=5 use_gpu=true",
)
def several_options(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        twice = (s for s in facts.steps if sum(word in ("-o", "--opt") for word in s.words) > 1)
        yield from told((step, " ".join(step.words[:3])) for step in twice)


@job(
    "HM006",
    ERROR,
    "option whose number is text",
    why="-o reads YAML 1.1: 1e-3 is text there, and training stops or computes with a word.",
    remedy="Write 0.001.",
)
def option_as_text(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        words = ((step, word) for step, found in options(facts) for word in found)
        yield from told((s, word) for s, word in words if _is_text(word.partition("=")[2]))


def _is_text(value: str) -> bool:
    """Whether YAML 1.1 takes a number with an exponent for text: it wants a point and a sign."""
    if not re.fullmatch(r"[-+]?[\d.]+[eE][-+]?\d+", value):
        return False
    return isinstance(load(f"x: {value}", "-o", "yaml11").value["x"], str)


@job(
    "HM007",
    NOTE,
    "branch that suits some versions of Paddle only",
    why="On another one it does not import, or stops at the first step.",
    remedy="Choose the project's environment by it; jobgen environments has the pairs.",
)
def paired_branch(facts: JobFacts) -> Iterator[Hit]:
    branch = _branch(facts) if by_hand(facts) else None
    if branch in PADDLE_OF:
        yield Hit(1, (f"{branch}: Paddle {PADDLE_OF[branch]}",))


def options(facts: JobFacts) -> Iterator[tuple[Step, list[str]]]:
    """What follows each -o of PaddleDetection's tools: words as `epoch=5`."""
    for step in facts.steps:
        words = step.words
        places = [n for n, word in enumerate(words) if word in ("-o", "--opt")]
        for place in places:
            found = []
            for word in words[place + 1 :]:
                if word.startswith("-"):
                    break
                found.append(word)
            yield step, found


@job(
    "HM008",
    ERROR,
    "options of which only the last counts",
    why="Of two options below one key of a key, as A.b.x=1 A.b.y=2, -o keeps the last.",
    remedy="Write them into the model YAML instead.",
)
def lost_options(facts: JobFacts) -> Iterator[Hit]:
    for step, found in options(facts):
        names = [word.partition("=")[0].split(".") for word in found]
        deep = [name for name in names if len(name) > 2]
        starts = [name[:2] for name in deep]
        yield from told((step, ".".join(n)) for n in deep if starts.count(n[:2]) > 1)


@job(
    "HM009",
    ERROR,
    "option for an item of a list",
    why="-o makes a dict of it, as {'0': ...}, and training stops or goes on without it.",
    remedy="Give the whole list, in quotes, or write it into the model YAML.",
)
def list_option(facts: JobFacts) -> Iterator[Hit]:
    for step, found in options(facts):
        yield from told((step, word) for word in found if re.search(r"\.\d+(\.|=)", word))


@job(
    "HM010",
    ERROR,
    "flag that False turns on",
    why="The tools read any text as true: --use_vdl=False turns it on.",
    remedy="Leave the flag out.",
)
def false_flag(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        scripts = "\n".join(step.command for step in facts.steps if step.script)
        yield from names_hit(FALSE_FLAG.findall(f"{plain_code(facts)}\n{scripts}"))


@job(
    "HM011",
    WARNING,
    "pipe that hides a failure",
    why="The exit status is the last command's: after `| tee log` it is always 0.",
    remedy="Write `set -o pipefail` first, or to a file: python ... > log 2>&1",
)
def hidden_status(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        lines = [line.strip() for source in facts.code if "pipefail" not in source
                 for line in source.splitlines()]  # fmt: skip
        yield from names_hit([line[:60] for line in lines if PIPED.search(line)])


@job(
    "HM012",
    ERROR,
    "checkpoint that can't be resumed from",
    why="-r takes a path without ending, or .pdparams or .pdopt; any other dot in the name is "
    "taken for an ending, and training stops with an AssertionError.",
    remedy="Give the path without its ending, as in: -r output/MODEL/9",
)
def unknown_checkpoint(facts: JobFacts) -> Iterator[Hit]:
    for step in facts.steps:
        if not step.tool.endswith("tools/train.py"):
            continue
        for path in step.options("-r", "--resume"):
            ending = path.rpartition("/")[2].partition(".")[2]
            if ending not in ("", "pdparams", "pdopt"):
                yield Hit(1, (path,), step.place)


@job(
    "HM013",
    WARNING,
    "requirements.txt of PaddleDetection",
    why="It names sklearn, which installs nothing any more, and older NumPy and OpenCV that "
    "replace the environment's: `import ppdet` then fails, in training too.",
    remedy="Install what is missing by name, without dependencies: scikit-learn, pycocotools, lap.",
)
def whole_requirements(facts: JobFacts) -> Iterator[Hit]:
    for step in facts.steps:
        if "install" in step.words and any(w.endswith("requirements.txt") for w in step.words):
            yield Hit(1, (step.command[:60],), step.place)
