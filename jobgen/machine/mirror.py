"""A local git copy of a suite that a run clones from instead of the network."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobgen.catalog import Environment, Revision, config_texts, own_parts
from jobgen.errors import RunError
from jobgen.files import sha256, write_atomically
from jobgen.machine.damage import mirror_damage
from jobgen.machine.environment import uv_program
from jobgen.machine.gitcall import git_environment
from jobgen.machine.index import uv_environment
from jobgen.machine.locks import MARK, make_once
from jobgen.machine.longwork import run_with_progress
from jobgen.resources import mirror_tools_dir
from jobgen.text import PIPED
from jobgen_runtime.record.text import redacted
from jobgen_runtime.setup.source import COMMIT, code_hash

Say = Callable[[str], None]
# What git's command line has in place of an address with a password.
HIDDEN = "jobgen-hidden:mirror"
ANSWER_TIMEOUT = 20
CLONE_TIMEOUT = 1800


LAST = "last-address"
FROM_PACKAGES = "packages:"
OWN = "own.sha256"


@dataclass(frozen=True)
class Mirror:
    """`address` is what git clones from; `origin` says where its content came from."""

    address: str
    origin: str
    made: bool


def find_mirror(
    environment: Environment, cache: Path, given: str | None, say: Say, wheels: Path | None = None
) -> Mirror:
    """The mirror of the environment's suite: the given one, the cached one, or a new
    one from the network or, where no address answers, from packages (those in the folder `wheels`,
    where it is given). Raises RunError."""
    if shutil.which("git") is None:
        raise RunError("git is not installed", "Install git, then run again.")
    revision = environment.revision
    if given and redacted(given) == given:
        return Mirror(mirror_address(given), f"given: {given}", made=False)
    if given:
        # Its password must not lie in the run's folder: the run clones from a copy.
        return _copy_of(given, revision, cache, say)
    folder = mirror_folder(environment, cache)
    if _is_of_another_jobgen(folder):
        (folder / MARK).unlink(missing_ok=True)

    def make(place: Path) -> str:
        for url in addresses(environment.urls, cache):
            if _clone(url, revision, place, say):
                write_atomically(cache / LAST, url.encode())
                return url
        if revision.package is not None:
            say(f"no address of {revision.full} answers; putting it together from packages")
        _from_package(revision, place, wheels)
        return f"{FROM_PACKAGES} {revision.package}, jobgen's catalogue and jobgen's tools"

    origin, made = make_once(folder, make, mirror_damage, say)
    return Mirror((folder / "repo.git").as_uri(), origin, made)


def _is_of_another_jobgen(folder: Path) -> bool:
    """Whether a mirror was put together with tools or configs that are not this jobgen's."""
    try:
        if not (folder / MARK).read_text("utf-8").startswith(FROM_PACKAGES):
            return False
        return (folder / OWN).read_text("utf-8") != own_digest()
    except FileNotFoundError:
        return (folder / MARK).is_file()


def _copy_of(given: str, revision: Revision, cache: Path, say: Say) -> Mirror:
    """The mirror at an address with a password, copied once. Raises RunError."""
    key = sha256(f"{given} {revision.commit}".encode())[:16]
    folder = cache / "mirrors" / f"given-{key}"
    told = f"given: {redacted(given)}"

    def make(place: Path) -> str:
        if not _clone(given, revision, place, say):
            raise RunError(
                f"the mirror {redacted(given)} does not give {revision.full} "
                f"({revision.commit[:12]})",
                "See that the address, user and password are right: git ls-remote ADDRESS",
            )
        return told

    origin, made = make_once(folder, make, mirror_damage, say)
    return Mirror((folder / "repo.git").as_uri(), origin, made)


@contextlib.contextmanager
def _told_to_git(url: str) -> Iterator[tuple[str, dict[str, str]]]:
    """An address as git's command line may have it, and git's environment: a password stays in
    a file that only this user reads, and is gone with the call."""
    if redacted(url) == url:
        yield url, git_environment()
        return
    with tempfile.TemporaryDirectory(prefix="jobgen-") as home:
        write_private(Path(home) / ".gitconfig", instead_of(url, [HIDDEN]))
        yield HIDDEN, {**git_environment(), "HOME": home}


def instead_of(address: str, urls: Iterable[str]) -> str:
    """The section of a git config that sends some addresses to another."""
    quoted = address.replace("\\", "\\\\").replace('"', '\\"')
    return f'[url "{quoted}"]\n' + "".join(f"\tinsteadOf = {url}\n" for url in urls)


def write_private(path: Path, text: str) -> None:
    """A file that no other user of the machine can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(text.encode())


def addresses(urls: list[str], cache: Path) -> list[str]:
    """The addresses, the one that last gave a copy first."""
    try:
        last = (cache / LAST).read_text(encoding="utf-8")
    except OSError:
        return urls
    return sorted(urls, key=lambda url: url != last)


def mirror_folder(environment: Environment, cache: Path) -> Path:
    """Where the cached mirror of an environment's suite lies or would lie."""
    name = environment.revision.name.replace("/", "-")
    return cache / "mirrors" / f"{environment.suite.name}-{name}"


def require_pinned(copy: Path, revision: Revision) -> None:
    """A copy of the suite must hold the pinned commit. Raises RunError otherwise."""
    try:
        _git(["-C", str(copy), "cat-file", "-e", f"{revision.commit}^{{commit}}"])
    except (subprocess.SubprocessError, OSError) as error:
        raise RunError(
            f"{copy} does not hold {revision.full} ({revision.commit[:12]})",
            f"Make it where there is a network: git clone --mirror ADDRESS {revision.suite}.git",
        ) from error


