"""The `prepare` stage: what this machine is, and whether the job can work on it."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple, Optional

from jobgen_runtime.children.processes import child_environment, memory_facts
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import adjust, outcome, summary

DISK_NEEDED = 2 * 2**30


def find_home(home_dir: Optional[str], files: List[str]) -> str:
    """HOME_DIR if set, else this folder if the bundle lies in it, else AI Studio's home."""
    if home_dir:
        return os.path.abspath(home_dir)
    if all(os.path.isfile(name) for name in files):
        return os.getcwd()
    return "/home/aistudio"


def module_folder(name: str) -> Optional[str]:
    """Where a module is installed, found without importing it."""
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    return os.path.dirname(spec.origin)


def paddle_facts() -> Dict[str, Any]:
    """Version and CUDA of the installed Paddle, read from its files: importing it costs seconds."""
    folder = module_folder("paddle")
    if folder is None:
        return {}
    for name in ("version/__init__.py", "version.py"):
        path = os.path.join(folder, *name.split("/"))
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
            found = dict(re.findall(r"^(\w+)\s*=\s*'([^']*)'", text, re.MULTILINE))
            cuda = found.get("cuda_version", "False")
            return {
                "version": found.get("full_version", "unknown"),
                "cuda": None if cuda == "False" else cuda,
                "folder": folder,
            }
    return {"version": "unknown", "cuda": None, "folder": folder}


def gpu_facts() -> List[Dict[str, Any]]:
    """The cards that nvidia-smi names and CUDA_VISIBLE_DEVICES lets through.

    Each has name, memory_mib, used_mib, uuid, driver and compute_capability (empty where
    the driver is too old to say).
    """
    columns = "name,memory.total,memory.used,uuid,driver_version"
    rows = _nvidia_smi(columns + ",compute_cap") or _nvidia_smi(columns)
    cards: List[Dict[str, Any]] = [
        {
            "name": row[0],
            "memory_mib": int(row[1]),
            "used_mib": int(row[2]) if row[2].isdigit() else 0,
            "uuid": row[3],
            "driver": row[4],
            "compute_capability": row[5] if len(row) > 5 else "",
        }
        for row in rows
        if len(row) >= 5 and row[1].isdigit()
    ]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return cards
    chosen = []
    for item in filter(None, (part.strip() for part in visible.split(","))):
        found = [
            card
            for number, card in enumerate(cards)
            if item == str(number) or (not item.isdigit() and card["uuid"].startswith(item))
        ]
        if not found:
            break  # CUDA ignores everything after a name it does not know.
        chosen += found[:1]
    return chosen


def _nvidia_smi(columns: str) -> List[List[str]]:
    """The rows of a query, empty where nvidia-smi is absent or fails."""
    argv = ["nvidia-smi", "--query-gpu=" + columns, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            argv,
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if answer.returncode != 0:
        return []
    text = answer.stdout.decode("utf-8", "replace")
    return [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]


def gpu_use() -> Dict[str, Any]:
    """How much of the first card is in use: `percent`, and `memory_mib`; empty without one."""
    for row in _nvidia_smi("utilization.gpu,memory.used"):
        if len(row) == 2 and row[0].isdigit() and row[1].isdigit():
            return {"percent": int(row[0]), "memory_mib": int(row[1])}
    return {}


def core_count() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_facts(home: str) -> Dict[str, Any]:
    """Everything `result.json` says of the machine."""
    memory = memory_facts()
    shm = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": core_count(),
        "memory": memory.get("total"),
        "memory_available": memory.get("available"),
        "disk_free": shutil.disk_usage(home).free,
        "shared_memory_free": shm,
        "gpus": gpu_facts(),
        "paddle": paddle_facts(),
    }


def check_values(
    whole_numbers: List[Any], workers: Any, base_lr: Any, hours: Any, minutes: Any
) -> None:
    """Refuse parameters that no training can use. Raises StageError."""
    for name, value in (("TIME_LIMIT_HOURS", hours), ("STALL_MINUTES", minutes)):
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
            raise _parameter_fault(name, value, "a number from 0")
    for name, value in zip(("GPUS", "EPOCHS", "BATCH_SIZE"), whole_numbers):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _parameter_fault(name, value, "a whole number from 1")
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
        raise _parameter_fault("WORKERS", workers, "a whole number from 0")
    number = isinstance(base_lr, (int, float)) and not isinstance(base_lr, bool)
    if base_lr is not None and not (number and 0 < base_lr < 100):
        raise _parameter_fault("BASE_LR", base_lr, "a number over 0, or None for the plan's")


class Nodes(NamedTuple):
    """Machines that train together: how many, which of them this is, and the address:port of
    machine 0."""

    count: Any = 1
    rank: Any = 0
    master: Any = None


def check_nodes(nodes: Nodes) -> None:
    """Refuse what can't find its fellows. Raises StageError."""
    if not isinstance(nodes.count, int) or nodes.count < 1:
        raise _parameter_fault("NNODES", nodes.count, "a whole number from 1")
    if not isinstance(nodes.rank, int) or not 0 <= nodes.rank < nodes.count:
        raise _parameter_fault("NODE_RANK", nodes.rank, "from 0 to %d" % (nodes.count - 1))
    if nodes.count > 1 and not re.fullmatch(r"[\w.-]+:\d+", str(nodes.master)):
        raise _parameter_fault("MASTER", nodes.master, "address:port of machine 0")


