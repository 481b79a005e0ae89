"""The disk of a background task, as the steps of a notebook made by hand fill it.

For any path it answers yes, no, or None: not known. A task starts with the files of the version
in the home and with the mounted data in data/; PaddleDetection's clone is known at its top.
Whatever can't be followed makes every later answer None instead of no.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from jobgen.catalog import config_texts, environments, families
from jobgen.check.steps import Step, Steps
from jobgen.check.taskplaces import (
    CLONE_ONLY,
    CLONE_TOPS,
    HOME,
    OPEN_IN_HOME,
    QUIET,
    TOOLS,
    UNPACKERS,
)

YAML_ENDINGS = (".yml", ".yaml")
MOST_PATTERN = 300
SUBSTITUTION = re.compile(r"s(?P<sep>[/|#@,%])(?P<old>.*)(?P=sep)(?P<new>.*)(?P=sep)(?P<flags>g?)")


@dataclass(frozen=True)
class Training:
    """A run of one of PaddleDetection's tools: its config, options, and the files as they are."""

    step: Step
    clone: str
    config: str  # absolute
    options: tuple[str, ...]
    texts: Mapping[str, str]  # by absolute path: what is known below the clone
    missing: tuple[str, ...]  # files of the upload that are not where it reads them

    @property
    def trains(self) -> bool:
        return self.step.tool.endswith("train.py")


