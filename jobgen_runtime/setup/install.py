"""The `install` stage: only what is missing, and never Paddle or NumPy."""

import os
import sys
import time
from typing import Any, Dict, List

from jobgen_runtime.children.processes import (
    child_environment,
    exit_text,
    json_from_child,
    last_words,
    python_command,
    run_logged,
)
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically
from jobgen_runtime.setup.machine import module_folder, paddle_facts

PIP_TRIES = 3
# What PyPI calls a package that is imported under another name.
INSTALLED_AS = {"ppdet": "paddledet", "ppcls": "paddleclas"}
PROTECTED = ("numpy", "paddlepaddle", "paddlepaddle-gpu")
SHOWN_PACKAGES = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "pycocotools",
    "scikit-learn",
    "scipy",
)
VERSIONS_CODE = """
import json, sys
try:
    from importlib.metadata import distributions
    found = [(d.metadata["Name"], d.version) for d in distributions()]
except ImportError:
    import pkg_resources
    found = [(d.project_name, d.version) for d in pkg_resources.working_set]
# Of two of one name Python imports the first on its path, such as the user's own.
names = {}
for name, version in found:
    names.setdefault((name or "").lower().replace("_", "-"), version)
print(json.dumps(names))
"""
IMPORT_CODE = """
import importlib, json, sys
try:
    import cv2
except ImportError:
    pass
package = importlib.import_module(sys.argv[1])
importlib.import_module(sys.argv[2])
print(json.dumps({"place": package.__file__}))
"""


def installed_versions() -> Dict[str, str]:
    """Every distribution of this Python and its version, as a fresh process sees them."""
    argv = python_command("-c", VERSIONS_CODE)
    found = json_from_child(
        argv, "install", "listing the packages", cwd=os.sep, timeout=120, quiet=True
    )
    result: Dict[str, str] = found
    return result


def missing_requirements(requirements: List[Dict[str, Any]], versions: Dict[str, str]) -> List[str]:
    """Of `{"module", "pip", "not": [versions]}` those not importable, or of a broken version."""
    missing = []
    for requirement in requirements:
        name = requirement["pip"].split("=")[0].split("<")[0].split(">")[0].lower()
        broken = versions.get(name) in requirement.get("not", [])
        if broken:
            wanted = ",".join("!=" + version for version in requirement["not"])
            missing.append(requirement["pip"] + wanted)
        elif module_folder(requirement["module"]) is None:
            missing.append(requirement["pip"])
    return missing


def install_missing(requirements: List[Dict[str, Any]], pause: float = 5.0) -> List[str]:
    """Install what is missing with pip, everything that is here held at its version.

    Gives what was installed. Raises StageError when pip fails three times, or when
    NumPy or Paddle is another one afterwards.
    """
    before = installed_versions()
    missing = missing_requirements(requirements, before)
    if missing:
        _pip_install(missing, before, pause)
        after = installed_versions()
        moved = [name for name in PROTECTED if before.get(name) != after.get(name)]
        if moved:
            raise StageError(
                "installing changed %s"
                % ", ".join(
                    "%s from %s to %s" % (name, before.get(name), after.get(name)) for name in moved
                ),
                "Install these packages by hand: %s" % " ".join(missing),
                cause="install",
                log=outcome().log_path("install"),
            )
        note("installed %s" % ", ".join(missing))
    outcome().event("install", installed=missing)
    return missing


def _pip_install(missing: List[str], versions: Dict[str, str], pause: float) -> None:
    run = outcome()
    held = run.path("logs", "constraints.txt")
    rows = ["%s==%s" % (name, versions[name]) for name in PROTECTED if name in versions]
    write_text_atomically(held, "\n".join(rows) + "\n")
    argv = python_command(
        "-m", "pip", "install", "--disable-pip-version-check", "-c", held, *missing
    )
    # AI Studio's images set `user = true`, which pip refuses inside a virtual environment.
    extra = {"PIP_USER": "0"} if sys.prefix != sys.base_prefix else {}
    log = run.log_path("install")
    attempt = 1
    while True:
        # Not from home, where a pip.py would be taken for pip.
        finished = run_logged(
            argv, log, cwd=os.sep, env=child_environment(**extra), timeout=1800, quiet=True
        )
        run.event("pip", packages=missing, attempt=attempt, exit_status=finished.exit_status)
        if finished.exit_status == 0:
            return
        print("%-10spip: %s" % ("", last_words(finished.tail)), flush=True)
        if attempt == PIP_TRIES:
            break
        attempt += 1
        time.sleep(pause)
    raise StageError(
        "pip %s while installing %s: %s"
        % (exit_text(finished), " ".join(missing), last_words(finished.tail)),
        "Usually the network or the package index: start the job again later.",
        cause="install",
        log=log,
        exit_status=finished.exit_status,
        tail=finished.tail,
    )


def use_suite(suite: Dict[str, str], folder: str) -> None:
    """Make `import ppdet`, or what the `package` of `suite` is, mean this clone, for this process
    and its children, from any folder.

    A path on PYTHONPATH stands before site-packages, so neither an older ppdet
    there nor `setup.py install`, which would run a second resolver, is needed.
    """
    package = suite["package"]
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [folder] + [path for path in others if path != folder]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path[:] = [folder] + [path for path in sys.path if path != folder]
    elsewhere = outcome().folder
    found = json_from_child(
        python_command("-c", IMPORT_CODE, package, suite["engine"]),
        "install",
        "import %s" % package,
        cwd=elsewhere,
        timeout=600,
        quiet=True,
    )
    place = os.path.realpath(found["place"])
    if not place.startswith(os.path.realpath(folder) + os.sep):
        raise StageError(
            "`import %s` gives %s, not the clone in %s" % (package, place, folder),
            "Another %s is installed: python -m pip uninstall %s"
            % (suite["title"], INSTALLED_AS.get(package, package)),
            cause="install",
        )
    outcome().data["versions"].update(
        {key: value for key, value in installed_versions().items() if key in SHOWN_PACKAGES}
    )
    outcome().data["versions"]["paddle"] = paddle_facts().get("version")
    outcome().save()


def install(requirements: List[Dict[str, Any]], folder: str, suite: Dict[str, str]) -> None:
    """The whole stage. `suite` has its `title`, its `package` and the `engine` in it."""
    installed = install_missing(requirements)
    use_suite(suite, folder)
    summary("installed %s" % ", ".join(installed) if installed else "nothing to install")
