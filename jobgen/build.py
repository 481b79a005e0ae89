"""render(plan, pack) -> Bundle: pure, so that the same input gives the same bytes anywhere."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jobgen import __version__
from jobgen.bundle import NOTEBOOK, SIZE_LIMIT, Bundle
from jobgen.catalog import Revision, own_parts, platform
from jobgen.errors import BundleError, TemplateError
from jobgen.files import sha256
from jobgen.layers import StageTemplate
from jobgen.names import undefined_names
from jobgen.notebook import PARAMETERS_TAG, Cell, notebook_text
from jobgen.plan import HOME, Plan
from jobgen.resources import runtime_file
from jobgen.runtime.archives import KEPT_APART
from jobgen.spec import JobSpec
from jobgen.templates import Pack

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


# The imports and the names of a runtime module, at the left margin of formatted source: reading
# them off is ten times as fast as parsing. tests/test_runtime.py compares both ways.
SIBLING = re.compile(r"^from jobgen\.runtime\.(\w+) import (?:\([^)]*\)|[^\n(]*)\n", re.MULTILINE)
IMPORTED = re.compile(r"^(?:from [\w.]+ )?import (\([^)]*\)|[^\n(]+)\n", re.MULTILINE)
DEFINED = re.compile(r"^(?:(?:def|class) (\w+)|(\w+)(?:: [^=\n]+)? = )", re.MULTILINE)


@dataclass(frozen=True)
class RuntimeModule:
    """A module of jobgen/runtime as a notebook carries it: imports of its siblings dropped."""

    name: str
    source: str
    needs: tuple[str, ...]
    defines: frozenset[str]
    imports: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All that a cell below it may use."""
        return self.defines | self.imports


@cache
def runtime_module(name: str, source: str | None = None) -> RuntimeModule:
    """One runtime module, jobgen's own or of this `source`. Raises TemplateError where there is
    none of this name."""
    path = runtime_file(f"{name}.py")
    if source is None:
        if not path.is_file():
            raise TemplateError(f"there is no runtime module {name}")
        source = path.read_text(encoding="utf-8")
    elif path.is_file():
        raise TemplateError(f"runtime/{name}.py has the name of one of jobgen's own")
    needs = tuple(match[1] for match in SIBLING.finditer(source))
    text = re.sub(r"\n{3,}(?=\n\n)", "", SIBLING.sub("", source))
    names = frozenset(match[1] or match[2] for match in DEFINED.finditer(source))
    imported = [row for match in IMPORTED.finditer(text) for row in re.split(r"[(),\s]+", match[1])]
    return RuntimeModule(name, text, needs, names, frozenset(filter(None, imported)))


def assigned_names(body: list[ast.stmt], imports: bool = False) -> list[str]:
    """What statements assign or define in their own name space, below `with` and `if` too; with
    `imports` also what they import under a name of their own."""
    found = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.append(node.name)
            continue
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += stored_names(targets)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            found += stored_names([node.target])
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            found += stored_names([item.optional_vars for item in node.items])
        elif imports and isinstance(node, (ast.Import, ast.ImportFrom)):
            # `import os` in a cell is the runtime's own `os`.
            found += [alias.asname or alias.name for alias in node.names if alias.asname
                      or isinstance(node, ast.ImportFrom)]  # fmt: skip
        elif isinstance(node, ast.Try):
            for handler in node.handlers:
                found += [handler.name] if handler.name else []
                found += assigned_names(handler.body, imports)
        for field in ("body", "orelse", "finalbody"):
            found += assigned_names(getattr(node, field, []), imports)
    return found


def stored_names(targets: Sequence[ast.AST | None]) -> list[str]:
    """The names that an assignment's targets set."""
    nodes = [node for target in targets if target is not None for node in ast.walk(target)]
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def runtime_modules(names: list[str], brought: dict[str, str] | None = None) -> list[RuntimeModule]:
    """The named modules and all they need, each after what it needs; `brought` are those of a
    pack, name to source."""
    found: dict[str, RuntimeModule] = {}

    def visit(name: str) -> None:
        if name not in found:
            module = runtime_module(name, (brought or {}).get(name))
            for need in module.needs:
                visit(need)
            found[name] = module

    for name in names:
        visit(name)
    return list(found.values())


