"""render(plan, pack) -> Bundle: pure, so that the same input gives the same bytes anywhere."""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter
from dataclasses import asdict
from typing import Any

from jobgen import __version__
from jobgen.catalog import Revision, own_parts, platform
from jobgen.errors import BundleError, TemplateError
from jobgen.files import sha256
from jobgen.job.bundle import NOTEBOOK, SIZE_LIMIT, Bundle
from jobgen.job.carrier import bound, carried, homes, imports, tools_source, unpacking
from jobgen.job.names import undefined_names
from jobgen.job.notebook import PARAMETERS_TAG, SETTINGS_TAG, Cell, digest_of, notebook_text
from jobgen.job.tasks import AnyPlan
from jobgen.language import spoken, translated
from jobgen.packs.disk import StageTemplate
from jobgen.packs.render import Pack
from jobgen.resources import templates_dir
from jobgen.spec import AnySpec

SECRET = re.compile(
    r"(?i)(?:token|secret|passw(?:or)?d|api_?key|access_?key)[\"']?\s*[:=]\s*[\"'][^\"'\s]{8,}"
    r"|(?-i:\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,})|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|://[^/\s:@]+:[^/\s@]+@"
    # As cells have them: `%env TOKEN=...`, `export KEY=...`, os.environ['TOKEN'] = '...'.
    r"|(?:%env|%set_env|export|set)\s+\w*(?:token|secret|passw(?:or)?d|_key)\w*[\s=]+[\"']?"
    r"(?!\$|\{|<|your|x{3})[^\s\"'$]{8,}"
    r"|\[[\"']\w*(?:token|secret|passw(?:or)?d|_key)\w*[\"']\]\s*=\s*[\"'](?!<|your|x{3})[^\"'\s]{8,}"
    r"|(?:--token|-t)[\s=]+[\"']?(?!<|your|x{3})[0-9a-f]{32,}"
    r"|\blogin\([^)\n]*[\"'](?!https?:|<|your)(?=[^\"'\s]*\d)[^\"'\s/.]{16,}[\"']"
)