def mirror_address(given: str) -> str:
    """An address that git takes with --depth: a bare path ignores it. Raises RunError."""
    if given.startswith(("https://", "ssh://", "file://")):
        return given
    path = Path(given).expanduser().absolute()
    if not path.is_dir():
        raise RunError(f"the mirror {given} is no folder and no https, ssh or file address")
    return path.as_uri()


def _git(arguments: list[str], timeout: float = 600, env: dict[str, str] | None = None) -> str:
    answer = subprocess.run(
        ["git", *arguments],
        env=env or git_environment(),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        check=True,
    )
    return answer.stdout.strip()


def _clone(url: str, revision: Revision, place: Path, say: Say) -> bool:
    """Fetch the one commit from an address; False where it does not give it."""
    with _told_to_git(url) as (address, env):
        try:
            _git(["ls-remote", "--exit-code", address, "HEAD"], ANSWER_TIMEOUT, env)
        except (subprocess.SubprocessError, OSError):
            return False
        say(f"cloning {revision.full} from {redacted(url)} (once) ...")
        return _fetch(address, env, revision, place, say)


def _fetch(url: str, env: dict[str, str], revision: Revision, place: Path, say: Say) -> bool:
    repo = place / "repo.git"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        _git(["init", "-q", "--bare", str(repo)])
        is_commit = COMMIT.match(revision.ref)
        ref = revision.ref if is_commit else f"refs/tags/{revision.ref}:refs/tags/{revision.ref}"
        fetch = ["git", "-C", str(repo), "fetch", "-q", "--depth", "1", url, ref]
        with Path(os.devnull).open("w") as silence:
            if run_with_progress(fetch, env, silence, say, CLONE_TIMEOUT) != 0:
                raise OSError(f"{url} broke off")
        if is_commit:
            _git(["-C", str(repo), "update-ref", "refs/heads/pinned", revision.commit])
        _serve_commits(repo)
        found = _git(["-C", str(repo), "rev-parse", f"{revision.ref}^{{commit}}"])
    except (subprocess.SubprocessError, OSError):
        shutil.rmtree(place, ignore_errors=True)
        return False
    return found == revision.commit


def _serve_commits(repo: Path) -> None:
    _git(["-C", str(repo), "config", "uploadpack.allowAnySHA1InWant", "true"])


def _from_package(revision: Revision, place: Path, wheels: Path | None) -> None:
    """ppdet/ of the PyPI package, the catalogue's configs, jobgen's own tools, in one commit."""
    if revision.package is None:
        raise RunError(
            f"no address of {revision.full} answers, and it is not on PyPI",
            "Try again with a network, or give a clone: --mirror PATH",
        )
    tree = place / "tree"
    tree.mkdir(parents=True)
    argv = [uv_program(), "pip", "install", "-q", "--no-deps", "--target", str(place / "package")]
    answer = subprocess.run(
        [*argv, revision.package],
        env=uv_environment(wheels),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if answer.returncode != 0:
        raise RunError(
            f"{revision.package} could not be fetched: {answer.stderr.strip().splitlines()[-1:]}",
            "Usually the network or the package index: try again later.",
        )
    shutil.move(str(place / "package" / "ppdet"), str(tree / "ppdet"))
    shutil.rmtree(place / "package")
    if code_hash(str(tree)) != revision.parts["ppdet"]:
        raise RunError(f"{revision.package} is not what the catalogue knows under this name")
    shutil.copytree(
        mirror_tools_dir(), tree / "tools", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path, text in config_texts().items():
        target = tree / "configs" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
    _commit(tree, place / "repo.git", revision)
    shutil.rmtree(tree)
    write_atomically(place / OWN, own_digest().encode())


def own_digest() -> str:
    """One text for all that jobgen itself writes into a mirror."""
    return " ".join(sorted(own_parts().values()))


def _commit(tree: Path, repo: Path, revision: Revision) -> None:
    """One commit with fixed author and date, so that its hash is the same everywhere."""
    env = git_environment()
    for who in ("AUTHOR", "COMMITTER"):
        env[f"GIT_{who}_NAME"] = "jobgen"
        env[f"GIT_{who}_EMAIL"] = "jobgen@localhost"
        env[f"GIT_{who}_DATE"] = "2023-02-23T00:00:00 +0000"
    message = f"{revision.full}, put together from {revision.package}"
    for argv in (
        ["init", "-q", str(tree)],
        ["-C", str(tree), "-c", "core.autocrlf=false", "add", "-A", "-f"],
        ["-C", str(tree), "commit", "-q", "-m", message],
        ["-C", str(tree), "tag", revision.ref],
        ["clone", "-q", "--bare", str(tree), str(repo)],
    ):
        subprocess.run(["git", *argv], env=env, check=True, capture_output=True)
    _serve_commits(repo)


def write_git_config(home: Path, mirror: Mirror, urls: list[str]) -> None:
    """A git config for the kernel's HOME that sends the suite's addresses to the mirror."""
    # An address without .git is another address for insteadOf.
    both = [name for url in urls for name in (url, url.removesuffix(".git"))]
    text = "[safe]\n\tdirectory = *\n" + instead_of(mirror.address, both)
    write_private(home / ".gitconfig", text)
    for url in urls:
        env = {**git_environment(), "HOME": str(home)}
        argv = ["git", "ls-remote", "--get-url", url]
        answer = subprocess.run(argv, env=env, **PIPED, check=False)
        if answer.stdout.strip() != mirror.address:
            raise RunError(f"git would not take {url} from the mirror {mirror.address}")
