"""What a training left, in whatever shape it was downloaded: weights, and the job they are of."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from jobgen.catalog import full_name, models
from jobgen.catalog import model_named as named_in
from jobgen.datasets.contents import Contents
from jobgen.datasets.found import job_word
from jobgen.datasets.job import expected, job_text, need_trainable
from jobgen.datasets.look import choose, layout_of_job, read_layout
from jobgen.datasets.record import EVAL, TRAIN, DataSet, Layout
from jobgen.datasets.sources import open_sources, source_of
from jobgen.errors import DatasetError, RunError, SpecError
from jobgen.resultfile import RESULT, read_result
from jobgen.spec import AnySpec, parse_any, parse_spec
from jobgen.yamlio import Document, load
from jobgen_runtime.data.archives import list_archive, unpack
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.train.weightsfile import TORN, weights_fault

WEIGHTS = ".pdparams"
# The best first; `best_model/model` is how develop also saves it.
NAMES = ("best_model.pdparams", "best_model/model.pdparams", "model_final.pdparams")
# Paddle issue 55438.
AGAIN = "Download it again: AI Studio's downloads may stop half-way and look complete."


@dataclass(frozen=True)
class Output:
    """`result` is empty, and `folder` any folder, for weights of no run of jobgen's."""

    folder: Path
    weights: Path
    result: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Words that may say which model the weights are of: their own path, then the YAML files
        beside them and in a run's configs/; a clone's own configs name every model."""
        near = dict.fromkeys((self.weights.parent, self.weights.parent.parent, self.folder))
        folders = [place for folder in near for place in (folder, folder / "configs")]
        beside = sorted(path.name for folder in folders for path in folder.glob("*.yml"))
        return [*reversed(self.weights.parts), *beside]


def open_output(path: Path, spare: Path) -> Output:
    """The best run with weights at or below `path`, a smoke run last: a folder, a zip of any
    layout, or a `.pdparams` file. `spare` is an empty folder of ours, where a zip is unpacked.
    Raises RunError."""
    if not path.exists():
        raise RunError(f"{path} is not there", "Give an output folder, its zip, or a .pdparams.")
    if path.suffix == WEIGHTS and path.is_file():
        return _sound(Output(path.parent, path, _result_beside(path)))
    given = path
    if path.is_file():
        unpack_output(path, spare, lambda name: name.endswith((RESULT, WEIGHTS, ".yml", ".yaml")))
        path = spare
    runs = [(file.parent, read_result(file)) for file in sorted(path.rglob(RESULT))]
    found = [Output(folder, weights, result) for folder, result in runs if result
             for weights in weights_below(folder)[:1]]  # fmt: skip
    if found:
        return _sound(max(found, key=_worth))
    weights = weights_below(path)
    if not weights:
        raise RunError(
            f"no weights (*{WEIGHTS}) are in {given}",
            "A run leaves them in output/<name>/weights/; a training by hand in its save_dir.",
        )
    return _sound(Output(path, weights[0], {}))


def _worth(output: Output) -> tuple[bool, bool, str]:
    """Of several runs the one that was meant: no smoke run, one that ended well, the newest."""
    result = output.result
    good = str(result.get("status")).startswith("ok")
    return not result.get("smoke"), good, str(result.get("started", ""))


def unpack_output(path: Path, goal: Path, wanted: Any = None) -> None:
    """Unpack a zip or tar of somebody's, safely; `wanted` chooses by name. Raises RunError."""
    try:
        unpack(str(path), str(goal), str(goal / ".jobgen" / "unpacked.json"), only=wanted)
    except StageError as error:
        raise RunError(error.message, AGAIN) from error


def no_result(path: Path) -> RunError:
    return RunError(
        f"no result.json of a jobgen run is in {path}",
        "Weights of another training are measured by: jobgen evaluate OUTPUT --archive FILE",
    )


def sizes_in(path: Path) -> list[tuple[str, int]]:
    """The files of a zip or tar, with their bytes. Raises RunError where it can't be read."""
    try:
        archive, members = list_archive(str(path))
    except StageError as error:
        raise RunError(error.message, AGAIN) from error
    with archive:
        return [(member.name, member.size) for member in members]


def need_result(path: Path) -> None:
    """Look into a zip or tar before it is unpacked. Raises RunError where no result is in it."""
    if not any(PurePosixPath(name).name == RESULT for name, _ in sizes_in(path)):
        raise no_result(path)


def _result_beside(weights: Path) -> dict[str, Any]:
    return next((r for f in weights.parents[:2] if (r := read_result(f / RESULT))), {})