def check_stages(stages: Any, there: List[str]) -> None:
    """Refuse a stage that this notebook does not have. Raises StageError."""
    if not isinstance(stages, list) or any(name not in there for name in stages):
        listed = ", ".join(there) or "nothing follows training in this notebook"
        raise _parameter_fault("STAGES", stages, "a list of these: %s" % listed)


def use_seed(seed: Any) -> None:
    """Let every child that trains begin with the same random numbers; None: with others each
    time, as PaddleDetection does. Raises StageError."""
    if seed is None:
        os.environ.pop("JOBGEN_SEED", None)
        return
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise _parameter_fault("SEED", seed, "a whole number from 0, or None")
    os.environ["JOBGEN_SEED"] = str(seed)
    outcome().data["seed"] = seed


def _parameter_fault(name: str, value: Any, wanted: str) -> StageError:
    return StageError(
        "%s is %r, not %s" % (name, value, wanted),
        "Correct the parameter, then run the job again.",
        cause="parameters",
    )


def prepare(home: str, device: str, gpus: int, smoke: bool, paddle_wanted: str) -> str:
    """Look at the machine, refuse what can't work, and give the device: `gpu` or `cpu`.

    `paddle_wanted` is the release that the pinned PaddleDetection was made for
    (`2.6`), as the catalogue has it.
    """
    if sys.version_info < (3, 7):
        raise StageError(
            "Python %s is too old" % platform.python_version(),
            "Choose an environment with Python 3.7 or later.",
            cause="python",
        )
    os.makedirs(home, exist_ok=True)
    if not os.access(home, os.W_OK):
        raise StageError(
            "the home folder %s can't be written to" % home,
            "Set HOME_DIR to a folder of your own.",
            cause="disk",
        )
    facts = machine_facts(home)
    run = outcome()
    run.data["machine"] = facts
    run.data["versions"] = {"python": facts["python"], "paddle": facts["paddle"].get("version")}
    _check_paddle(facts["paddle"], paddle_wanted)
    if facts["disk_free"] < DISK_NEEDED:
        raise StageError(
            "only %.1f GB are free in %s; PaddleDetection, data and checkpoints need about 2 GB"
            % (facts["disk_free"] / 2.0**30, home),
            "Free some space, then run the same job again.",
            cause="disk",
        )
    chosen = choose_device(facts, device, gpus, smoke)
    run.data["device"] = chosen
    summary(_machine_text(facts, chosen))
    return chosen


def _check_paddle(paddle: Dict[str, Any], wanted: str) -> None:
    if not paddle:
        raise StageError(
            "Paddle is not installed in this Python (%s)" % sys.executable,
            "Choose an AI Studio environment with Paddle %s; here: let `jobgen run` make one."
            % wanted,
            cause="paddle",
        )
    version = paddle["version"]
    if version.split(".")[: len(wanted.split("."))] != wanted.split("."):
        raise StageError(
            "Paddle is %s, but this bundle's PaddleDetection was chosen for Paddle %s"
            % (version, wanted),
            "Set `environment:` in job.yaml to the one you chose on AI Studio "
            "(docs/job.md lists them), and build again.",
            cause="paddle",
        )


def choose_device(facts: Dict[str, Any], device: str, gpus: int, smoke: bool) -> str:
    """`gpu` or `cpu`, or a StageError that says what is missing for a GPU."""
    if device not in ("auto", "gpu", "cpu"):
        raise StageError(
            "DEVICE is %r; it can be 'auto', 'gpu' or 'cpu'" % device, cause="parameters"
        )
    if device == "cpu":
        return "cpu"
    missing = None
    if not facts["gpus"]:
        missing = "no GPU was found (nvidia-smi names none)"
    elif facts["paddle"]["cuda"] is None:
        missing = "this Paddle %s is a CPU build" % facts["paddle"]["version"]
    elif len(facts["gpus"]) < gpus:
        missing = "the job wants %d GPUs, here are %d" % (gpus, len(facts["gpus"]))
    if missing is None:
        return "gpu"
    if device == "auto" and smoke:
        return adjust("device", "gpu", "cpu", missing) or "cpu"
    raise StageError(
        missing,
        "Start the job on a machine with a GPU. A CPU is enough to try it: "
        "`jobgen run ... --device cpu --smoke`.",
        cause="gpu",
    )


def _machine_text(facts: Dict[str, Any], device: str) -> str:
    paddle = facts["paddle"]
    build = "CUDA %s" % paddle["cuda"] if paddle["cuda"] else "CPU"
    words = [
        "Python %s" % facts["python"],
        "Paddle %s (%s)" % (paddle["version"], build),
        "%d cores" % facts["cores"],
    ]
    if facts["memory"]:
        words.append("%.0f GB" % (facts["memory"] / 2.0**30))
    if facts["gpus"]:
        words.append(
            ", ".join("%s %d MiB" % (gpu["name"], gpu["memory_mib"]) for gpu in facts["gpus"])
        )
    else:
        words.append("no GPU")
    words.append("training on the %s" % device.upper())
    return ", ".join(words)
