"""Template packs as their authors need them: ejected, compared, begun, tried at their corners."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from jobgen.catalog import smallest
from jobgen.errors import JobgenError, TemplateError
from jobgen.files import write_atomically
from jobgen.job.build import render
from jobgen.job.bundle import NOTEBOOK, Bundle
from jobgen.job.plan import make_plan
from jobgen.packs.disk import EJECTED, find_pack
from jobgen.packs.render import Pack, load_pack, stale_files
from jobgen.spec import parse_spec
from jobgen.yamlio import YamlError, dump_block, load

# A product of corners beyond it is tried one parameter at a time.
MOST_COMBINATIONS = 256
LANGUAGES = ("zh", "en")
AWKWARD = "船 \"'{{ x }}"
SAMPLE: dict[str, Any] = {
    "name": "sample",
    "environment": "paddle2.6_py3.10",
    "dataset": {
        "sources": [{"id": 1, "archive": "sample.zip"}],
        "root": "sample",
        "format": "coco",
        "train": {"images": "images", "annotations": "train.json"},
        "eval": {"images": "images", "annotations": "val.json"},
        "classes": ["ship", AWKWARD],
        "expect": {"train": {"images": 200, "boxes": 400}, "eval": {"images": 50, "boxes": 90}},
    },
    "model": {"config": smallest()},
}
VOC = {
    split: {"images": "JPEGImages", "annotations": "Annotations", "list": f"{split}.txt"}
    for split in ("train", "eval")
}
NEW_STAGE = """\
with stage("{name}"):
    # What the stages before have found is in `run`: home, dataset, place, config, output, ...
    summary("%d training images" % run.place["train_images"])
"""


@dataclass(frozen=True)
class Change:
    """One file of a job's own templates beside its pack's: unified diffs, empty where they are the
    same. `theirs` is what the pack has changed since the file was ejected."""

    path: str
    kind: str
    ours: str
    theirs: str


def changes(pack: Pack) -> list[Change]:
    """What a job's own templates, the topmost layer, change against the layers below."""
    below, own = Pack(pack.layers[:-1]), pack.layers[-1]
    stale = stale_files(pack)
    found = []
    for path, text in own.files.items():
        theirs = ""
        if path not in below.files:
            found.append(Change(path, "added", _diff("", text, "", path), ""))
            continue
        now = below.files[path]
        if path in stale:
            before = (own.folder / EJECTED / path).read_text(encoding="utf-8")
            theirs = _diff(before, now, f"{path} when it was ejected", f"{path} of the pack now")
        shown = f"{path} of {below.origin(path).name} {below.origin(path).version}"
        found.append(Change(path, "changed", _diff(now, text, shown, f"{path} of the job"), theirs))
    return found


def bundle_diff(one: Bundle, other: Bundle) -> str:
    """What differs between two bundles, file by file and cell by cell."""
    return _diff(_plain(one), _plain(other), "the pack's bundle", "the job's bundle")


def _plain(bundle: Bundle) -> str:
    rows = []
    for name, data in sorted(bundle.files.items()):
        if name != NOTEBOOK:
            rows.append(f"== {name}\n{data.decode()}")
            continue
        for cell in bundle.notebook["cells"]:
            rows.append(f"== cell {cell['id']}\n{''.join(cell['source'])}\n")
    return "".join(rows)


def _diff(one: str, other: str, first: str, second: str) -> str:
    rows = difflib.unified_diff(one.splitlines(), other.splitlines(), first, second, lineterm="")
    return "\n".join(rows)


def eject(pack: Pack, path: str, goal: Path) -> Path:
    """Copy one file of a pack into a job's own templates, with a line that says where it is from,
    and an untouched copy to compare with later. Raises TemplateError."""
    if path not in pack.files:
        close = difflib.get_close_matches(path, list(pack.files), 1)
        hint = f"Did you mean {close[0]}?" if close else f"jobgen templates show {pack.name}"
        raise TemplateError(f"the pack {pack.name} has no file {path}", hint)
    place = goal / path
    if place.exists():
        raise TemplateError(f"{place} is there already", "Remove it first to eject it anew.")
    origin = pack.origin(path)
    head = (
        f"{{# From the pack {origin.name} {origin.version}: jobgen templates diff compares. #}}\n"
    )
    # One layer up, what was one layer down is two.
    tag = re.compile(r"""(\{%-?\s*(?:extends|include|import|from)\s+["'])base/""")
    text = tag.sub(r"\1base/base/", pack.files[path])
    write_atomically(place, (head + text).encode())
    write_atomically(goal / EJECTED / path, pack.files[path].encode())
    return place


