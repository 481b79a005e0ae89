"""AI Studio's environments and platform, and the revisions of a suite that suit them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from jobgen.catalog.models import config_texts
from jobgen.catalog.suite import DETECTION, Suite, suite, suite_data
from jobgen.errors import SpecError
from jobgen.resources import catalog_file, mirror_tools_dir
from jobgen.yamlio import load_file
from jobgen_runtime.setup.source import is_run_code, listing_hash


@dataclass(frozen=True)
class Revision:
    """A pinned revision of a suite.

    `suite` is what people call the suite, `ref` is cloned (a tag or a commit), `commit` and the
    hashes of its `parts`, as `ppdet` and `tools` (jobgen_runtime/setup/source.py: code_hash),
    verify the clone, `package` is the PyPI release with the same ppdet/ (None: there is none),
    `needs` are `{"module", "pip", "not"}`, `fixes` are `{"id", "file", "old", "new", "why"}`, and
    `family` where only one family has the fault.
    """

    suite: str
    name: str
    ref: str
    commit: str
    parts: dict[str, str]
    package: str | None
    needs: list[dict[str, Any]]
    fixes: list[dict[str, str]]

    @property
    def full(self) -> str:
        """Suite and revision, as people say it."""
        return f"{self.suite} {self.name}"


@dataclass(frozen=True)
class GpuBuild:
    """A build of Paddle with CUDA: the compute capabilities it has code for (none: not known), the
    least driver (empty: not known), and the disk space of its environment."""

    capabilities: list[str]
    driver: str
    gigabytes: int


@dataclass(frozen=True)
class Environment:
    """One of AI Studio's environments, with what of a suite suits it. `local` names the pin list of
    its like on this machine, to which `more_pins` are added, `gpu` the build with CUDA that may
    stand in it, `onnx` the release of paddle2onnx that suits."""

    name: str
    paddle: str
    python: str
    suite: Suite
    revision: Revision
    urls: list[str]
    local: str | None
    gpu: GpuBuild | None
    onnx: str
    more_pins: tuple[str, ...] = ()

    def needs(self, *, onnx: bool, int8: bool = False) -> list[dict[str, Any]]:
        """What the install stage sees to; with `onnx` also what converts and runs such a model,
        with `int8` what makes 8 bits of it."""
        found = list(self.revision.needs)
        if onnx:
            found += [
                {"module": "paddle2onnx", "pip": self.onnx},
                {"module": "onnxruntime", "pip": "onnxruntime"},
            ]
        if int8:
            found.append({"module": "onnx", "pip": "onnx"})
        return found


@dataclass(frozen=True)
class Platform:
    """Where a background task finds things, and what it may leave behind and take; sizes in bytes.
    `mount` is where a data set lies below `home`, with its number for {id}."""

    home: str
    mount: str
    files_left: int
    bytes_left: int
    hours: int
    code_bytes: int
    datasets: int
    card_bytes: int
    address: str
    git_address: str
    projects_page: str
    project_page: str
    tokens_page: str
    device: str
    cards: list[int]
    payments: list[str]
    job_bytes_left: int


@cache
def platform() -> Platform:
    return Platform(**load_file(catalog_file("platform.yml")).value)


@cache
def environments(suite_name: str = DETECTION) -> dict[str, Environment]:
    """The environments that a suite is offered in, by their names."""
    data, known = load_file(catalog_file("environments.yml")).value, suite_data(suite_name)
    builds = {name: GpuBuild(**row) for name, row in data["gpu_builds"].items()}
    revisions = {name: _revision(name, row, known) for name, row in known["revisions"].items()}
    return {
        name: Environment(
            name,
            row["paddle"],
            row["python"],
            suite(suite_name),
            revisions[known["environments"][name]],
            list(known["urls"]),
            row.get("local"),
            builds.get(row.get("local")),
            row["onnx"],
            tuple(known.get("local", ())),
        )
        for name, row in data["environments"].items()
        if name in known["environments"]
    }


def _revision(name: str, row: dict[str, Any], data: dict[str, Any]) -> Revision:
    return Revision(
        suite=data["title"],
        name=name,
        ref=row["ref"],
        commit=row["commit"],
        parts=row["parts"],
        package=row.get("package"),
        needs=[need for group in row["needs"] for need in data["needs"][group]],
        fixes=[{"id": key, **data["fixes"][key]} for key in row["fixes"]],
    )


def indexed_build(address: str) -> GpuBuild:
    """What is known of a build that Paddle's own index has: by the `cu126` in its address, the
    least driver. Which cards it has code for is not known before it is installed."""
    drivers: dict[str, str] = load_file(catalog_file("environments.yml")).value["cuda_drivers"]
    found = re.search(r"/cu(\d\d)\d+(?:/|$)", address)
    return GpuBuild([], drivers.get(found[1], "") if found else "", 6)


def pins(environment: Environment, gpu: bool = False, indexed: bool = False) -> str:
    """The full pin list of the environment's like on this machine, with CUDA's libraries and a
    Paddle that uses them where `gpu` is set; with `indexed` that Paddle alone, as its own index
    names the libraries. Raises SpecError without one."""
    if environment.local is None:
        local = ", ".join(e.name for e in environments().values() if e.local)
        raise SpecError(
            f"PyPI has no Paddle {environment.paddle} any more, so {environment.name} can't be "
            "made on this machine",
            f"Try the job with one of {local}, or give a Python that has this Paddle: --python",
        )
    listed = catalog_file(f"{environment.local}.txt").read_text(encoding="utf-8")
    listed += "".join(f"{row}\n" for row in environment.more_pins)
    if not gpu:
        return listed
    if indexed:
        return listed.replace("\npaddlepaddle==", "\npaddlepaddle-gpu==")
    if environment.gpu is None:
        raise SpecError(
            f"PyPI has no Paddle {environment.paddle} with CUDA",
            "Give the index that has one: --paddle-index URL, or a Python: --python PATH",
        )
    rows = [row for row in listed.splitlines() if not row.startswith("paddlepaddle==")]
    more = catalog_file(f"{environment.local}-gpu.txt").read_text(encoding="utf-8")
    return "\n".join([*rows, *more.splitlines()]) + "\n"


@cache
def not_offered() -> dict[str, str]:
    """Families that are not offered, and why."""
    found: dict[str, str] = load_file(catalog_file("not_offered.yml")).value
    return found


def why_not_offered(name: str) -> str:
    """Why a family that is asked for is not offered, in a sentence; empty where that is not so."""
    asked = re.sub(r"[\W_]", "", name.lower())
    for family, why in not_offered().items():
        if len(asked) > 2 and asked.startswith(re.sub(r"[\W_]", "", family.lower())):
            return f"{family} is not offered: {why}"
    return ""


@cache
def computing_operators() -> frozenset[str]:
    """The names of Paddle's operators that compute and do nothing else."""
    rows = load_file(catalog_file("operators.yml")).value["operators"]
    return frozenset(name for row in rows for name in row)


@cache
def own_parts() -> dict[str, str]:
    """The content of what jobgen itself writes into a mirror put together from a package, as
    jobgen_runtime/setup/source.py hashes it: `tools` and `configs`."""
    tools = {f"tools/{p.name}": p.read_bytes() for p in mirror_tools_dir().glob("*.py")}
    configs = {f"configs/{path}": text.encode() for path, text in config_texts().items()}
    bases = {path: text for path, text in configs.items() if is_run_code(path)}
    return {"tools": listing_hash(tools), "configs": listing_hash(bases)}
