"""What the rules of jobs look at: job.yaml or an upload folder, and the config it resolves to."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jobgen import __version__
from jobgen.catalog import Family, Model, families, family_of, layer_texts, models
from jobgen.check.rules import Hit
from jobgen.check.steps import Step, Steps, steps_of
from jobgen.check.taskfiles import TaskFiles, Training
from jobgen.check.taskplaces import UPSTREAM, upstream_files
from jobgen.errors import BundleError, JobgenError, SpecError
from jobgen.findings import Findings
from jobgen.job.build import job_data, render
from jobgen.job.bundle import NOTEBOOK, TOLERATED, Bundle
from jobgen.job.notebook import cell_source, parse_notebook
from jobgen.job.plan import Plan, carried, make_plan
from jobgen.packs.disk import JOB_FOLDER
from jobgen.packs.render import load_job_pack, stale_files
from jobgen.ppconfig import Origin, Resolved, resolve
from jobgen.spec import JobSpec, load_spec, parse_spec
from jobgen.target import JOB, UPLOAD
from jobgen.yamlio import Tagged, YamlError, YamlPath, load

YAML_ENDINGS = (".yml", ".yaml")
# Longer files are data, not configs or scripts.
TEXT_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class JobFacts:
    """A job before it is uploaded.

    `files` are the files to upload by name, empty where job.yaml can't be built. `said` is what
    reading job.yaml found. `plan` is there for jobgen's own, None for an upload made by hand.
    """

    place: str
    files: dict[str, bytes]
    plan: Plan | None = None
    said: Findings = field(default_factory=Findings)
    # Classes and training images in the data of an upload made by hand, where it was given.
    classes: int | None = None
    train_images: int | None = None
    # The files in each archive that was given, by the archive's name.
    archives: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # Which of the trainings of a notebook made by hand the config is that of.
    which: int = 0
    # Images a second of a measured run on a GPU, over all its cards.
    images_per_second: float | None = None
    # Rendered just now: `render` has compiled every cell and looked for secrets itself.
    fresh: bool = False
    # The job's own templates that were ejected from a pack which has changed since.
    stale: tuple[str, ...] = ()
    # The upload beside a job.yaml is of another job.yaml than this.
    outdated: bool = False
    # Why a bundle of jobgen's has no plan: then the rules that need one can't be asked.
    no_plan: str = ""

    @property
    def notebooks(self) -> list[str]:
        return sorted(name for name in self.files if name.endswith(".ipynb"))

    @property
    def notebook_name(self) -> str:
        """The notebook that a task is started with; empty where there is none."""
        return NOTEBOOK if NOTEBOOK in self.files else (self.notebooks or [""])[0]

    @cached_property
    def notebook(self) -> dict[str, Any] | None:
        """The notebook, or None where it is none or there are several."""
        names = [NOTEBOOK] if NOTEBOOK in self.files else self.notebooks
        if len(names) != 1:
            return None
        try:
            return parse_notebook(self.files[names[0]], names[0])
        except BundleError:
            return None

    @property
    def metadata(self) -> dict[str, Any]:
        """What a notebook of jobgen says of itself; empty for one made by hand."""
        found = self.notebook["metadata"].get("jobgen") if self.notebook else None
        return found if isinstance(found, dict) else {}

    @cached_property
    def code(self) -> list[str]:
        """The sources of the code cells, unless they were rendered just now."""
        if self.fresh:
            return []
        cells = self.notebook["cells"] if self.notebook else []
        return [cell_source(cell) for cell in cells if cell.get("cell_type") == "code"]

    @cached_property
    def task(self) -> tuple[Steps, TaskFiles]:
        """The steps of a notebook made by hand, and the task's disk after them."""
        by_hand = self.notebook is not None and not self.metadata
        texts = {
            name: data.decode("utf-8", "replace")
            for name, data in self.files.items()
            if len(data) <= TEXT_BYTES and not name.endswith(".ipynb")
        }
        steps = steps_of(self.code if by_hand else [], self.files, self.notebook_name)
        disk = TaskFiles(texts, self.archives)
        disk.follow(steps)
        return steps, disk

    @property
    def steps(self) -> list[Step]:
        """The commands of a notebook made by hand."""
        return self.task[0].steps

    @cached_property
    def trainings(self) -> list[Training]:
        """The trainings of a notebook made by hand, one for each config that is known."""
        found = {training.config: training for training in self.task[1].trainings[::-1]
                 if training.trains and training.config in training.texts}  # fmt: skip
        return list(found.values())[::-1]

    @property
    def training(self) -> Training | None:
        """The training that the config is that of, in a notebook made by hand."""
        return self.trainings[self.which] if self.which < len(self.trainings) else None

    @cached_property
    def yamls(self) -> dict[str, Any]:
        """The YAML files that can be read, as plain data."""
        found = {}
        for name, data in sorted(self.files.items()):
            if name.lower().endswith(YAML_ENDINGS):
                try:
                    found[name] = load(data.decode(), name, "yaml11", lenient=True).value
                except (YamlError, UnicodeDecodeError):
                    continue
        return {name: value for name, value in found.items() if isinstance(value, dict)}

    @property
    def unreadable(self) -> list[str]:
        """The YAML files that are none."""
        found = []
        for name, data in sorted(self.files.items()):
            if name.lower().endswith(YAML_ENDINGS):
                try:
                    load(data.decode(), name, "yaml11", lenient=True)
                except (YamlError, UnicodeDecodeError):
                    found.append(name)
        return found

    @property
    def model_files(self) -> list[str]:
        """The YAML files that name bases."""
        return [name for name, value in self.yamls.items() if "_BASE_" in value]

    @cached_property
    def model_file(self) -> str | None:
        """The YAML of the model: the one that is trained, or that names bases."""
        if self.training is not None:
            return posixpath.basename(self.training.config)
        return self.model_files[0] if len(self.model_files) == 1 else None

    @cached_property
    def config(self) -> Resolved | None:
        """What training reads: the upload's YAML files over the catalogue's bases.

        None where the catalogue does not have the model's family, or one of the bases."""
        found = self.partial
        known = found is not None and family_of(found.config) and not found.unread
        return found if self.plan is not None or known else None

    @cached_property
    def family(self) -> Family | None:
        """The family of the model; None where it is not known."""
        if self.plan is not None:
            return self.plan.model.family
        return family_of(self.partial.config) if self.partial else None

    @cached_property
    def model(self) -> Model | None:
        """The model of the catalogue that the config is built like; None where there is none."""
        if self.plan is not None:
            return self.plan.model
        if self.partial is None or self.family is None:
            return None
        read = {path.name for path in self.partial.files}
        shared = {
            model.name: len(read & set(map(posixpath.basename, model.bases)))
            for model in models().values()
            if model.family is self.family
        }
        best = [name for name, count in shared.items() if count and count == max(shared.values())]
        rates = {models()[name].base_lr_per_image for name in best}
        return models()[best[0]] if len(rates) == 1 else None

    @cached_property
    def partial(self) -> Resolved | None:
        """What is known of the config; of a family that is not in the catalogue the bases are
        missing."""
        if self.training is not None:
            return _trained(self.training)
        if self.model_file is None:
            return None
        tries = [(self._resolved(family.folder), family) for family in families().values()]
        known = [found for found, family in tries if family_of(found.config) is family]
        # Families share names of bases: of the right one all are there.
        return min(
            known or [found for found, _ in tries], key=lambda found: len(found.findings.errors)
        )

    @property
    def bases_are_there(self) -> bool:
        """Whether the training starts in a clone: without one it is not its bases that lack."""
        if self.training is None:
            return True
        start = f"{self.training.clone}/configs/"
        return any(path.startswith(start) for path in self.training.texts)

    def _resolved(self, own: str) -> Resolved:
        """The config where the model's YAML lies in the folder `own` below configs/."""
        texts = {f"configs/{path}": text for path, text in layer_texts().items()}
        for name in self.yamls:
            folder = own if name == self.model_file else "datasets"
            texts[f"configs/{folder}/{name}"] = self.files[name].decode()
        return resolve(Path(f"configs/{own}/{self.model_file}"), texts, UPSTREAM)

    def items(self, *path: str | int) -> list[Any]:
        """A list of the config; empty where there is none."""
        found = self.value(*path)
        return found if isinstance(found, list) else []

    def value(self, *path: str | int) -> Any:
        """A value of the config; None where there is none."""
        return self._inside(self.config, path)

    def known(self, *path: str | int) -> Any:
        """A value of what is known of the config, of any family; None where there is none."""
        return self._inside(self.partial, path)

    @staticmethod
    def _inside(config: Resolved | None, path: tuple[str | int, ...]) -> Any:
        found: Any = config.config if config else None
        for key in path:
            found = found.value if isinstance(found, Tagged) else found
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def line(self, *path: str | int) -> str:
        """Where a value was set: `file:line`."""
        origin = self.partial.origin(path) if self.partial else None
        return f"{Path(origin.file).name}:{origin.line}" if origin else ""

    def hit(self, path: YamlPath, detail: str) -> Iterator[Hit]:
        """One hit about a value of the config."""
        yield Hit(1, (), self.line(*path), detail)

    @property
    def scheduler(self) -> dict[str, dict[str, Any]]:
        """The learning rate's schedulers by name."""
        found = {}
        schedulers = self.value("LearningRate", "schedulers")
        for item in schedulers if isinstance(schedulers, list) else []:
            name = item.tag if isinstance(item, Tagged) else None
            values = item.value if isinstance(item, Tagged) else item
            if isinstance(values, dict):
                found[str(name or values.get("name"))] = values
        return found


