"""Execute a notebook's own cells in a given Python, saving it after every cell."""

from __future__ import annotations

import ast
import asyncio
import atexit
import contextlib
import copy
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobgen.errors import BundleError, RunError
from jobgen.files import write_atomically
from jobgen.job.notebook import (
    INJECTED_TAG,
    PARAMETERS_TAG,
    SETTINGS_TAG,
    cell_source,
    cell_tags,
    tagged_cell,
)
from jobgen.literals import to_source
from jobgen_runtime.record.text import redacted

STOPPED = "the run was stopped"
# The kernel's first lines: whatever ends jobgen, SIGKILL too, ends the kernel with it.
TIED_KERNEL = """\
import ctypes, os, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit("the process that started the kernel has ended")
runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
"""
# The stage ends its children, then weights are gathered and hashed, and the page is drawn.
STOP_PATIENCE = 90.0
# Of the 107 bytes that a socket's path may have, the rest is for jobgen's own names in it.
LONGEST_SOCKET_FOLDER = 70


def parameter_defaults(notebook: dict[str, Any]) -> dict[str, Any]:
    """The names (and literal values) that the parameters cell assigns, and those of SETTINGS,
    which a parameter of the same name replaces."""
    found = _assigned(notebook, PARAMETERS_TAG)
    # Bundles of earlier versions have no such cell.
    if any(SETTINGS_TAG in cell_tags(cell) for cell in notebook["cells"]):
        settings = _assigned(notebook, SETTINGS_TAG).get("SETTINGS")
        if not isinstance(settings, dict):
            raise BundleError(
                f"the cell tagged {SETTINGS_TAG} sets no SETTINGS", "Build the bundle again."
            )
        found.update(settings)
    return found


