"""Rules about the archive itself."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from jobgen.check.facts import DataFacts
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, names_hit, whole_set
from jobgen_runtime.data.dataset import DOWNLOADED_NAMES, PLATFORM_BYTES, PLATFORM_FILES

NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z")
ANEW = "Make the archive again from the plain folder, with zip or tar."


def _refused(facts: DataFacts, code: str) -> Iterator[Hit]:
    return names_hit([detail for found, detail in facts.files.faults if found == code])


@whole_set(
    "DS001",
    ERROR,
    why="The data stage refuses the archive before a byte is written.",
    remedy=ANEW,
)
def unsafe_name(facts: DataFacts) -> Iterator[Hit]:
    return _refused(facts, "DS001")


@whole_set(
    "DS002",
    ERROR,
    why="A link can lead out of the folder; the data stage refuses it.",
    remedy="Put the files themselves into the archive (zip without -y, tar with -h), or into the "
    "folder.",
)
def link_or_device(facts: DataFacts) -> Iterator[Hit]:
    return _refused(facts, "DS002")


@whole_set(
    "DS003",
    ERROR,
    why="Nobody is there to type a password in a background job.",
    remedy="Make the archive again without a password.",
)
def encrypted(facts: DataFacts) -> Iterator[Hit]:
    return _refused(facts, "DS003")


@whole_set(
    "DS004",
    ERROR,
    why="The data stage can't unpack it.",
    remedy="Make a zip or tar.gz of the files, and compare its size after the upload.",
)
def unreadable_archive(facts: DataFacts) -> Iterator[Hit]:
    if facts.refused:
        yield Hit(1, (), "", facts.refused)


@whole_set(
    "DS005",
    ERROR,
    why="One would overwrite the other; the data stage refuses both.",
    remedy="Give them different names, and make the archive again.",
)
def clashing_entries(facts: DataFacts) -> Iterator[Hit]:
    return _refused(facts, "DS005")


@whole_set(
    "DS006",
    WARNING,
    "archive within the archive",
    why="It is not unpacked: what lies in it is not there for training.",
    remedy="Unpack it, and put its files into the one archive.",
)
def nested_archive(facts: DataFacts) -> Iterator[Hit]:
    return names_hit(name for name in facts.files.names if name.lower().endswith(NESTED))


@whole_set(
    "DS007",
    NOTE,
    "name that is not plain UTF-8 with forward slashes",
    why="jobgen reads GBK and backslashes; unzip on Linux writes garbled names.",
    remedy="jobgen dataset convert SRC DST.zip --to coco writes plain names.",
)
def foreign_name(facts: DataFacts) -> Iterator[Hit]:
    return names_hit(facts.files.odd_names)


@whole_set(
    "DS008",
    NOTE,
    "file that a system left behind",
    why="It is left out; it only makes the archive larger.",
    remedy="On macOS: zip -r set.zip set -x '*.DS_Store' '__MACOSX/*'",
)
def litter(facts: DataFacts) -> Iterator[Hit]:
    return names_hit(facts.files.litter)


@whole_set(
    "DS009",
    NOTE,
    "more than a background task may leave behind",
    why="A task that leaves 10,000 files or 20 GB behind fails at its very end.",
    remedy='Nothing: CLEANUP = "auto", the default, removes the unpacked data before the end.',
)
def platform_limits(facts: DataFacts) -> Iterator[Hit]:
    files, size = len(facts.files.names), sum(facts.files.sizes.values())
    if facts.files.is_archive and (files > PLATFORM_FILES or size > PLATFORM_BYTES):
        yield Hit(1, (), "", f"{files:,} files, {size / 2**30:.1f} GB")


@whole_set(
    "DS094",
    NOTE,
    "folder that makes PaddleDetection download a data set",
    why="It knows this name, in capitals too, and fetches its own set where something is missing.",
    remedy="Nothing: a job of jobgen's trains on it under another name. In a notebook by hand: "
    "jobgen dataset convert SRC DST.zip renames it.",
)
def downloaded_name(facts: DataFacts) -> Iterator[Hit]:
    root = posixpath.basename(facts.data.layout.root) if facts.data else ""
    if root.lower() in DOWNLOADED_NAMES:
        yield Hit(1, (root,))