def _trained(training: Training) -> Resolved | None:
    """The config of a training as far as its files are known, with the options it is given."""
    start = f"{training.clone}/"
    texts = {path.removeprefix(start): text for path, text in training.texts.items()
             if path.startswith(start)}  # fmt: skip
    outside = not training.config.startswith(start)
    config = posixpath.basename(training.config) if outside else training.config[len(start) :]
    if outside and training.config in training.texts:
        texts[config] = training.texts[training.config]
    try:
        found = resolve(Path(config), texts, upstream_files(texts))
    except (OSError, YamlError):
        return None
    for option in training.options:
        name, equal, text = option.partition("=")
        if equal and "{" not in option:
            _set(found, tuple(name.split(".")), text, training.step.place)
    return found


def _set(found: Resolved, path: tuple[str, ...], text: str, place: str) -> None:
    """Replace a value by what -o gives."""
    try:
        value = load(f"x: {text}", "-o", "yaml11", lenient=True).value["x"]
    except (YamlError, KeyError, TypeError):
        return
    into: Any = found.config
    for key in path[:-1]:
        into = into.value if isinstance(into, Tagged) else into
        if not isinstance(into, dict) or not isinstance(into.setdefault(key, {}), (dict, Tagged)):
            return
        into = into[key]
    into = into.value if isinstance(into, Tagged) else into
    if isinstance(into, dict):
        into[path[-1]] = value
        file, _, line = place.rpartition(":")
        found.origins[path] = Origin(file, int(line))


