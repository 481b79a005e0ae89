"""Rules about notebooks that were written by hand: what the tutorials' steps do in silence."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from jobgen.catalog import environments
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, job, names_hit
from jobgen.check.upload import JobFacts
from jobgen.plan import HOME

CLONE = re.compile(r"git\s+clone\s+(?P<rest>[^\n;&|]*)")
WEIGHTS = re.compile(r"weights=(?P<path>[^\s'\"]+)")
FALSE_FLAG = re.compile(
    r"--(?:enable_ce|use_vdl|use_wandb|export_serving_model|save_results|rtn_im_file)"
    r"[= ](?:False|false|0)\b"
)
PIPED = re.compile(r"python\S*\s+\S*tools/\w+\.py[^|]*\|")
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
ALWAYS_THERE = ("data", "work", "PaddleDetection", "output", "datasets", "")


def commands(facts: JobFacts) -> Iterator[list[str]]:
    """The words of every shell command in the notebook's cells: `!` lines and %%bash cells."""
    for source in facts.code:
        lines = source.splitlines()
        whole = bool(lines) and lines[0].startswith(("%%bash", "%%sh"))
        for line in lines:
            text = line.strip()
            if whole or text.startswith("!"):
                for part in re.split(r"&&|;|\|", text.lstrip("!")):
                    try:
                        words = shlex.split(part)
                    except ValueError:
                        continue
                    if words:
                        yield words


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
    if by_hand(facts):
        made = {words[-1].rstrip("/") for words in commands(facts) if words[0] == "mkdir"}
        targets = [words[-1] for words in commands(facts)
                   if words[0] in ("cp", "mv") and len(words) > 2]  # fmt: skip
        yield from names_hit([target for target in targets if not _is_there(target, made)])


def _is_there(target: str, made: set[str]) -> bool:
    """Whether a folder below the home is one that a clone, a mount or mkdir leaves there."""
    path = PurePosixPath(posixpath.normpath(target))
    if str(path) in {posixpath.normpath(folder) for folder in made}:
        return True
    if not path.is_absolute():
        return True
    home = PurePosixPath(HOME)
    if home not in (path, *path.parents):
        return path.parts[1] in ("tmp", "root", "opt", "mnt") if len(path.parts) > 1 else True
    inside = path.relative_to(home).parts
    return not inside or len(inside) == 1 or inside[0] in ALWAYS_THERE


@job(
    "HM002",
    ERROR,
    "weights at a path that training does not write",
    why="A path that differs by version: evaluation stops, or measures an untrained net.",
    remedy="Set save_dir yourself and give the same path to weights=.",
)
def other_weights(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts) and facts.model_file:
        branch = _branch(facts)
        name = facts.model_file.rpartition(".")[0]
        folder = "output" if branch in FLAT_OUTPUT else f"output/{name}"
        paths = [found for source in facts.code for found in WEIGHTS.findall(source)]
        wrong = [p for p in paths if p.startswith("output/") and posixpath.dirname(p) != folder]
        yield from names_hit(wrong, "", f"{branch or 'the default branch'} writes {folder}/")


def _branch(facts: JobFacts) -> str:
    """The branch or tag that the notebook clones; empty for the default one."""
    for words in commands(facts):
        if words[:2] == ["git", "clone"]:
            for flag in ("-b", "--branch"):
                if flag in words[:-1]:
                    return words[words.index(flag) + 1]
    return ""


@job(
    "HM003",
    WARNING,
    "clone of whatever branch is the default",
    why="It moves: what trained last month may not even import with this Paddle today.",
    remedy="Clone a tag or branch that suits the environment: git clone -b v2.6.0 --depth 1 ...",
)
def unpinned_clone(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        clones = [words for words in commands(facts) if words[:2] == ["git", "clone"]]
        loose = [" ".join(words) for words in clones if not {"-b", "--branch"} & set(words)]
        yield from names_hit(loose)


@job(
    "HM004",
    WARNING,
    "known defect of PaddleDetection that nothing fixes",
    why="On one card a batch without a positive sample divides by zero: the loss becomes NaN.",
    remedy="jobgen's notebooks apply the fix; jobgen environments shows it.",
)
def unfixed_defect(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts) and any(words[:2] == ["git", "clone"] for words in commands(facts)):
        fixes = {fix["id"]: fix for env in environments().values() for fix in env.revision.fixes}
        text = "\n".join(facts.code)
        yield from names_hit([name for name, fix in fixes.items() if fix["new"] not in text])


@job(
    "HM005",
    WARNING,
    "option that replaces another",
    why="Of several -o only the last counts in PaddleDetection's tools.",
    remedy="Give all of them after one -o: -o epoch=5 use_gpu=true",
)
def several_options(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        twice = [" ".join(words[:3]) for words in commands(facts)
                 if sum(word in ("-o", "--opt") for word in words) > 1]  # fmt: skip
        yield from names_hit(twice)


@job(
    "HM006",
    ERROR,
    "option whose number is text",
    why="-o reads YAML 1.1: 1e-3 is text there, and training stops or computes with a word.",
    remedy="Write 0.001.",
)
def option_as_text(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        words = [word for found in commands(facts) for word in found]
        number = re.compile(r"[\w.]+=[-+]?\d+[eE][-+]?\d+")
        yield from names_hit([word for word in words if number.fullmatch(word)])


@job(
    "HM007",
    NOTE,
    "branch that suits some versions of Paddle only",
    why="On another one it does not import, or stops at the first step.",
    remedy="Choose the project's environment by it; jobgen environments has the pairs.",
)
def paired_branch(facts: JobFacts) -> Iterator[Hit]:
    branch = _branch(facts) if by_hand(facts) else ""
    if branch in PADDLE_OF:
        yield Hit(1, (f"{branch}: Paddle {PADDLE_OF[branch]}",))


def options(facts: JobFacts) -> Iterator[list[str]]:
    """What follows each -o of PaddleDetection's tools: words as `epoch=5`."""
    for words in commands(facts) if by_hand(facts) else ():
        places = [n for n, word in enumerate(words) if word in ("-o", "--opt")]
        for place in places:
            found = []
            for word in words[place + 1 :]:
                if word.startswith("-"):
                    break
                found.append(word)
            yield found


@job(
    "HM008",
    ERROR,
    "options of which only the last counts",
    why="Of two options below one key of a key, as A.b.x=1 A.b.y=2, -o keeps the last.",
    remedy="Write them into the model YAML instead.",
)
def lost_options(facts: JobFacts) -> Iterator[Hit]:
    for found in options(facts):
        deep = [word.partition("=")[0] for word in found if word.partition("=")[0].count(".") > 1]
        prefixes = [name.rpartition(".")[0] for name in deep]
        twice = [name for name in deep if prefixes.count(name.rpartition(".")[0]) > 1]
        yield from names_hit(twice)


@job(
    "HM009",
    ERROR,
    "option for an item of a list",
    why="-o makes a dict of it, as {'0': ...}, and training stops or goes on without it.",
    remedy="Give the whole list, in quotes, or write it into the model YAML.",
)
def list_option(facts: JobFacts) -> Iterator[Hit]:
    for found in options(facts):
        yield from names_hit([word for word in found if re.search(r"\.\d+(\.|=)", word)])


@job(
    "HM010",
    ERROR,
    "flag that False turns on",
    why="The tools read any text as true: --use_vdl=False turns it on.",
    remedy="Leave the flag out.",
)
def false_flag(facts: JobFacts) -> Iterator[Hit]:
    if by_hand(facts):
        text = "\n".join(facts.code)
        yield from names_hit(FALSE_FLAG.findall(text))


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
