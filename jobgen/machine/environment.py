"""Managed Python environments: made once with uv, kept by the hash of their pins."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from jobgen.catalog import Environment, pins
from jobgen.errors import RunError
from jobgen.files import sha256
from jobgen.machine.damage import environment_damage
from jobgen.machine.index import uv_environment
from jobgen.machine.interpreters import candidate_pythons, find_python
from jobgen.machine.locks import make_once
from jobgen.machine.longwork import run_with_progress
from jobgen.text import PIPED
from jobgen_runtime.children.processes import last_words

Say = Callable[[str], None]


def uv_program() -> str:
    """The path of uv. Raises RunError where the `run` extra is not installed."""
    try:
        from uv import find_uv_bin
    except ImportError as error:
        found = shutil.which("uv")
        if found:
            return found
        hint = "Install jobgen with its extra `run`, as README says."
        raise RunError("local runs need uv, nbclient and ipykernel", hint) from error
    program: str = find_uv_bin()
    return program


def managed_python(
    environment: Environment,
    cache: Path,
    say: Say,
    gpu: bool = False,
    paddle_index: str = "",
    wheels: Path | None = None,
) -> tuple[Path, bool]:
    """The Python of the managed environment for an AI Studio environment, with or without CUDA,
    and whether it was made just now. `paddle_index` is the address that has the build with CUDA
    where PyPI's is not wanted, `wheels` a folder that packages are taken from. Raises RunError with
    the installer's last words where it can't be made."""
    folder, wanted, base = environment_folder(environment, cache, gpu, paddle_index)
    size = "1.2"
    if gpu:
        size = f"{environment.gpu.gigabytes}" if environment.gpu and not paddle_index else "6"

    def make(place: Path) -> str:
        say(f"making the Python environment {place.name} (once, about {size} GB) ...")
        make_environment(place, wanted, base, say, paddle_index, wheels)
        return str(place / "bin" / "python")

    python, made = make_once(folder, make, environment_damage, say)
    return Path(python), made


def make_environment(
    place: Path,
    wanted: str,
    base: str,
    say: Say,
    paddle_index: str = "",
    wheels: Path | None = None,
) -> None:
    """A virtual environment of the Python `base` with the pins in `wanted`, and, from
    `paddle_index`, its Paddle with what that needs of CUDA. Raises RunError."""
    uv, env = uv_program(), uv_environment(wheels)
    log = place.with_name(place.name + ".log")
    # --seed: the notebook's install stage may need pip.
    run_uv([uv, "venv", "--seed", "--python", base, str(place)], env, log, say)
    listed = place / "pins.txt"
    listed.write_text(wanted, encoding="utf-8")
    install = [uv, "pip", "install", "--python", str(place / "bin" / "python")]
    if not paddle_index:
        run_uv([*install, "--no-deps", "-r", str(listed)], env, log, say)
        return
    rows = wanted.splitlines()
    paddle = [row for row in rows if row.startswith("paddlepaddle-gpu==")]
    held = place / "held.txt"
    held.write_text("\n".join(row for row in rows if row not in paddle) + "\n", encoding="utf-8")
    run_uv([*install, "--no-deps", "-r", str(held)], env, log, say)
    # Its own list of CUDA's wheels, which no pin list here knows, holds for this build alone. The
    # address may have a password: it stays out of the command, which the log shows.
    env["UV_INDEX"] = " ".join(filter(None, [paddle_index, env.get("UV_INDEX", "")]))
    env["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    run_uv([*install, *paddle, "-c", str(held)], env, log, say)


def run_uv(argv: list[str], env: dict[str, str], log: Path, say: Say) -> None:
    """One call of uv, its words in `log`. Raises RunError with the last of them."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        stream.write("$ " + " ".join(argv) + "\n")
        stream.flush()
        status = run_with_progress(argv, env, stream, say)
    if status != 0:
        said = last_words(log.read_text(encoding="utf-8").splitlines())
        raise RunError(
            f"the Python environment could not be made: {said}",
            f"Usually the network or the package index; the whole log is {log}",
        )


def environment_folder(
    environment: Environment, cache: Path, gpu: bool = False, paddle_index: str = ""
) -> tuple[Path, str, str]:
    """Where a managed environment lies or would lie, its pins, and the Python it is made of."""
    indexed = gpu and bool(paddle_index)
    wanted = pins(environment, gpu, indexed)
    version, base = find_python(candidate_pythons())
    key = sha256(f"{wanted}{version}{base}{paddle_index if indexed else ''}".encode())[:16]
    kind = f"{environment.local}-gpu" if gpu else environment.local
    return cache / "envs" / f"{kind}-py{version[0]}{version[1]}-{key}", wanted, base


def look_into(python: Path) -> str:
    """What Paddle says of itself in a managed environment, with every library of CUDA loaded.
    Raises RunError where it does not import."""
    libraries = cuda_libraries(python)
    env = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries), "PYTHONPATH": ""}
    argv = [str(python), "-s", "-c", LOOK, *libraries]
    answer = subprocess.run(argv, env=env, **PIPED, cwd="/", check=False)
    if answer.returncode != 0:
        said = last_words((answer.stderr + answer.stdout).splitlines())
        raise RunError(f"{python} can't import Paddle: {said}")
    return str(answer.stdout).strip().splitlines()[-1]


# OpenCV first: Paddle 2.6.2 otherwise crashes on Debian 12.
LOOK = """
import ctypes, glob, os, sys
for folder in sys.argv[1:]:
    for path in sorted(glob.glob(os.path.join(folder, "*.so*"))):
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
import cv2, paddle
cuda = paddle.version.cuda()
text = "Paddle %s" % paddle.__version__
if cuda in (None, "False", False):
    text += ", CPU"
else:
    count = paddle.device.cuda.device_count()
    text += ", CUDA %s, cuDNN %s, " % (cuda, paddle.version.cudnn())
    text += "%d device(s)" % count if count else "no device"
print(text)
"""


def cuda_libraries(python: Path) -> list[str]:
    """The folders of CUDA's and cuDNN's libraries in a managed environment, for the loader's path
    of a kernel; none in one without CUDA."""
    return sorted(map(str, python.parent.parent.glob("lib/python3.*/site-packages/nvidia/*/lib")))
