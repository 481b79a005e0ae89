"""The folder of a run, laid out as AI Studio lays out a job's home."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import itertools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.catalog import platform
from jobgen.errors import BundleError, DatasetError, RunError, SpecError
from jobgen.files import sha256, write_atomically
from jobgen.job.bundle import Bundle
from jobgen.machine.environment import cuda_libraries
from jobgen.resultfile import read_result
from jobgen.run.strays import MARK

STATE = "run.json"


@dataclass(frozen=True)
class Workspace:
    """`home` is the emulated /home/aistudio; `kernel_home` the kernel's own HOME."""

    folder: Path
    name: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def kernel_home(self) -> Path:
        return self.folder / "kernel-home"

    @property
    def overlay(self) -> Path:
        """What a Python of one's own lacks for this run."""
        return self.folder / "overlay"

    @property
    def output(self) -> Path:
        return self.home / "output" / self.name

    @property
    def notebook(self) -> Path:
        return self.folder / "main.executed.ipynb"

    def result(self) -> dict[str, Any]:
        """What result.json says; empty before there is one."""
        return read_result(self.output)


def check_parameters(known: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse names that the notebook does not have. Raises SpecError with the nearest."""
    for name in given:
        if name == "HOME_DIR":
            raise SpecError("HOME_DIR is the run's own", "Use --runs to put runs elsewhere.")
        if name not in known:
            close = difflib.get_close_matches(name.upper(), known, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise SpecError(
                f"the notebook has no parameter {name}", f"{hint}There are: {', '.join(known)}"
            )


def sources_of(bundle: Bundle) -> list[dict[str, Any]]:
    sources = bundle.facts.get("spec", {}).get("dataset", {}).get("sources")
    if not isinstance(sources, list):
        raise BundleError("the notebook does not say which data it needs", "Build it again.")
    return sources


def match_archives(sources: list[dict[str, Any]], archives: list[Path]) -> list[Path]:
    """One file or folder for each source, by name, or in order where there is just one."""
    for archive in archives:
        if not archive.exists():
            raise DatasetError(f"{archive} is not there", "Correct the path after --archive.")
    names = [source["archive"] or source["folder"] for source in sources]
    if len(archives) != len(names):
        raise DatasetError(
            f"the job has {len(names)} data source(s), {len(archives)} given",
            f"Give --archive for each of: {', '.join(names)}",
        )
    left = list(archives)
    found = []
    for name in names:
        chosen = next((a for a in left if len(names) == 1 or a.name == name), None)
        if chosen is None:
            raise DatasetError(f"no --archive is named {name}")
        left.remove(chosen)
        found.append(chosen)
    for source, path in zip(sources, found, strict=True):
        if source["archive"] and path.is_dir():
            raise DatasetError(
                f"{path} is a folder, but the job unpacks the archive {source['archive']}",
                "Give the archive, or write `folder:` into job.yaml's source and build again.",
            )
    return found


def open_workspace(
    bundle: Bundle, runs: Path, parameters: dict[str, Any], fresh: bool
) -> tuple[Workspace, bool]:
    """A new run's folder, or that of the newest run of this very bundle and these very
    parameters that did not end well: there a second run goes on. The flag says which."""
    runs = runs.resolve()
    name, identity = _own_name(bundle, parameters), _identity(bundle, parameters)
    if not fresh:
        for found in _runs_of(bundle, runs, parameters):
            if _ended_well(found):
                break
            return found, True
    stamp = datetime.datetime.now().strftime("%m%d-%H%M%S")
    folder = new_folder(runs, f"{bundle.name}-{stamp}")
    started = datetime.datetime.now().timestamp()
    state = {"identity": identity, "started": started}
    write_atomically(folder / STATE, (json.dumps(state, indent=1) + "\n").encode())
    return Workspace(folder, name), False


def finished_run(bundle: Bundle, runs: Path, parameters: dict[str, Any]) -> Workspace | None:
    """The newest run of this very bundle and these very parameters, where it ended well."""
    found = next(_runs_of(bundle, runs.resolve(), parameters), None)
    return found if found is not None and _ended_well(found) else None


def _runs_of(bundle: Bundle, runs: Path, parameters: dict[str, Any]) -> Iterator[Workspace]:
    """Those of this very bundle and these very parameters, the newest first."""
    identity = _identity(bundle, parameters)
    for folder in sorted(runs.glob(f"{bundle.name}-*"), key=_started, reverse=True):
        if _state(folder).get("identity") == identity:
            yield Workspace(folder, _own_name(bundle, parameters))


def _ended_well(workspace: Workspace) -> bool:
    return str(workspace.result().get("status", "")).startswith("ok")


def _identity(bundle: Bundle, parameters: dict[str, Any]) -> dict[str, str]:
    # A parameter may be an address with a password.
    given = sha256(json.dumps(parameters, sort_keys=True, default=str).encode())
    return {"bundle": bundle.digest, "parameters": given}


def _own_name(bundle: Bundle, parameters: dict[str, Any]) -> str:
    # As the notebook's own first cell: what is tried does not touch the real run's record.
    beside = "-smoke" if parameters.get("SMOKE") else ""
    return bundle.name + ("-after" if parameters.get("TRAINED_WEIGHTS") else beside)


def newest_run(runs: Path, name: str) -> Path:
    """The folder of the run of this job that was started last. Raises RunError where there is
    none."""
    named = re.compile(re.escape(name) + r"-\d{4}-\d{6}(-\d+)?")
    folders = [folder for folder in runs.glob("*") if named.fullmatch(folder.name)]
    if not folders:
        raise RunError(
            f"no run of {name} is in {runs}",
            "Start one with jobgen run, say with --runs where its folder is, or give the zip that "
            "AI Studio gave.",
        )
    return max(folders, key=_started)


def new_folder(runs: Path, name: str) -> Path:
    """A folder that was not there before, whoever else makes one at this moment."""
    runs.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError  # count has no end


def _state(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _started(folder: Path) -> float:
    return float(_state(folder).get("started", 0.0))


@contextlib.contextmanager
def held(workspace: Workspace) -> Iterator[None]:
    """Hold the run's folder, so that no second run works in it. Raises RunError where one does."""
    import fcntl

    with (workspace.folder / "lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            raise RunError(
                f"{workspace.folder} is at work already (process {stream.read().strip()})",
                "Wait for it, or start another run beside it: --new",
            ) from error
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def lay_out(
    workspace: Workspace, bundle: Bundle, sources: list[dict[str, Any]], archives: list[Path]
) -> None:
    """Put the bundle and the mounts where the platform would: data/data<ID>/<name>."""
    workspace.home.mkdir(parents=True, exist_ok=True)
    for name, data in bundle.files.items():
        write_atomically(workspace.home / name, data)
    for number, (source, archive) in enumerate(zip(sources, archives, strict=True), 1):
        mount = workspace.home / platform().mount.format(id=source["id"] or number)
        mount.mkdir(parents=True, exist_ok=True)
        goal = mount / (source["archive"] or source["folder"])
        if goal.is_symlink():
            goal.unlink()
        if goal.exists():
            raise RunError(f"{goal} is in the way", "Start a new run: --new")
        goal.symlink_to(archive.absolute())


def kernel_environment(workspace: Workspace, python: Path) -> dict[str, str]:
    """The kernel's environment: an allow-list, so that no token of this shell comes along. CUDA's
    libraries of a managed environment are on the loader's path of the kernel alone."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key in KEPT_NAMES or key.startswith(KEPT_PREFIXES)
    }
    if "TMPDIR" in kept:
        # The kernel has another current folder.
        kept["TMPDIR"] = os.path.abspath(kept["TMPDIR"])  # noqa: PTH100
    kept.update(
        HOME=str(workspace.kernel_home),
        PATH=os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]),
        PYTHONNOUSERSITE="1",
        **{MARK: str(workspace.folder)},
        PYTHONUTF8="1",
        IPYTHONDIR=str(workspace.kernel_home / "ipython"),
        JUPYTER_DATA_DIR=str(workspace.kernel_home / "jupyter"),
        MPLCONFIGDIR=str(workspace.kernel_home / "matplotlib"),
    )
    libraries = cuda_libraries(python)
    if libraries:
        before = kept.get("LD_LIBRARY_PATH", "")
        kept["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, *filter(None, [before])])
    return kept


KEPT_NAMES = frozenset(
    (
        *("LANG", "TZ", "TMPDIR", "USER", "LOGNAME", "LD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("JOBGEN_WEBHOOK", "GIT_SSL_CAINFO", "http_proxy", "https_proxy", "no_proxy"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    )
)
KEPT_PREFIXES = ("LC_", "PIP_", "CUDA_", "NVIDIA_", "OMP_", "FLAGS_")
