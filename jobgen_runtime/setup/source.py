"""The `source` stage: the suite at its pinned revision, verified, its known faults fixed."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from typing import Any, Dict, List, Optional, Sequence

from jobgen_runtime.children.processes import child_environment, exit_text, last_words, run_logged
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import note, outcome, summary
from jobgen_runtime.record.text import redacted

CLONE_TRIES = 2
SLOW_NETWORK = ["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"]
# A clone's own settings could name programs for git to start.
NO_HELPERS = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.devnull]
NO_HELPERS += ["-c", "log.showSignature=false"]
CLONE_MARK = "jobgen-clone"
# All of a clone that is run, or read by a loader that can run what stands there.
PARTS_RUN = ("ppdet", "ppcls", "tools", "configs")
CODE_ENDINGS = (".py", ".pyc", ".pyd", ".so", ".pth")
COMMIT = re.compile(r"[0-9a-f]{40}")


def git(arguments: List[str], cwd: Optional[str] = None) -> str:
    """The output of a short git command; empty where it fails."""
    try:
        answer = subprocess.run(
            ["git"] + NO_HELPERS + arguments,
            cwd=cwd,
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace").strip() if answer.returncode == 0 else ""


def clone(
    urls: List[str],
    revision: str,
    folder: str,
    timeout: float,
    pause: float = 3.0,
    suite: str = "PaddleDetection",
) -> str:
    """Clone `revision` (a tag, or a commit) from the first address that gives it.

    A clone of an earlier run is used again. What is half done lies in a folder of
    another name and is never taken for a clone. Gives the address used.
    """
    if shutil.which("git") is None:
        raise StageError(
            "git is not installed", "Install git, then run the job again.", cause="source"
        )
    if os.path.isdir(os.path.join(folder, ".git")) and git(["rev-parse", "HEAD"], folder):
        origin = git(["config", "remote.origin.url"], folder)
        outcome().event("clone", url=origin, kept=True)
        return origin
    if os.path.exists(folder) and os.listdir(folder):
        raise StageError(
            "%s is there already and is no git clone" % folder,
            "Move it away, then run the job again.",
            cause="source",
        )
    said: List[str] = []
    for url in urls:
        for attempt in range(1, CLONE_TRIES + 1):
            fault = _clone_once(url, revision, folder, timeout)
            outcome().event("clone", url=url, attempt=attempt, fault=fault)
            if fault is None:
                return url
            print(redacted("%-10s%s: %s" % ("", url, fault)), flush=True)
            said.append("%s: %s" % (url, fault))
            if attempt < CLONE_TRIES:
                time.sleep(pause)
    raise StageError(
        "%s %s could not be cloned from any of %d addresses; the last said: %s"
        % (suite, revision, len(urls), said[-1] if said else "nothing, as there is none"),
        "Usually the network: start the job again later. The log has what each address said.",
        cause="network",
        log=outcome().log_path("source"),
        tail=said,
    )


def _clone_once(url: str, revision: str, folder: str, timeout: float) -> Optional[str]:
    """One try; None, or what went wrong."""
    if not re.match(r"(https|ssh|file)://[^-]", url):
        return "only https://, ssh:// and file:// addresses are used"
    half = folder + ".cloning"
    shutil.rmtree(half, ignore_errors=True)
    os.makedirs(os.path.dirname(folder) or ".", exist_ok=True)
    log = outcome().log_path("source")
    base = ["git", "-c", "core.autocrlf=false"] + SLOW_NETWORK
    if COMMIT.match(revision):
        ways = [
            [
                ["git", "init", "-q", half],
                ["git", "-C", half, "remote", "add", "origin", url],
                base + ["-C", half, "fetch", "-q", "--depth", "1", "origin", revision],
                ["git", "-C", half, "checkout", "-q", "FETCH_HEAD"],
            ],
            [
                base + ["clone", "-q", "--no-checkout", url, half],
                ["git", "-C", half, "checkout", "-q", revision],
            ],
        ]
    else:
        ways = [[base + ["clone", "--depth", "1", "--branch", revision, "--", url, half]]]
    fault: Optional[str] = None
    for way in ways:
        shutil.rmtree(half, ignore_errors=True)
        fault = _run_all(way, log, timeout)
        if fault is None:
            drop_bytecode(half)
            with open(os.path.join(half, ".git", CLONE_MARK), "w", encoding="utf-8") as stream:
                stream.write(url + "\n")
            os.rename(half, folder)
            return None
    shutil.rmtree(half, ignore_errors=True)
    return fault


def _run_all(commands: List[List[str]], log: str, timeout: float) -> Optional[str]:
    for argv in commands:
        finished = run_logged(argv, log, timeout=timeout, quiet=True)
        if finished.exit_status != 0 or finished.timed_out:
            return "git %s: %s" % (exit_text(finished), last_words(finished.tail))
    return None


def cloned_here(folder: str) -> bool:
    """Whether a job cloned this folder, and nobody else did."""
    return os.path.isfile(os.path.join(folder, ".git", CLONE_MARK))


def is_run_code(relative: str) -> bool:
    """Whether a file of a clone is run, or is a config that every model is built on.

    Of ppdet/ is left out what a package of the same release leaves out or adds: the C++
    extensions' scripts (`ext_op/`) and the generated `ppdet/version.py`.
    """
    if relative.startswith("configs/"):
        return relative == "configs/runtime.yml" or "/_base_/" in relative
    if "/ext_op/" in relative or relative == "ppdet/version.py":
        return False
    return relative.startswith(("ppdet/", "ppcls/", "tools/")) and relative.endswith(CODE_ENDINGS)


def code_files(folder: str, part: str) -> List[str]:
    """The files of a part of PARTS_RUN that are run, relative to the clone, with `/`."""
    found = []
    for place, folders, names in os.walk(os.path.join(folder, part)):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            relative = os.path.relpath(os.path.join(place, name), folder).replace(os.sep, "/")
            if is_run_code(relative):
                found.append(relative)
    return sorted(found)


def unfixed(relative: str, content: bytes, fixes: Sequence[Dict[str, Any]]) -> bytes:
    """A file's content with `\n`, as it was before `fixes`."""
    content = content.replace(b"\r\n", b"\n")
    for fix in fixes:
        if fix["file"] == relative:
            new, old = fix["new"].encode("utf-8"), fix["old"].encode("utf-8")
            content = content.replace(new, old)
    return content