def _assigned(notebook: dict[str, Any], tag: str) -> dict[str, Any]:
    """The literal values that the cell with this tag assigns, by name."""
    found = {}
    cell = f"the cell tagged {tag}"
    hint = 'Its values are plain ones, as 3 or "text": correct it, or build the bundle again.'
    line = 0
    try:
        for node in ast.parse(cell_source(notebook["cells"][tagged_cell(notebook, tag)])).body:
            line = node.lineno
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = ast.literal_eval(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = ast.literal_eval(node.value) if node.value else None
    except SyntaxError as error:
        raise BundleError(f"{cell} is broken in line {error.lineno}: {error.msg}", hint) from error
    except (ValueError, TypeError) as error:
        raise BundleError(f"{cell}: line {line} is no plain value", hint) from error
    return found


def inject(notebook: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """A copy with one `injected-parameters` cell after the parameters, and nothing else changed."""
    found = copy.deepcopy(notebook)
    rows = [f"{name} = {to_source(value)}\n" for name, value in parameters.items()]
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": INJECTED_TAG,
        "metadata": {"tags": [INJECTED_TAG]},
        "outputs": [],
        "source": ["# Parameters\n", *rows],
    }
    found["cells"].insert(tagged_cell(found, PARAMETERS_TAG) + 1, cell)
    return found


def without_secrets(notebook: Any) -> Any:
    """A copy whose outputs and injected parameters hold no password: it is kept, and shown."""
    found = copy.deepcopy(notebook)
    for cell in found["cells"]:
        if INJECTED_TAG in cell["metadata"].get("tags", []):
            cell["source"] = redacted(cell_source(cell))
        for output in cell.get("outputs", []):
            for key in ("text", "evalue"):
                if isinstance(output.get(key), str):
                    output[key] = redacted(output[key])
            if isinstance(output.get("traceback"), list):
                output["traceback"] = [redacted(line) for line in output["traceback"]]
    return found


def execute(
    notebook: dict[str, Any],
    python: Path,
    env: dict[str, str],
    cwd: Path,
    save_to: Path,
    settled: Callable[[], bool],
) -> str | None:
    """Run all cells. None, or in a line why the notebook did not come to its end.

    A Ctrl-C or SIGTERM is handed on to the kernel, whose stage then writes the
    result; the answer is STOPPED. `settled` tells when that is written. Raises RunError
    where the kernel can't be started.
    """
    # Sockets in a short folder of its own: a Unix socket's path has at most 107 bytes.
    sockets = Path(tempfile.mkdtemp(prefix="jobgen-", dir=socket_folder()))
    client, save = _client(notebook, python, cwd, save_to, sockets)
    save()
    faults: list[BaseException] = []

    def work() -> None:
        with save_to.with_name("kernel.log").open("ab") as log:
            try:
                asyncio.run(_all_cells(client, env=env, stdout=log, stderr=log))
            except (Exception, asyncio.CancelledError) as error:  # told below, by the caller
                faults.append(error)

    try:
        # nbclient takes over the signals of the main thread and then kills the kernel without
        # a word to it; in a thread of its own it leaves them to us.
        finished = _until_done(threading.Thread(target=work, daemon=True), client.km, settled)
    finally:
        _forget(client)
        save()
        shutil.rmtree(sockets, ignore_errors=True)
    if not finished:
        return STOPPED
    return _fault_text(faults[0], python) if faults else None


def socket_folder() -> str:
    """The folder for temporary files, unless a socket's path in it would be too long."""
    places = (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp")
    for place in map(os.path.abspath, filter(None, places)):
        short = len(os.fsencode(place)) <= LONGEST_SOCKET_FOLDER
        if short and os.access(place, os.W_OK | os.X_OK):
            return place
    raise RunError(
        f"no folder for the kernel's sockets: {places[0]} has too long a name",
        "Set TMPDIR to a folder with a short name.",
    )


def _client(
    notebook: dict[str, Any], python: Path, cwd: Path, save_to: Path, sockets: Path
) -> tuple[Any, Callable[..., None]]:
    """An nbclient for the notebook in this Python, and the function that saves it as it stands."""
    try:
        import nbformat
        from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient
    except ImportError as error:
        hint = "Install jobgen with its extra `run`, as README says."
        raise RunError("local runs need nbclient and ipykernel", hint) from error

    class OneKernel(KernelSpecManager):
        """Knows the one Python that this run uses, whatever kernels are installed."""

        def get_kernel_spec(self, kernel_name: str) -> Any:
            argv = [str(python), "-c", TIED_KERNEL, str(os.getpid()), "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name=kernel_name, language="python")

    node = nbformat.reads(json.dumps(notebook), as_version=4)

    def save(**_: Any) -> None:
        write_atomically(save_to, nbformat.writes(without_secrets(node)).encode())

    manager = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=OneKernel(),
        transport="ipc",
        connection_file=str(sockets / "kernel.json"),
    )
    client = NotebookClient(
        node,
        km=manager,
        timeout=None,
        startup_timeout=180,
        resources={"metadata": {"path": str(cwd)}},
        on_cell_executed=save,
        on_cell_error=save,
        coalesce_streams=True,
        store_widget_state=False,
    )
    return client, save


async def _all_cells(client: Any, **options: Any) -> None:
    # nbclient forgets it where the kernel does not answer.
    manager = client.km
    try:
        await client.async_execute(**options)
    finally:
        _forget(client)
        # The manager is ours, so nbclient leaves its kernel running.
        if client.kc is not None:
            client.kc.stop_channels()
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)


def _forget(client: Any) -> None:
    """nbclient would also end, at this program's exit, a kernel that never answered, and wait for
    that without end."""
    cleanup = getattr(client, "_cleanup_kernel", None)
    if cleanup is not None:
        atexit.unregister(cleanup)


def _until_done(worker: threading.Thread, manager: Any, settled: Callable[[], bool]) -> bool:
    """Wait for the worker; False where Ctrl-C or SIGTERM came first, and the kernel was ended."""
    # A closed terminal (SIGHUP) ends a run as SIGTERM does, unless nohup said otherwise.
    ends = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    before = {number: signal.signal(number, _as_interrupt) for number in ends}
    try:
        worker.start()
        while worker.is_alive():
            worker.join(0.2)
    except KeyboardInterrupt:
        # A second Ctrl-C must not leave the kernel's children behind; the wait is bounded.
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        _stop_kernel(worker, manager, settled)
        worker.join(STOP_PATIENCE)
        signal.signal(signal.SIGINT, interrupt)
        return False
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return True


def _fault_text(fault: BaseException, python: Path) -> str:
    """Why the notebook stopped. Raises RunError where it never began."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    if isinstance(fault, CellExecutionError):
        return f"{fault.ename}: {fault.evalue}"
    if isinstance(fault, DeadKernelError):
        return "the notebook's kernel died"
    said = str(fault).strip().splitlines() or [type(fault).__name__]
    raise RunError(
        f"the kernel of {python} did not start: {said[-1]}",
        "Run again; what the kernel itself said is in kernel.log of the run's folder.",
    ) from fault


def _as_interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _stop_kernel(worker: threading.Thread, manager: Any, settled: Callable[[], bool]) -> None:
    """Interrupt the kernel, give its stage time to end its children and write, then end it; one
    that is just being started has to be there first."""
    deadline = time.monotonic() + STOP_PATIENCE
    while (process := getattr(manager.provisioner, "process", None)) is None:
        if not worker.is_alive() or time.monotonic() > deadline:
            return
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_PATIENCE
        while process.poll() is None and not settled() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