def weights_below(folder: Path) -> list[Path]:
    """Weights files, the best first: by name, then the latest epoch, then the one that a run of
    jobgen's gathered, the highest folder first."""
    paths = [path for path in folder.rglob(f"*{WEIGHTS}") if path.is_file()]

    def rank(path: Path) -> tuple[int, int, bool, int, str]:
        text = path.as_posix()
        place = next((n for n, name in enumerate(NAMES) if text.endswith("/" + name)), len(NAMES))
        epoch = int(path.stem) if path.stem.isdigit() else -1
        return place, -epoch, path.parent.name != "weights", len(path.parts), text

    return sorted(paths, key=rank)


def _sound(output: Output) -> Output:
    fault = weights_fault(str(output.weights))
    if fault == TORN:
        raise RunError(
            f"the weights {output.weights} are torn, or no weights file at all",
            "Download them again.",
        )
    if fault:
        raise RunError(
            f"the weights file {output.weights} is not opened: {fault}",
            "Use weights from a source you trust.",
        )
    return output


def job_of(
    output: Output, archives: Sequence[Path], model: str | None, environment: str | None
) -> tuple[AnySpec, Document]:
    """The job that weights are of: what its result says, else what data and file names say.
    Raises SpecError or RunError where that does not suffice."""
    job = output.result.get("job")
    if isinstance(job, dict):
        if environment:
            job = {**job, "environment": environment}
        return parse_any(load(json.dumps(job, ensure_ascii=False), f"{output.folder / RESULT}"))
    if not archives:
        raise RunError(
            f"{output.weights} came without the result.json of its run, so its classes are unknown",
            "Give the run's output folder or its zip, or the data set: --archive FILE",
        )
    files = open_sources(list(archives))
    data = read_layout(files, choose(files))
    need_trainable(data, archives[0])
    sources = [source_of(path, None) for path in archives]
    chosen = {
        "config": full_name(model) if model else model_named(output.names),
        "pretrained": "none",
    }
    name = re.sub(r"[^a-z0-9_-]+", "-", archives[0].name.split(".")[0].lower()).strip("-_") or "job"
    where = environment or "paddle2.6_py3.10"
    text = job_text(name[:40], where, sources, data, chosen, {"epochs": 100}, "zh")
    return parse_spec(load(text, str(output.weights)))


def with_data(job: dict[str, Any], archives: Sequence[Path], split: str = EVAL) -> dict[str, Any]:
    """A detection's job with the set of these archives in place of its own, where that is another
    one, and with another split of it to evaluate. Raises DatasetError and RunError."""
    files = open_sources(list(archives))
    dataset = job["dataset"]
    layout = layout_of_job(dataset)
    own = _is_the_same(dataset, files, layout)
    if own and split == EVAL:
        return job
    if own and dataset.get(split):
        paths = {key: value for key, value in dataset[split].items() if value is not None}
        layout = replace(layout, splits={**layout.splits, split: paths})
    else:
        layout = choose(files)
    data = read_layout(files, layout)
    need_trainable(data, archives[0])
    if split not in data.splits:
        there = ", ".join(job_word(name) for name in data.splits)
        raise RunError(
            f"{files.name} has no split {split} with images and boxes; there is {there}",
            "Name it in job.yaml: dataset.test: {images: ..., annotations: ...}",
        )
    if sorted(data.classes) != sorted(dataset["classes"]):
        raise RunError(
            f"{files.name} has the classes {', '.join(data.classes)}; the weights were trained on "
            f"{', '.join(dataset['classes'])}",
            "Make them the same: jobgen dataset classes SRC DST.zip --rename OLD=NEW",
        )
    chosen = {TRAIN: data.splits[TRAIN], EVAL: data.splits[split]}
    given = [source_of(path, None) for path in archives]
    return {
        **job,
        "dataset": {
            "sources": given,
            "root": layout.root,
            "format": layout.format,
            **{name: found.files for name, found in chosen.items()},
            "classes": dataset["classes"],
            "expect": {name: expected(_as_job(data, job), s) for name, s in chosen.items()},
        },
    }


def _as_job(data: DataSet, job: dict[str, Any]) -> DataSet:
    return replace(data, classes=list(job["dataset"]["classes"]))


def _is_the_same(dataset: dict[str, Any], files: Contents, layout: Layout) -> bool:
    """Whether these files are the set that a job was made from."""
    wanted = (dataset.get("expect") or {}).get(EVAL)
    try:
        data = read_layout(files, layout)
        found = expected(replace(data, classes=list(dataset["classes"])), data.splits[EVAL])
    except (DatasetError, ValueError, KeyError):
        return False
    if sorted(data.classes) != sorted(dataset["classes"]):
        return False
    return not wanted or all(found[key] == wanted[key] for key in ("images", "boxes"))


def model_named(names: Sequence[str]) -> str:
    """The model of the catalogue that file or folder names tell. Raises SpecError."""
    for name in names:
        found = named_in(PurePosixPath(name).name)
        if found in models():
            return found
    raise SpecError(
        "which model the weights are of can't be told from the files' names",
        f"Name it: --model, one of {', '.join(models())}",
    )