# What each alternative of SECRET has in it, in lower case: only around these is it tried.
SECRET_SIGNS = (
    *("token", "secret", "passw", "apikey", "api_key", "accesskey", "access_key"),
    *("_key", "login(", "-t "),
    *("akia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "-----begin", "://"),
)
SECRET_WINDOW = 400
SECRET_LEAD = 40


def find_secret(text: str) -> re.Match[str] | None:
    """A token, password or key in a text; a regular expression over all of it is slow."""
    lower = text.lower()
    if len(lower) != len(text):  # some letters become two, and places would differ
        return SECRET.search(text)
    for sign in SECRET_SIGNS:
        place = lower.find(sign)
        while place >= 0:
            found = SECRET.search(text, max(0, place - SECRET_LEAD), place + SECRET_WINDOW)
            if found:
                return found
            place = lower.find(sign, place + SECRET_WINDOW // 2)
    return None


def render(plan: AnyPlan, pack: Pack) -> Bundle:
    """Render the files to upload. Raises TemplateError and BundleError."""
    values = _values(plan, pack)
    chosen = [stage.name for stage in _chosen(pack, values["stages"])]
    values["shown_stages"] = [n for _, n, kind in pack.cells() if kind == "py" and n in chosen]
    files = {name: pack.render(path, values).encode() for name, path in plan.files.items()}
    if _writes_the_model_itself(pack):
        values["plan"]["family"] = _reader_as_written(values["plan"]["family"])
    values["file_hashes"] = {name: sha256(data) for name, data in files.items()}
    facts = {
        "version": __version__,
        "template": f"{pack.name} {pack.version}",
        "pack": {
            "optional": list(pack.optional),
            "augment": pack.augment,
            "parameters": plan.parameters,
        },
        "spec": job_data(plan.spec),
        "files": values["file_hashes"],
    }
    cells = _cells(pack, values)
    facts["cells"] = digest_of(cells)
    facts["parameters"] = sha256(
        next(c for c in cells if c.name == "parameters").source.strip().encode()
    )
    text = notebook_text(cells, {"jobgen": facts})
    bundle = Bundle({NOTEBOOK: text.encode(), **files})
    _check(bundle)
    return bundle


def _chosen(pack: Pack, wanted: list[str]) -> list[StageTemplate]:
    return [stage for stage in pack.stages if not stage.optional or stage.name in wanted]


def _cells(pack: Pack, values: dict[str, Any]) -> list[Cell]:
    stages = {stage.name: stage for stage in pack.stages}
    chosen = _chosen(pack, values["stages"])
    cells = []
    for path, name, kind in pack.cells():
        if name in stages and stages[name] not in chosen:
            continue
        source = pack.render(path, values)
        if not source.strip():
            continue  # what a pack leaves out for these parameters
        if kind == "md":
            cells.append(Cell(f"{name}-text", "markdown", source))
        else:
            tags = (f"stage:{name}",) if name in stages else TAGS.get(name, ())
            cells.append(Cell(name, "code", source, tags, hidden=name in FOLDED))
    _refuse_order(pack, cells)
    own = [cell for cell in cells if cell.kind == "code"]
    for cell in own:
        _compiles(pack, cell)
    _refuse_undefined(pack, own)
    _refuse_rebinding(pack, own)
    begin = next(n for n, cell in enumerate(cells) if cell.name == SETTINGS_CELL)
    cells.insert(begin + 1, _tools_cell(pack, own, values["words"], values["language"]))
    return cells


# The cell after which the tools stand, and those that a notebook shows folded.
MODEL_TEMPLATE = "config/model.yml.j2"
SETTINGS_CELL, TOOLS_CELL = "job", "tools"
FOLDED = (SETTINGS_CELL, TOOLS_CELL)
# What cells of earlier versions shared as names of their own.
SHARED = {
    "HOME": "run.home", "CLONE": "run.clone", "OUTPUT": "run.output", "SAVE_DIR": "run.save_dir",
    "DATASET": "run.dataset", "PLACE": "run.place", "VALUES": "run.values",
    "RUN_CONFIG": "run.config", "USED_DEVICE": "run.device", "NODES": "run.nodes",
}  # fmt: skip
# Whoever imports these once more gets the same.
STANDARD = {"atexit", "hashlib", "os", "shutil", "sys", "tempfile", "Dict", "List", "Optional"}
TAGS = {"parameters": (PARAMETERS_TAG,), SETTINGS_CELL: (SETTINGS_TAG,)}


def _refuse_order(pack: Pack, cells: list[Cell]) -> None:
    """Raise TemplateError where code stands before the parameters, a name is used twice, or a cell
    is missing that every notebook has."""
    names = [cell.name for cell in cells if cell.kind == "code"]
    for name in ("parameters", SETTINGS_CELL):
        if name not in names:
            raise TemplateError(f"{pack.name}: there is no cell notebook/NN_{name}.py.j2")
    if names[:2] != ["parameters", SETTINGS_CELL]:
        early = next(name for name in names if name not in ("parameters", SETTINGS_CELL))
        raise TemplateError(
            f"{pack.name}: the cell {early} stands before the parameters",
            "Give its file a number from 04 on: nothing that it could use is there before.",
        )
    for name, count in Counter(cell.name for cell in cells).items():
        if count > 1 or name == TOOLS_CELL:
            raise TemplateError(
                f"{pack.name}: two cells are named {name}",
                "Give the file in notebook/ another name after its number.",
            )


def _refuse_undefined(pack: Pack, cells: list[Cell]) -> None:
    """A name that nothing above defines would stop the job where it is used: hours later, for a
    stage that follows training."""
    starts, lines = [], 0
    for cell in cells:
        starts.append(lines)
        lines += cell.source.count("\n") + 1
    for name, line in undefined_names("\n".join(cell.source for cell in cells)):
        number = max(n for n, start in enumerate(starts) if start < line)
        hint = "Define it in this block or one before."
        if name in homes():
            hint = f"Write above it: from {homes()[name]} import {name}"
        elif name in SHARED:
            hint = f"What stages share is in `run`: {SHARED[name]}"
        raise TemplateError(
            f"{pack.name}: the cell {cells[number].name} uses {name} in line "
            f"{line - starts[number]}, and nothing before it defines that",
            hint,
        )


def _refuse_rebinding(pack: Pack, cells: list[Cell]) -> None:
    """What the cell `begin` defines, as `run` and `stage`, is used hours later: no other cell may
    give such a name another meaning. Raises TemplateError."""
    kept: frozenset[str] = frozenset()
    known: set[tuple[str, str]] = set()
    tools = bound(unpacking()) | {"FILES", "TOOLS"}
    for cell in cells:
        own = {(found.module, found.name) for found in imports(cell.source)}
        # To import the same once more changes nothing.
        names = bound(cell.source) - {name for module, name in own & known}
        if cell.name == "begin":
            kept, known = names, own
            continue
        for name in sorted((names & kept) | (names & tools - STANDARD)):
            whose = "begin" if name in kept else TOOLS_CELL
            raise TemplateError(
                f"{pack.name}: the cell {cell.name} sets {name}, which the cell {whose} defines",
                "Take another name: all cells of a notebook share theirs.",
            )


def _tools_cell(pack: Pack, cells: list[Cell], words: dict[str, Any], language: str) -> Cell:
    """The runtime modules that the cells import, in one cell; they speak the job's language."""
    for name, text in pack.modules.items():
        _check_module(pack, Cell(f"runtime/{name}.py", "code", text))
    files = carried([(cell.name, cell.source) for cell in cells], pack.modules, language)
    head = words.get("tools")
    if not isinstance(head, str) or "\n" in head:
        raise TemplateError(f"{pack.name}: the word `tools` is {head!r}, not a line of text")
    found = Cell(TOOLS_CELL, "code", tools_source(files, head), (TOOLS_CELL,), hidden=True)
    _compiles(pack, found)
    return found


def _check_module(pack: Pack, cell: Cell) -> None:
    """Raise TemplateError where a module of a pack is broken: it runs after hours of training."""
    _compiles(pack, cell)
    for node in ast.walk(ast.parse(cell.source)):
        named = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [named or ""]
        for name in names:
            if name.split(".")[0] == "jobgen":
                line = getattr(node, "lineno", 0)
                raise TemplateError(
                    f"{pack.name}: {cell.name} imports {name} in line {line}, and a "
                    "notebook has no jobgen",
                    "What a notebook has is jobgen_runtime: docs/architecture.md has its rooms.",
                )
    if "import *" not in cell.source:
        for name, line in undefined_names(cell.source):
            hint = f"Write above it: from {homes()[name]} import {name}" if name in homes() else ""
            raise TemplateError(
                f"{pack.name}: {cell.name} uses {name} in line {line}, and nothing defines that",
                hint,
            )


def _compiles(pack: Pack, cell: Cell) -> None:
    """Raise TemplateError where a cell or a module of a pack is no Python 3.7."""
    try:
        ast.parse(cell.source, feature_version=(3, 7))
    except SyntaxError as error:
        raise TemplateError(
            f"{pack.name}: the cell {cell.name} would be broken in line {error.lineno}: {error.msg}"
        ) from error


def _check(bundle: Bundle) -> None:
    size = sum(len(data) for data in bundle.files.values())
    if size > SIZE_LIMIT:
        raise BundleError(f"the bundle has {size} bytes; {SIZE_LIMIT} is the limit")
    for name, data in bundle.files.items():
        found = find_secret(data.decode())
        if found:
            line = data[: found.start()].count(b"\n") + 1
            raise BundleError(
                f"{name}:{line} looks as if it held a password or a token",
                "Take it out of job.yaml or the template: a bundle is read by others.",
            )


def _values(plan: AnyPlan, pack: Pack) -> dict[str, Any]:
    """Everything that a template may use."""
    spec, revision = plan.spec, plan.environment.revision
    with spoken(spec.language):
        origins = {name: translated(value.origin) for name, value in plan.values.items()}
        fixes = [{**fix, "why": translated(str(fix["why"]))} for fix in revision.fixes]
    return {
        "words": pack.words(spec.language),
        "parameters": plan.parameters,
        "version": __version__,
        "name": spec.name,
        "environment": plan.environment.name,
        "model": plan.model.name,
        "input_size": plan.input_size,
        "classes": spec.dataset.classes,
        "eval_images": spec.dataset.expect.eval.images if spec.dataset.expect else 0,
        "plan": plan.numbers(),
        "origins": origins,
        "on_oom": spec.train.on_oom,
        "hours": platform().hours,
        "language": spec.language,
        "amp": spec.train.amp,
        "pretrained": plan.pretrained,
        "pretrained_missing": spec.model.pretrained_missing,
        "job": job_data(spec),
        "stages": list(plan.stages),
        "suite": asdict(plan.environment.suite),
        "paddle": plan.environment.paddle,
        "urls": plan.environment.urls,
        "revision": revision.ref,
        "revision_name": revision.name,
        "commit": revision.commit,
        "source_hashes": _source_hashes(revision),
        "requirements": plan.requirements,
        "fixes": fixes,
        "number": itertools.count(1).__next__,
        **plan.template_values(),
    }


def _writes_the_model_itself(pack: Pack) -> bool:
    """Whether somebody's template writes the model's file otherwise than a built-in one; comments,
    such as that of an ejected file, aside."""
    texts = [
        path.read_text(encoding="utf-8") for path in templates_dir().glob(f"*/{MODEL_TEMPLATE}")
    ]
    own, *built_in = (
        re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL).split()
        for text in (pack.origin(MODEL_TEMPLATE).files[MODEL_TEMPLATE], *texts)
    )
    return own not in built_in


def _reader_as_written(family: dict[str, Any]) -> dict[str, Any]:
    """What the notebook carries of the model where somebody's own template writes its file: the
    reader's lists may be theirs, and stay as they are written."""
    return {name: value for name, value in family.items() if name != "later_colours"}


def _source_hashes(revision: Revision) -> dict[str, Any]:
    """What a clone may hold: upstream's content, or that of a mirror put together from a
    package."""
    known = {part: [content] for part, content in revision.parts.items()}
    if revision.package is not None:
        for part, content in own_parts().items():
            known[part].append(content)
    return {"commit": revision.commit, **known}


def job_data(spec: AnySpec) -> dict[str, Any]:
    """job.yaml as notebook and result carry it: every key, of `augment` those that are set."""
    found = spec.model_dump(mode="json")
    found["augment"] = {k: value for k, value in found["augment"].items() if value is not None}
    return found