@dataclass
class TaskFiles:
    """What is on the disk after the steps that were followed."""

    uploads: Mapping[str, str]
    # What the archives given hold, by the archive's name.
    archives: Mapping[str, frozenset[str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    # Folders of archives whose every file is known.
    whole: set[str] = field(default_factory=set)
    clones: dict[str, str] = field(default_factory=dict)
    unsure: bool = False
    trainings: list[Training] = field(default_factory=list)
    # Steps that read what is not there: (kind, step, path).
    missing: list[tuple[str, Step, str]] = field(default_factory=list)
    unpacked: list[tuple[Step, str]] = field(default_factory=list)
    not_followed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open |= {f"{HOME}/{name}" for name in OPEN_IN_HOME}
        self.there.add(HOME)
        for name, text in self.uploads.items():
            self.write(f"{HOME}/{name}", text)

    def has(self, path: str) -> bool | None:
        """Whether a file or folder is there; None where that is not known."""
        path = posixpath.normpath(path)
        if any(letter in path for letter in "{}$*?`"):
            return None
        if path in self.there or path in self.texts:
            return True
        clone = self.clone_of(path)
        if not self.unsure and any(_below(path, folder) for folder in self.whole):
            return False
        if self.unsure or self.is_open(path):
            return None
        if clone is not None:
            return None if path[len(clone) + 1 :].partition("/")[0] in CLONE_TOPS else False
        return False if _below(path, HOME) and not path.startswith(f"{HOME}/.") else None

    def is_open(self, path: str) -> bool:
        """Whether anything may be at a path. What is unpacked into the home makes no folder there
        that only PaddleDetection has, and nothing in its clone."""
        inside = {path, *_parents(path)}
        own = any(_below(path, f"{HOME}/{name}") for name in CLONE_ONLY)
        clone = self.clone_of(path)
        if own or clone:
            inside -= {HOME, *_parents(clone or HOME)}
        return bool(self.open & inside)

    def clone_of(self, path: str) -> str | None:
        """The clone of PaddleDetection that a path is in."""
        return next((c for c in self.clones if path == c or _below(path, c)), None)

    def write(self, path: str, text: str | None) -> None:
        """Put a file there, with its text where that is known."""
        path = posixpath.normpath(path)
        self.there |= {path, *_parents(path)}
        if text is None:
            self.texts.pop(path, None)
        else:
            self.texts[path] = text

    def follow(self, found: Steps) -> None:
        """Take the steps in their order."""
        self.unsure = bool(found.makers)
        self.not_followed += found.makers
        for step in found.steps:
            self.take(step)

    def take(self, step: Step) -> None:  # noqa: C901 - one program after the other
        name = posixpath.basename(step.words[0])
        words = [word for word in step.words[1:] if not word.startswith("-")]
        if name == "%%writefile":
            self.write(step.path(step.words[1]), step.text or None)
        elif name == "git":
            self.git(step, words)
        elif name in ("cp", "mv") and len(words) > 1:
            self.copy(step, words, moved=name == "mv")
        elif name == "mkdir":
            for word in words:
                path = step.path(word)
                self.there |= {path, *_parents(path)}
        elif name in UNPACKERS:
            self.unpack(step, name, words)
        elif name == "sed":
            self.edit(step, words)
        elif name in ("ln", "rsync", "wget", "curl", "aistudio", "hub"):
            self.open |= {step.folder, *(step.path(word) for word in words[-1:])}
        elif step.tool:
            self.python(step)
        elif name.startswith("python") and words[:1] == []:
            return  # `python -m pip`, `python -V`
        elif name in ("bash", "sh") and any(posixpath.basename(w) in self.uploads for w in words):
            return  # its own steps follow
        elif name not in QUIET and "=" not in name and not name.startswith("{"):
            self.anywhere_near(step)
            self.not_followed.append(step.place)

    def anywhere_near(self, step: Step) -> None:
        """A program that is not known: it may make any file in its folder or at a path it is
        given."""
        named = {step.path(word.rpartition("=")[2]) for word in step.words[1:] if "/" in word}
        self.open |= {step.folder, *named}

    def git(self, step: Step, words: list[str]) -> None:
        if words[:1] != ["clone"]:
            return
        values = {value for option in ("-b", "--branch", "--depth", "-o", "--origin", "-j", "-c")
                  for value in step.options(option)}  # fmt: skip
        words = [word for word in words[1:] if word not in values]
        if not words:
            return
        url = words[0].rstrip("/")
        name = posixpath.basename(url).removesuffix(".git")
        target = step.path(words[1] if len(words) > 1 else name)
        self.there |= {target, *_parents(target)}
        if name.lower() != "paddledetection":
            self.open.add(target)
            return
        branch = self.clones[target] = next(iter(step.options("-b", "--branch")), "")
        # Of other branches nobody here knows what they have.
        known = branch in {environment.revision.name for environment in environments().values()}
        absent = {family.folder for family in families().values()
                  if known and family.revisions and branch not in family.revisions}  # fmt: skip
        for path, text in config_texts().items():
            if path.partition("/")[0] not in absent:
                self.write(f"{target}/configs/{path}", text)

    def copy(self, step: Step, words: list[str], *, moved: bool) -> None:
        target = step.path(words[-1])
        sources = [path for word in words[:-1] for path in self.matching(step, word)]
        into = words[-1].endswith("/") or len(sources) > 1 or self.is_folder(target)
        parent = target if into and words[-1].endswith("/") else posixpath.dirname(target)
        if self.has(parent) is False and self.has(target) is not True:
            self.missing.append(("target", step, words[-1]))
        for source in sources:
            if self.has(source) is False:
                self.missing.append(("file", step, source))
            path = f"{target}/{posixpath.basename(source)}" if into else target
            if source not in self.texts and not posixpath.splitext(source)[1]:
                whole = "*" in path or target not in self.there
                self.open.add(target if whole else path)
            self.write(path, self.texts.get(source))
            if moved:
                self.texts.pop(source, None)
                self.there.discard(source)

    def matching(self, step: Step, word: str) -> list[str]:
        path = step.path(word)
        if not any(letter in word for letter in "*?["):
            return [path]
        found = [known for known in self.texts if fnmatch.fnmatchcase(known, path)
                 and known.count("/") == path.count("/")]  # fmt: skip
        return found or [path]

    def is_folder(self, path: str) -> bool:
        if path in self.texts:
            return False
        known = any(_below(other, path) for other in self.there)
        return known or path in self.there or not posixpath.splitext(path)[1]

    def unpack(self, step: Step, name: str, words: list[str]) -> None:
        flag = "-d" if name == "unzip" else "-C"
        folder = step.path(next(iter(step.options(flag, "--directory")), "."))
        archives = [w for w in words if re.search(r"\.(zip|tar|tgz|gz|bz2|xz|7z|rar)$", w)]
        for number, word in enumerate(step.words):  # `-d../x`, `-o../x`
            if number and re.match(r"-[doC][./~]", word):
                folder = step.path(word[2:])
        self.there |= {folder, *_parents(folder)}
        for archive in archives:
            path = step.path(archive)
            self.unpacked.append((step, path))
            if self.has(path) is False:
                self.missing.append(("archive", step, archive))
            names = self.archives.get(posixpath.basename(path))
            if names is None:
                self.open.add(folder)
                continue
            for inner in names:
                self.there |= {f"{folder}/{inner}", *_parents(f"{folder}/{inner}")}
                self.whole.add(f"{folder}/{inner.partition('/')[0]}")
        if not archives:
            self.open.add(folder)

    def edit(self, step: Step, words: list[str]) -> None:
        """`sed -i s/a/b/ FILE`, as far as the texts are plain."""
        if not any(word.startswith(("-i", "--in-place")) for word in step.words):
            return
        expressions = [*step.options("-e", "--expression")] or words[:1]
        files = [word for word in words if word not in expressions]
        for path in (path for word in files for path in self.matching(step, word)):
            text = self.texts.get(path)
            if text is None:
                self.write(path, None)
                continue
            for expression in expressions:
                found = SUBSTITUTION.fullmatch(expression)
                try:
                    if found is None or not _is_quick(found["old"]):
                        raise re.error("not understood")
                    old = re.compile(_python_pattern(found["old"]), re.MULTILINE)
                    new = re.sub(r"\\(\d)|&", lambda m: f"\\g<{m[1] or 0}>", found["new"])
                    count = 0 if found["flags"] else 1
                    lines = [old.sub(new, line, count=count) for line in text.split("\n")]
                    text = "\n".join(lines)
                except (re.error, IndexError):
                    self.not_followed.append(step.place)
            self.write(path, text)

    def python(self, step: Step) -> None:
        path = step.path(step.tool)
        known = posixpath.basename(path) in TOOLS and "tools/" in f"/{step.tool}"
        if self.has(path) is False:
            self.missing.append(("script", step, step.tool))
        if not known:
            if posixpath.basename(path) == "setup.py":
                return
            self.anywhere_near(step)
            if posixpath.basename(path) not in self.uploads:
                self.not_followed.append(step.place)
            return
        clone = self.clone_of(path) or posixpath.dirname(posixpath.dirname(path))
        for value in step.options("-r", "--resume"):
            spots = [step.path(value), *(step.path(f"{value}{e}") for e in (".pdparams", ".pdopt"))]
            if all(self.has(spot) is False for spot in spots):
                self.missing.append(("checkpoint", step, value))
        config = next(iter(step.options("-c", "--config")), None)
        if config is not None:
            self.trainings.append(self.training(step, clone, step.path(config)))
        self.open |= {f"{step.folder}/output", f"{clone}/output", f"{step.folder}/output_inference"}
        for value in step.options("--output_dir", "--save_dir", "-o"):
            self.open.add(step.path(value.removeprefix("save_dir=")))

    def training(self, step: Step, clone: str, config: str) -> Training:
        options: list[str] = []
        for number, word in enumerate(step.words):
            if word in ("-o", "--opt"):
                options = []
                for following in step.words[number + 1 :]:
                    if following.startswith("-"):
                        break
                    options.append(following)
        kept = dict(self.texts)
        missing: list[str] = []
        # What is missing is told, and judged as if it were there.
        while lost := [path for path in self.chain(config) if self.lost(path)]:
            missing += lost
            self.texts.update(
                (path, self.uploads.get(posixpath.basename(path), "")) for path in lost
            )
        texts, self.texts = self.texts, kept
        return Training(step, clone, config, tuple(options), dict(texts), tuple(missing))

    def chain(self, config: str, seen: set[str] | None = None) -> Iterable[str]:
        """A config and the bases it names, each once, as far as their texts are known."""
        seen = set() if seen is None else seen
        seen.add(config)
        yield config
        found = re.search(r"_BASE_\s*:\s*(\[[^\]]*\]|(?:\s*-\s*\S+)+)", self.texts.get(config, ""))
        for base in re.findall(r"[\w./~+-]+\.ya?ml", found[1] if found else ""):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(config), base))
            if path not in seen:
                yield from self.chain(path, seen)

    def lost(self, path: str) -> bool:
        """Whether a file of the upload is meant that nobody put there."""
        name = posixpath.basename(path)
        named = {posixpath.basename(known) for known in self.texts if known.endswith(YAML_ENDINGS)
                 and self.clone_of(known) is None}  # fmt: skip
        return path not in self.texts and path not in self.there and not self.unsure and (
            name in named and not self.is_open(path)
        )  # fmt: skip


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _parents(path: str) -> set[str]:
    return {str(parent) for parent in PurePosixPath(path).parents if str(parent) not in ("/", ".")}


def _is_quick(pattern: str) -> bool:
    """Whether matching ends soon on any line: no repeated group, and few repetitions at all."""
    return len(pattern) <= MOST_PATTERN and not (
        re.search(r"\\\)(?:\*|\\[+?{])", pattern) or len(re.findall(r"\*|\\[+{]", pattern)) > 2
    )


def _python_pattern(pattern: str) -> str:
    """A basic regular expression of sed as Python's: there ( ) { } + ? | are plain letters."""
    found, escaped = "", False
    for letter in pattern:
        special = letter in "(){}+?|"
        if escaped:
            found += letter if special else f"\\{letter}"
        elif letter != "\\":
            found += f"\\{letter}" if special else letter
        escaped = letter == "\\" and not escaped
    return found