@cache
def child_script(name: str) -> str:
    path = runtime_file("children") / name
    if not path.is_file():
        raise TemplateError(f"there is no child script {name}")
    return path.read_text(encoding="utf-8")


def render(plan: Plan, pack: Pack) -> Bundle:
    """Render the three files. Raises TemplateError and BundleError."""
    values = _values(plan, pack)
    files = {
        plan.dataset_file: pack.render("config/dataset.yml.j2", values).encode(),
        plan.model_file: pack.render("config/model.yml.j2", values).encode(),
    }
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
    text = notebook_text(_cells(pack, values), {"jobgen": facts})
    bundle = Bundle({NOTEBOOK: text.encode(), **files})
    _check(bundle)
    return bundle


def _cells(pack: Pack, values: dict[str, Any]) -> list[Cell]:
    stages = {stage.name: stage for stage in pack.stages}
    chosen = [s for s in pack.stages if not s.optional or s.name in values["stages"]]
    cells = []
    for path, name, kind in pack.cells():
        if name in stages and stages[name] not in chosen:
            continue
        source = pack.render(path, values)
        if not source.strip():
            continue  # what a pack leaves out for these parameters
        if kind == "md":
            cells.append(Cell(f"{name}-text", "markdown", source))
        elif name == "parameters":
            cells.append(Cell(name, "code", source, (PARAMETERS_TAG,)))
            cells += _runtime_cells(chosen, values, pack)
        else:
            tags = (f"stage:{name}",) if name in stages else ()
            cells.append(Cell(name, "code", source, tags))
    kinds = [cell.kind == "code" and cell.name != "parameters" for cell in cells]
    begun = next(n for n, cell in enumerate(cells) if cell.name == "parameters")
    if any(kinds[:begun]):
        raise TemplateError(
            f"{pack.name}: the cell {cells[kinds.index(True)].name} stands before the parameters",
            "Give its file a number from 04 on: nothing that it could use is there before.",
        )
    for name, count in Counter(cell.name for cell in cells).items():
        if count > 1:
            raise TemplateError(
                f"{pack.name}: two cells are named {name}",
                "Give the file in notebook/ another name after its number.",
            )
    taken = {name: module.name for module in _modules(chosen, pack) for name in module.defines}
    own = [cell for cell in cells if cell.kind == "code" and "runtime" not in cell.tags]
    for cell in own:
        _compiles(pack, cell, taken)
    _refuse_undefined(pack, own, {name for m in _modules(chosen, pack) for name in m.names})
    return cells


def _refuse_undefined(pack: Pack, cells: list[Cell], runtime: set[str]) -> None:
    """A name that nothing above defines would stop the job where it is used: hours later, for a
    stage that follows training."""
    starts, lines = [], 0
    for cell in cells:
        starts.append(lines)
        lines += cell.source.count("\n") + 1
    for name, line in undefined_names("\n".join(cell.source for cell in cells), runtime):
        number = max(n for n, start in enumerate(starts) if start < line)
        raise TemplateError(
            f"{pack.name}: the cell {cells[number].name} uses {name} in line "
            f"{line - starts[number]}, and nothing before it defines that",
            "Define it in this block or one before; a runtime module must stand in the list of its "
            "stage in template.yaml.",
        )


def _modules(stages: list[StageTemplate], pack: Pack) -> list[RuntimeModule]:
    names = [*pack.runtime, *(name for stage in stages for name in stage.runtime)]
    found = runtime_modules(names, pack.modules)
    for module in found:
        if module.name in pack.modules:
            _compiles(pack, Cell(f"runtime-{module.name}", "code", module.source), {})
    if pack.modules:
        _refuse_one_name_twice(found)
    return found


def _refuse_one_name_twice(modules: list[RuntimeModule]) -> None:
    """All cells share one name space: a pack's module may not take a name from another."""
    owner: dict[str, str] = {}
    for module in modules:
        for name in module.defines:
            if name in owner:
                raise TemplateError(
                    f"runtime/{module.name}.py defines {name}, as {owner[name]} does",
                    "Take another name: the cells of a notebook share theirs.",
                )
            owner[name] = module.name