def listing_hash(files: Dict[str, bytes]) -> str:
    """SHA-256 over the sorted (path, SHA-256) list of some files."""
    rows = ["%s %s\n" % (name, hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    return hashlib.sha256("".join(sorted(rows)).encode("utf-8")).hexdigest()


def code_hash(folder: str, part: str = "ppdet", fixes: Sequence[Dict[str, Any]] = ()) -> str:
    """The listing_hash of a part of a clone, as it was before `fixes`."""
    files = {}
    for relative in code_files(folder, part):
        with open(os.path.join(folder, *relative.split("/")), "rb") as stream:
            files[relative] = unfixed(relative, stream.read(), fixes)
    return listing_hash(files)


def changed_files(folder: str, fixes: Sequence[Dict[str, Any]] = ()) -> List[str]:
    """Of the files that run those that are not as the clone's commit has them, new ones too.

    git itself is not asked: it can be told to overlook a file, and starts what its settings name.
    """
    listed: Dict[str, str] = {}
    for row in git(["ls-tree", "-r", "-z", "HEAD", "--"] + list(PARTS_RUN), folder).split("\0"):
        facts, _, name = row.partition("\t")
        if len(facts.split()) == 3:
            listed[name] = facts.split()[2]
    found = []
    there = [name for part in PARTS_RUN for name in code_files(folder, part)]
    for name in there:
        with open(os.path.join(folder, *name.split("/")), "rb") as stream:
            raw = stream.read()
        blobs = [raw, raw.replace(b"\r\n", b"\n"), unfixed(name, raw, fixes)]
        if listed.get(name, "") not in [blob_name(blob) for blob in blobs]:
            found.append(name)
    gone = [name for name in listed if name not in there and is_run_code(name)]
    return sorted(found + gone)


def blob_name(content: bytes) -> str:
    """What git calls a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def drop_bytecode(folder: str) -> None:
    """Remove compiled files that came with a clone: Python may run them unseen in place of the
    sources."""
    for part in PARTS_RUN:
        for place, folders, _ in os.walk(os.path.join(folder, part)):
            if "__pycache__" in folders:
                folders.remove("__pycache__")
                shutil.rmtree(os.path.join(place, "__pycache__"))


def _what_git_says(folder: str, revision: str) -> Dict[str, Any]:
    """The address that git really uses, which `insteadOf` may have replaced, and what the commit
    says of itself: a mirror that was put together from packages names them."""
    return {
        "revision": revision,
        "commit": git(["rev-parse", "HEAD"], folder),
        "url": git(["ls-remote", "--get-url", "origin"], folder),
        "subject": git(["log", "-1", "--format=%s"], folder),
    }


def verify_source(
    folder: str,
    revision: str,
    hashes: Dict[str, Any],
    fixes: Sequence[Dict[str, Any]] = (),
    allow_unpinned: bool = False,
    suite: str = "PaddleDetection",
) -> None:
    """See that the clone is the pinned suite, by commit or by the content of all that is run.
    `hashes` has the `commit`, and for each part of the suite the contents that are known."""
    if not cloned_here(folder):
        drop_bytecode(folder)
    found = _what_git_says(folder, revision)
    head = found["commit"][:12]
    shown = "%s (%s) from %s" % (revision[:12], head, found["url"])
    parts = [part for part in PARTS_RUN if part in hashes]
    others = [p for p in parts if code_hash(folder, p, fixes) not in hashes[p]]
    if found["commit"] == hashes["commit"]:
        found["verified"] = "commit"
        found["pinned"] = hashes["commit"]
        summary("%s, verified by its commit" % shown)
    elif not others:
        found["verified"] = "content"
        found["pinned"] = hashes["commit"]
        note(
            "the clone's commit (%s) is not %s, but what is run of it is the same, file by file"
            % (found["subject"] or head, hashes["commit"][:12])
        )
        summary("%s, verified by the content of its code" % shown)
    elif allow_unpinned:
        found["verified"] = "no"
        note("ALLOW_UNPINNED: the clone is not the %s that the bundle was made for" % suite)
        summary("%s, not verified" % shown)
    else:
        raise _another_suite(folder, "%s %s" % (suite, revision), head, others, suite)
    strange = changed_files(folder, fixes)
    if strange:
        note("files of the clone were changed by hand: %s" % ", ".join(strange[:5]))
    outcome().data["source"] = dict(found, changed=strange, fixes=[])


def _another_suite(
    folder: str, wanted: str, head: str, others: List[str], suite: str
) -> StageError:
    return StageError(
        "the clone in %s is not %s: its commit is %s, and its %s differs"
        % (folder, wanted, head or "unknown", " and ".join(part + "/" for part in others)),
        "Remove that folder to clone anew (or the mirror that it came from; a bundle of an older "
        "jobgen: build it again). To use another %s on purpose, set ALLOW_UNPINNED = True." % suite,
        cause="source",
    )


def apply_fixes(folder: str, fixes: List[Dict[str, Any]]) -> None:
    """Cure known faults of this revision by exact-match replacement, each recorded.

    A fix is `{"id", "file", "old", "new", "why"}`. It is `applied`, found `there
    already`, or `not applicable` where neither text is found.
    """
    records = []
    for fix in fixes:
        path = os.path.join(folder, *fix["file"].split("/"))
        state = "not applicable"
        if os.path.isfile(path):
            with open(path, encoding="utf-8", newline="") as stream:
                text = stream.read()
            if fix["new"] in text:
                state = "there already"
            elif text.count(fix["old"]) == 1:
                with open(path, "w", encoding="utf-8", newline="") as stream:
                    stream.write(text.replace(fix["old"], fix["new"]))
                state = "applied"
        records.append({"id": fix["id"], "file": fix["file"], "why": fix["why"], "state": state})
        if state == "not applicable":
            note("fix %s is not applicable: %s reads otherwise" % (fix["id"], fix["file"]))
    outcome().data["source"]["fixes"] = records
    outcome().event("fixes", fixes=records)
