"""`run`: one bundle, from the files to the verdict."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jobgen.catalog import DETECTION, SUITES, Environment, environments
from jobgen.errors import BundleError, RunError
from jobgen.job.bundle import Bundle
from jobgen.job.notebook import cell_source
from jobgen.machine.cache import Needs, lacking
from jobgen.machine.environment import managed_python
from jobgen.machine.gpu import choose_build
from jobgen.machine.mirror import Mirror, find_mirror, write_git_config
from jobgen.machine.overlay import (
    fingerprint,
    lay_over,
    look_at,
    overlay_environment,
    prove_unchanged,
    wanted_modules,
)
from jobgen.machine.speeds import ENDED, remember
from jobgen.run.expected import expected_run, took_text
from jobgen.run.kernel import execute, inject, parameter_defaults
from jobgen.run.progress import Progress
from jobgen.run.strays import end_strays
from jobgen.run.verdict import Verdict, judged
from jobgen.run.workspace import (
    Workspace,
    check_parameters,
    finished_run,
    held,
    kernel_environment,
    lay_out,
    match_archives,
    open_workspace,
    sources_of,
)
from jobgen.settings import Settings
from jobgen_runtime.record.text import utc_now
from jobgen_runtime.setup.machine import gpu_facts


@dataclass(frozen=True)
class RunRequest:
    """What to run and how. `parameters` are notebook parameters beside those of the flags. `once`
    takes a run of just this that ended well for this one."""

    bundle: Bundle
    archives: list[Path]
    runs: Path
    device: str = "auto"
    smoke: bool = False
    python: Path | None = None
    fresh: bool = False
    once: bool = False
    offline: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)


def run_bundle(
    request: RunRequest, settings: Settings, say: Callable[[str], None], live: bool
) -> tuple[Workspace, Verdict]:
    """Execute the bundle's notebook in an emulated home. Raises RunError before the start only:
    afterwards the verdict tells."""
    parameters = {"DEVICE": request.device, **request.parameters}
    if request.smoke:
        parameters["SMOKE"] = True
    check_parameters(parameter_defaults(request.bundle.notebook), parameters)
    done = finished_run(request.bundle, request.runs, parameters) if request.once else None
    if done is not None:
        say(f"nothing was run: just this ended well in {done.folder}")
        return done, Verdict(str(done.result()["status"]), done.result())
    return _run(request, parameters, settings, say, live)


def _run(
    request: RunRequest, parameters: dict[str, Any], settings: Settings,
    say: Callable[[str], None], live: bool,
) -> tuple[Workspace, Verdict]:  # fmt: skip
    bundle, notebook = request.bundle, request.bundle.notebook
    environment = _environment(bundle)
    sources = sources_of(bundle)
    archives = match_archives(sources, request.archives)
    if request.offline:
        _refuse_network(request, environment, settings)
    own = None
    if request.python is not None:
        wanted = wanted_modules(environment, **converted(bundle))
        own = look_at(request.python.absolute(), wanted)
    python, made = _python(request, environment, settings, say)
    mirror = find_mirror(environment, settings.cache, settings.mirror, say)
    workspace, resumed = open_workspace(bundle, request.runs, parameters, request.fresh)
    with held(workspace):
        end_strays(workspace.folder)
        if resumed:
            say(f"resuming {workspace.folder}, which did not end well (--new starts afresh)")
        lay_out(workspace, bundle, sources, archives)
        write_git_config(workspace.kernel_home, mirror, environment.urls)
        say(f"run in {workspace.folder}; {environment.suite.title} from {mirror.origin}")
        if own is not None:
            lay_over(own, environment, workspace.overlay, say)
        _record_machine(workspace, python, made, mirror)
        whole = {**_own_parameters(workspace, settings), **parameters}
        env = kernel_environment(workspace, python)
        if request.offline:
            env.update(GIT_ALLOW_PROTOCOL="file", PIP_NO_INDEX="1")
        before = ""
        if own is not None:
            env.update(overlay_environment(workspace.overlay))
            before = fingerprint(own)
        execute = partial(_execute, workspace, inject(notebook, whole), env, python, say, live)
        verdict = _foretold(request, settings, say, execute)
        if own is not None:
            try:
                prove_unchanged(own, before)
            except RunError:
                say("\n".join(verdict.lines(workspace)))
                raise
            say(f"{python} is as it was: NumPy, Paddle and all its packages")
        return workspace, verdict


def _environment(bundle: Bundle) -> Environment:
    """The environment that the bundle is for. Raises RunError where no run is possible."""
    if not sys.platform.startswith("linux"):
        raise RunError(
            f"local runs need Linux; this is {sys.platform}",
            "Use WSL on Windows, or run the job on AI Studio: the bundle is the same.",
        )
    spec = bundle.facts.get("spec", {})
    suite = SUITES.get(spec.get("task", "detection"), DETECTION)
    name = spec.get("environment", "")
    environment = environments(suite).get(name)
    if environment is None:
        raise BundleError(f"the bundle names the environment {name!r}, which is not known")
    return environment


def _own_parameters(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """What the notebook is told of this machine."""
    return {
        "HOME_DIR": str(workspace.home),
        "WEIGHTS_DIR": str(settings.cache / "weights"),
        # The platform's limits are not this machine's: nothing is removed unasked.
        "CLEANUP": False,
    }


def _foretold(
    request: RunRequest,
    settings: Settings,
    say: Callable[[str], None],
    execute: Callable[[], Verdict],
) -> Verdict:
    """Execute, and say before it how long that will take, and after it what it took."""
    parameters = {**request.parameters, **({"SMOKE": True} if request.smoke else {})}
    expected = expected_run(request.bundle, parameters, settings, request.device, request.archives)
    if expected is not None:
        say(f"expected: {expected.text()}")
    verdict = execute()
    remember(settings.cache, verdict.result)
    if expected is not None and verdict.status in ENDED and not verdict.result.get("attempts"):
        say(took_text(expected, verdict.result))
    return verdict


def _execute(
    workspace: Workspace,
    notebook: dict[str, Any],
    env: dict[str, str],
    python: Path,
    say: Callable[[str], None],
    live: bool,
) -> Verdict:
    before = workspace.result()

    def settled() -> bool:
        found = workspace.result()
        return found != before and bool(found.get("closed"))

    try:
        with Progress(workspace.output / "events.jsonl", say, live):
            fault = execute(notebook, python, env, workspace.home, workspace.notebook, settled)
    finally:
        end_strays(workspace.folder)
    return judged(workspace, fault, before)


def _python(
    request: RunRequest, environment: Environment, settings: Settings, say: Callable[[str], None]
) -> tuple[Path, bool]:
    if request.python is None:
        index = settings.paddle_index
        choice = choose_build(gpu_facts(), environment, request.device, request.smoke, index)
        if choice.why:
            say(f"{choice.device.upper()}: {choice.why}")
        gpu = choice.device == "gpu"
        return managed_python(environment, settings.cache, say, gpu, index)
    return request.python.absolute(), False


def _refuse_network(request: RunRequest, environment: Environment, settings: Settings) -> None:
    """Raise RunError with all that the run would have to fetch."""
    choice = "cpu"
    if request.python is None:
        index = settings.paddle_index
        found = choose_build(gpu_facts(), environment, request.device, request.smoke, index)
        choice = found.device
    weights = "" if request.smoke else pretrained_address(request.bundle)
    needs = Needs(environment, weights, choice == "gpu", settings.paddle_index)
    own_mirror = settings.mirror is not None and not settings.mirror.startswith(("http", "ssh"))
    missing = lacking(needs, settings.cache, request.python is not None, own_mirror)
    if missing:
        raise RunError(
            f"--offline, and not in the cache: {'; '.join(missing)}",
            "Fetch it where there is a network: jobgen mirror add JOB (or --from FOLDER).",
        )


def converted(bundle: Bundle) -> dict[str, bool]:
    """Whether the job makes ONNX of its model, and 8 bits of that."""
    spec = bundle.facts.get("spec", {})
    stages = spec.get("stages", [])
    onnx = "export" in stages and bool(spec.get("export", {}).get("onnx"))
    return {"onnx": onnx, "int8": "compress" in stages}


def pretrained_address(bundle: Bundle) -> str:
    """The address of the pretrained weights, empty where there are none to fetch."""
    for cell in bundle.notebook["cells"]:
        for line in cell_source(cell).splitlines():
            if line.startswith("PRETRAINED = "):
                value = str(ast.literal_eval(line.removeprefix("PRETRAINED = ")))
                return value if value.startswith(("http://", "https://")) else ""
    return ""


def _record_machine(workspace: Workspace, python: Path, made: bool, mirror: Mirror) -> None:
    """The first events of a run: what jobgen made for it, or found in its cache."""
    events = workspace.output / "events.jsonl"
    events.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"event": "environment", "python": str(python), "made": made},
        {"event": "mirror", "origin": mirror.origin, "made": mirror.made},
    ]
    with events.open("a", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(
                json.dumps({"stage": None, "time": utc_now(), **row}, sort_keys=True) + "\n"
            )