def _runtime_cells(stages: list[StageTemplate], values: dict[str, Any], pack: Pack) -> list[Cell]:
    text = values["words"].get("runtime")
    if not isinstance(text, str):
        raise TemplateError(f"{pack.name}: the word `runtime` is {text!r}, not text")
    cells = [Cell("runtime-text", "markdown", text)]
    for module in _modules(stages, pack):
        cells.append(Cell(f"runtime-{module.name}", "code", module.source, ("runtime",)))
    for name in dict.fromkeys(script for stage in stages for script in stage.scripts):
        text = child_script(name)
        if "'''" in text or "\\" in text:
            raise TemplateError(f"{name} can't stand in a raw string")
        source = f"CHILD_SCRIPTS[{name!r}] = r'''{text}'''\n"
        cells.append(Cell(f"script-{name.removesuffix('.py')}", "code", source, ("runtime",)))
    return cells


def _compiles(pack: Pack, cell: Cell, taken: dict[str, str]) -> None:
    """A cell must be Python 3.7, and leave alone the names of the runtime above it: all cells
    of a notebook share one name space."""
    try:
        tree = ast.parse(cell.source, feature_version=(3, 7))
    except SyntaxError as error:
        raise TemplateError(
            f"{pack.name}: the cell {cell.name} would be broken in line {error.lineno}: {error.msg}"
        ) from error
    for name in assigned_names(tree.body, imports=True):
        if name in taken:
            raise TemplateError(
                f"{pack.name}: the cell {cell.name} sets {name}, which the runtime's "
                f"{taken[name]} defines",
                "Take another name.",
            )


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


def _values(plan: Plan, pack: Pack) -> dict[str, Any]:
    """Everything that a template may use."""
    spec, revision = plan.spec, plan.environment.revision
    places = _places(plan)
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
        "origins": {name: value.origin for name, value in plan.values.items()},
        "on_oom": spec.train.on_oom,
        "hours": platform().hours,
        "language": spec.language,
        "amp": spec.train.amp,
        "pretrained": plan.pretrained,
        "pretrained_missing": spec.model.pretrained_missing,
        "job": job_data(spec),
        "stages": list(plan.stages),
        "nms": plan.nms,
        "dataset_file": plan.dataset_file,
        "model_file": plan.model_file,
        "paddle": plan.environment.paddle,
        "urls": plan.environment.urls,
        "revision": revision.ref,
        "revision_name": revision.name,
        "commit": revision.commit,
        "source_hashes": _source_hashes(revision),
        "requirements": plan.requirements,
        "fixes": revision.fixes,
        "bases": _bases(plan),
        "config": plan.config,
        **places,
    }


def _source_hashes(revision: Revision) -> dict[str, Any]:
    """What a clone may hold: upstream's content, or that of a mirror put together from a
    package."""
    known = {"ppdet": [revision.ppdet], "tools": [revision.tools], "configs": [revision.configs]}
    if revision.package is not None:
        for part, content in own_parts().items():
            known[part].append(content)
    return {"commit": revision.commit, **known}


def job_data(spec: JobSpec) -> dict[str, Any]:
    """job.yaml as notebook and result carry it: every key, of `augment` those that are set."""
    found = spec.model_dump(mode="json")
    found["augment"] = {k: value for k, value in found["augment"].items() if value is not None}
    return found


def _bases(plan: Plan) -> list[str]:
    """The `_BASE_` list as upstream has it, its data set replaced by the job's."""
    found = []
    for path in plan.model.bases:
        if path.startswith("datasets/"):
            found.append(f"../datasets/{plan.dataset_file}")
        else:
            found.append(path.removeprefix("picodet/") if "/" in path else f"../{path}")
    return found


def _places(plan: Plan) -> dict[str, Any]:
    """Where the data lies on AI Studio, as the tutorial has it."""
    dataset, name = plan.spec.dataset, plan.spec.name
    root = f"{HOME}/datasets/{dataset.root}".rstrip("/") + "/"
    found: dict[str, Any] = {"dataset_dir": root}
    for split in ("train", "eval"):
        files = getattr(dataset, split)
        made = f"{HOME}/datasets/{KEPT_APART}/{name}/coco/{split}.json"
        found[split] = {
            "image_dir": files.images,
            "anno_path": files.annotations if dataset.format == "coco" else made,
        }
    return found
