"""Files of an npm package: fetched once with npm, or given by hand, and looked at before use."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jobgen.errors import RunError
from jobgen.files import sha256
from jobgen.machine.environment import Say
from jobgen.machine.locks import make_once
from jobgen.text import PIPED
from jobgen_runtime.children.processes import last_words

LARGEST = 200 * 2**20


@dataclass(frozen=True)
class NpmPackage:
    """`integrity` is npm's own, of the whole archive; `files` are the paths in it that are wanted,
    with their SHA-256; `option` names how a user gives them by hand."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]
    option: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def by_hand(self) -> str:
        return f"Give a folder or .tgz that has it: {self.option} PATH"


def npm_files(package: NpmPackage, cache: Path, given: Path | None, say: Say) -> Path:
    """A folder with the wanted files, side by side: from `given`, a folder or archive of the
    package, or else fetched with npm. Raises RunError where neither has them, as they have to be.
    """
    folder = cache / "npm" / f"{package.name}-{package.version}"

    def make(place: Path) -> str:
        found = _fetched(package, say) if given is None else _given(given, package)
        for name, digest in package.files.items():
            if sha256(found.get(name, b"")) != digest:
                state = "has another content" if name in found else "is missing"
                raise RunError(f"{given or package}: {name} {state}", package.by_hand())
        place.mkdir(parents=True)
        for name in package.files:
            (place / Path(name).name).write_bytes(found[name])
        return package.version

    def damage(place: Path) -> str | None:
        for name, digest in package.files.items():
            path = place / Path(name).name
            if not path.is_file() or sha256(path.read_bytes()) != digest:
                return f"{path.name} is not what was fetched"
        return None

    make_once(folder, make, damage, say)
    return folder


def _given(path: Path, package: NpmPackage) -> dict[str, bytes]:
    """The wanted files of an archive, or of a folder at any depth; what is missing is left out."""
    if path.is_file():
        return _unpacked(path, package)
    found = {}
    for name in package.files:
        for file in sorted(path.rglob(Path(name).name)):
            if file.is_file() and file.stat().st_size <= LARGEST:
                found[name] = file.read_bytes()
    return found


def _fetched(package: NpmPackage, say: Say) -> dict[str, bytes]:
    # On Windows npm is a .cmd, which only its whole path starts.
    npm = shutil.which("npm")
    if npm is None:
        raise RunError(
            f"{package} is needed, and npm is not there to fetch it",
            f"Install Node.js, which brings npm. Or: {package.by_hand()}",
        )
    say(f"fetching {package} with npm (once) ...")
    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        argv = [npm, "pack", f"{package.name}@{package.version}", "--ignore-scripts"]
        finished = subprocess.run(argv, **PIPED, cwd=spare, check=False)
        archives = list(Path(spare).glob("*.tgz"))
        if finished.returncode != 0 or len(archives) != 1:
            raise RunError(f"npm can't fetch {package}: {_reason(finished)}", package.by_hand())
        digest = hashlib.sha512(archives[0].read_bytes()).digest()
        if f"sha512-{base64.b64encode(digest).decode()}" != package.integrity:
            raise RunError(f"npm gave another {package} than the known one", package.by_hand())
        return _unpacked(archives[0], package)


def _reason(finished: subprocess.CompletedProcess[str]) -> str:
    """npm's own reason, which stands between the error's parts and advice."""
    lines = [line for line in finished.stderr.splitlines() if line.lower().startswith("npm err")]
    telling = [line for line in lines if re.search(r"reason|Error:|404", line)]
    reasons = telling or lines
    return reasons[0] if reasons else last_words((finished.stdout + finished.stderr).splitlines())


def _unpacked(archive: Path, package: NpmPackage) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for member in opened:
                # Everything in it lies below package/.
                name = member.name.partition("/")[2]
                stream = opened.extractfile(member) if member.isfile() else None
                if stream and name in package.files and member.size <= LARGEST:
                    found[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RunError(f"{archive} is no archive of npm: {error}", package.by_hand()) from None
    return found