def accept(pack: Pack) -> list[str]:
    """Compare a job's own templates, the topmost layer, with the pack as it is now: give the files
    for which that is another text than when they were ejected."""
    below, own = Pack(pack.layers[:-1]), pack.layers[-1]
    stale = sorted(stale_files(pack))
    for path in stale:
        kept = own.folder / EJECTED / path
        if path in below.files:
            write_atomically(kept, below.files[path].encode())
        else:  # the job's file stands alone now
            kept.unlink()
    return stale


def eject_pack(pack: Pack, goal: Path) -> list[str]:
    """Copy a whole pack, those that it extends left where they are. Raises TemplateError."""
    if goal.exists() and any(goal.iterdir()):
        raise TemplateError(f"{goal} is there already", "Give another folder: -o DIR")
    source = pack.top.folder
    shutil.copytree(
        source, goal, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "__pycache__")
    )
    return sorted(p.relative_to(goal).as_posix() for p in goal.rglob("*") if p.is_file())


def new_pack(name: str, folder: Path, extends: str) -> list[Path]:
    """Begin a pack that extends another, with an extra stage to start from."""
    found = find_pack(extends)
    base = load_pack(found)
    if folder.exists():
        raise TemplateError(f"{folder} is there already", "Give another name, or --folder.")
    if name in [layer.folder.name for layer in base.layers]:
        raise TemplateError(f"a pack {name} would shadow the one it extends", "Take another name.")
    if not re.fullmatch(r"[\w-]+", extends):
        extends = Path(os.path.relpath(found.resolve(), folder.resolve())).as_posix()
    values = {
        "name": name,
        "version": 1,
        "description": f"{base.name}, and what this one adds",
        "extends": extends,
        "parameters": {},
        "stages": {"look": {}},
    }
    texts = {
        "template.yaml": dump_block(values),
        "notebook/65_look.md.j2": "## {{ number() }}. {{ words.stages.look.title }}\n",
        "notebook/65_look.py.j2": NEW_STAGE.replace("{name}", "look"),
        "words/en.yml": 'stages:\n  look: {title: "A look"}\n',
        "words/zh.yml": 'stages:\n  look: {title: "看一看"}\n',
    }
    for path, text in texts.items():
        write_atomically(folder / path, text.encode())
    return [folder / path for path in texts]


def combinations(pack: Pack) -> list[dict[str, Any]]:
    """Every combination of the parameters' corners, or, where there are too many, each corner
    with the others at their defaults."""
    corners = {name: row.corners() for name, row in pack.parameters.items()}
    product = itertools.islice(itertools.product(*corners.values()), MOST_COMBINATIONS + 1)
    found = [dict(zip(corners, values, strict=True)) for values in product]
    if len(found) <= MOST_COMBINATIONS:
        return found
    defaults = {name: row.default for name, row in pack.parameters.items()}
    return [{**defaults, name: value} for name, values in corners.items() for value in values]


@dataclass(frozen=True)
class Trial:
    """One rendering of a pack, in words, and its fault or None."""

    what: str
    fault: str | None


def trials(pack: Pack) -> Iterator[Trial]:
    """Render a made-up job with every combination, in both languages, as COCO and VOC, with all
    stages and with none; see that notebook and YAML are sound."""
    stages: tuple[tuple[str, ...], ...] = (pack.optional, ())
    for values, language, kind, chosen in itertools.product(
        combinations(pack), LANGUAGES, ("coco", "voc"), stages
    ):
        data = {**SAMPLE["dataset"], "format": kind, **(VOC if kind == "voc" else {})}
        job = {**SAMPLE, "dataset": data, "language": language, "stages": list(chosen)}
        job.update(template=pack.name, parameters=values)
        job["export"] = {"onnx": True, "nms": False}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items()) or "no parameters"
        what = f"{language}, {kind}, {' '.join(chosen) or 'no more stages'}, {shown}"
        yield Trial(what, _fault(pack, job))


def _fault(pack: Pack, job: dict[str, Any]) -> str | None:
    try:
        spec, document = parse_spec(load(json.dumps(job, ensure_ascii=False), "sample"))
        bundle = render(make_plan(spec, document, pack), pack)
        nbformat.validate(nbformat.reads(bundle.files[NOTEBOOK].decode(), as_version=4))
        for name, data in bundle.files.items():
            if name != NOTEBOOK:
                load(data.decode(), name, "yaml11")
    except YamlError as error:
        return f"what it renders is no YAML: {error.message}"
    except JobgenError as error:
        return error.message
    except nbformat.ValidationError as error:
        return f"what it renders is no notebook: {error.message}"
    return None