def facts_of(target: Path) -> JobFacts:
    """A job.yaml or an upload folder. Raises OSError and BundleError where there is neither."""
    return _of_folder(target) if target.is_dir() else _of_job(target)


def _of_job(path: Path) -> JobFacts:
    try:
        spec, document = load_spec(path)
        pack = load_job_pack(spec.template, path.parent)
        plan = make_plan(spec, document, pack)
        bundle = render(plan, pack)
    except SpecError as error:
        if not error.findings:
            raise
        return JobFacts(str(path), {}, None, Findings(error.findings))
    stale = tuple(stale_files(pack))
    outdated = _is_outdated(path.parent / UPLOAD, bundle)
    return JobFacts(str(path), bundle.files, plan, fresh=True, stale=stale, outdated=outdated)


def _is_outdated(upload: Path, now: Bundle) -> bool:
    """Whether a folder holds a bundle of this version that job.yaml builds otherwise by now."""
    try:
        there = parse_notebook((upload / NOTEBOOK).read_bytes(), NOTEBOOK)
    except (OSError, BundleError):
        return False
    facts = there["metadata"].get("jobgen", {})
    if "cells" not in facts or facts.get("version") != now.facts["version"]:
        return False
    return any(facts.get(key) != now.facts[key] for key in ("cells", "files"))


def _beside(folder: Path, metadata: Mapping[str, Any]) -> bool:
    """Whether the job.yaml beside an upload builds another bundle than it by now."""
    job = folder.parent / JOB
    if folder.name != UPLOAD or not job.is_file() or metadata.get("version") != __version__:
        return False
    try:
        spec, _ = load_spec(job)
        if job_data(spec) != metadata.get("spec"):
            return True
        # The same words of the same pack: only templates of somebody's can make a difference.
        built_in = spec.template == JobSpec.model_fields["template"].default
        alone = built_in and not (folder.parent / JOB_FOLDER).exists()
        return not alone and _of_job(job).outdated
    except (JobgenError, OSError):  # said where job.yaml itself is checked
        return False


def _of_folder(folder: Path) -> JobFacts:
    names = [path for path in sorted(folder.iterdir()) if path.name not in TOLERATED]
    files = {path.name: path.read_bytes() for path in names if path.is_file()}
    facts = JobFacts(str(folder), files)
    if not facts.notebooks:
        raise BundleError(f"{folder} holds no notebook", "Give an upload folder, or a job.yaml.")
    plan, why = plan_in(facts.metadata)
    outdated = plan is not None and _beside(folder, facts.metadata)
    return JobFacts(str(folder), files, plan, no_plan=why, outdated=outdated)


def plan_in(metadata: Mapping[str, Any]) -> tuple[Plan | None, str]:
    """The plan of the job that a notebook carries in its metadata, or why there is none."""
    spec = metadata.get("spec")
    if not isinstance(spec, dict):
        return None, ""
    text = json.dumps(_without_none(spec))
    try:
        parsed, document = parse_spec(load(text, NOTEBOOK))
        # What the pack offered stands in the notebook; the pack itself may be anywhere.
        return make_plan(parsed, document, carried(metadata.get("pack"))), ""
    except JobgenError as error:
        return None, error.message


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
