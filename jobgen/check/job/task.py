"""Rules about what the steps of a notebook made by hand find on the task's disk."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterator

from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, job
from jobgen.check.steps import Step
from jobgen.check.taskplaces import HOME
from jobgen.check.upload import JobFacts

PADDLE = re.compile(r"paddlepaddle(-gpu)?([=<>!~].*|\[.*)?")
# Suites with a trainer of their own: no config for the rules of configs.
OTHER_SUITES = {
    "paddlex": "PaddleX", "ultralytics": "Ultralytics YOLO", "mmdet": "MMDetection",
    "paddleseg": "PaddleSeg", "paddleclas": "PaddleClas", "torch": "PyTorch",
}  # fmt: skip


def _missing(facts: JobFacts, kind: str) -> Iterator[tuple[Step, str]]:
    for found, step, path in facts.task[1].missing:
        if found == kind:
            yield step, path


def about_paddledetection(facts: JobFacts) -> bool:
    """Whether the notebook fetches PaddleDetection, so that it is known where its files are."""
    installs = any("paddledet" in word for step in facts.steps for word in step.words[2:]
                   if step.words[1:2] == ("install",))  # fmt: skip
    return bool(facts.task[1].clones) or installs


@job(
    "HM014",
    ERROR,
    "program that is not there",
    why="Python ends with status 2 before anything is trained.",
    remedy="Go into the clone first. A `!cd` holds for its own line only: use %cd.",
)
def no_script(facts: JobFacts) -> Iterator[Hit]:
    if about_paddledetection(facts):
        for step, path in _missing(facts, "script"):
            detail = f"in {step.folder} there is no {path}"
            if not facts.task[1].clones:
                detail += ": the package paddledet has no tools, clone PaddleDetection"
            yield Hit(1, (), step.place, detail)


@job(
    "HM015",
    ERROR,
    "config that is not where training reads it",
    why="Training stops, or takes the stock config of the same name.",
    remedy="Copy the uploaded YAML there before training, and check that cp succeeds.",
)
def config_not_copied(facts: JobFacts) -> Iterator[Hit]:
    for training in facts.trainings:
        if facts.task[1].has(training.step.path(training.step.tool)) is False:
            continue
        for path in training.missing:
            name, folder = posixpath.basename(path), posixpath.dirname(path)
            yield Hit(1, (), training.step.place, f"nothing copies {name} to {folder}")


@job(
    "HM016",
    ERROR,
    "data that is not where the dataset YAML says",
    why="Training stops at its first image; some readers only find no image, and train nothing.",
    remedy="Make dataset_dir, image_dir and anno_path match what the archive unpacks to.",
)
def data_elsewhere(facts: JobFacts) -> Iterator[Hit]:
    training, disk = facts.training, facts.task[1]
    if training is None:
        return
    for split in ("TrainDataset", "EvalDataset"):
        folder = facts.known(split, "dataset_dir")
        if not isinstance(folder, str):
            continue
        base = training.step.path(folder)
        for key in ("", "image_dir", "anno_path"):
            name = facts.known(split, key) if key else ""
            path = posixpath.normpath(posixpath.join(base, name)) if isinstance(name, str) else base
            if disk.has(path) is False:
                spot = facts.line(split, key or "dataset_dir")
                near = difflib.get_close_matches(path, disk.there | disk.open, 1, 0.8)
                detail = f"{split}: {path} is not there" + (f"; {near[0]} may be" if near else "")
                yield Hit(1, (), spot, detail)
                break


@job(
    "HM017",
    ERROR,
    "checkpoint that no task starts with",
    why="A task starts from the uploaded files and the mounted data: what an earlier one wrote is "
    "not there, and training stops, or begins anew.",
    remedy="Mount the earlier output as a data set, copy the checkpoint, and give that path.",
)
def lost_checkpoint(facts: JobFacts) -> Iterator[Hit]:
    for step, path in _missing(facts, "checkpoint"):
        if path.endswith((".pdema", ".pdmodel")):
            continue  # has a rule of its own
        yield Hit(1, (), step.place, f"{step.path(path)}: nothing makes it")


@job(
    "HM018",
    ERROR,
    "archive or file that is not there",
    why="Nothing is unpacked or copied, and what follows works on what is not there.",
    remedy="Give the whole path, such as /home/aistudio/data/data123/ships.zip.",
)
def lost_file(facts: JobFacts) -> Iterator[Hit]:
    disk = facts.task[1]
    for kind in ("archive", "file"):
        for step, path in _missing(facts, kind):
            near = difflib.get_close_matches(posixpath.basename(path), facts.files, 1, 0.7)
            if kind == "file" and not near:
                continue  # a version may have more files than the folder
            whole = step.path(path)
            from_home = posixpath.normpath(f"{HOME}/{path}")
            detail = f"{whole} is not there"
            if not path.startswith(("/", "~")) and whole != from_home:
                detail += f": this step is in {step.folder}"
            yield Hit(1, (), step.place, detail)
    names = {posixpath.basename(path) for _, path in disk.unpacked}
    if disk.archives and names and not names & set(disk.archives):
        for step, path in disk.unpacked:
            given = ", ".join(sorted(disk.archives))
            yield Hit(1, (), step.place, f"{posixpath.basename(path)}; --archive gave {given}")


@job(
    "HM019",
    WARNING,
    "another Paddle over the environment's",
    why="pip takes another release, for another CUDA or for no GPU, than PaddleDetection suits.",
    remedy="Leave it out and choose the project's environment instead.",
)
def other_paddle(facts: JobFacts) -> Iterator[Hit]:
    for step in facts.steps:
        words = [word.strip("'\"") for word in step.words]
        if "install" in words and any(PADDLE.fullmatch(word) for word in words):
            yield Hit(1, (), step.place, step.command[:80])


@job(
    "HM020",
    ERROR,
    "question that nobody answers",
    why="A background task has no keyboard: input() ends the notebook with an error.",
    remedy="Write the value into the cell.",
)
def question(facts: JobFacts) -> Iterator[Hit]:
    for place in facts.task[0].questions:
        yield Hit(1, (), place, "input()")


@job(
    "HM021",
    NOTE,
    "steps that were not understood",
    why="What they make is not known: files that they write are taken for there.",
    remedy="Look at these yourself.",
)
def not_understood(facts: JobFacts) -> Iterator[Hit]:
    places = dict.fromkeys(facts.task[1].not_followed)
    if places and not facts.trainings:
        yield Hit(len(places), list(places)[:5])


@job(
    "HM022",
    NOTE,
    "training of another suite",
    why="Only PaddleDetection's configs are known: its data, values and hours were not looked at. "
    "The steps around it were.",
    remedy="Check the data by itself: jobgen check, with the path of the archive.",
)
def other_suite(facts: JobFacts) -> Iterator[Hit]:
    if facts.metadata or facts.trainings:
        return
    for number, source in enumerate(facts.code, 1):
        found = re.findall(r"^\s*(?:import|from)\s+(\w+)", source, re.MULTILINE)
        for module in sorted(set(found) & set(OTHER_SUITES)):
            spot = f"{facts.notebook_name} cell {number}"
            yield Hit(1, (), spot, OTHER_SUITES[module])
