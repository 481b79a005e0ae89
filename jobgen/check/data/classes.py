"""Rules about classes."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator

import numpy as np

from jobgen.check.facts import DataFacts
from jobgen.check.rules import ERROR, NOTE, WARNING, Hit, each_split, names_hit, repair, whole_set
from jobgen.datasets.record import Split
from jobgen.datasets.relabel import plain_name

# The rarest class beside the commonest one: below this, LVIS too speaks of a long tail.
IMBALANCE = 100


@each_split(
    "DS030",
    ERROR,
    why="PaddleDetection stops with a KeyError when it reads the set.",
    remedy="Add the class, or leave its boxes out: " + repair("DS030"),
)
def unknown_class(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    found = split.unknown_classes
    if found is not None and len(found):
        counts = Counter(found.tolist())
        yield Hit(len(found), [f"{n} x category {c}" for c, n in counts.items()], split.place)


@whole_set(
    "DS031",
    ERROR,
    "categories that differ between splits",
    why="Training ends 0 and swaps the labels at evaluation.",
    remedy=repair("DS031"),
)
def different_categories(facts: DataFacts) -> Iterator[Hit]:
    first = facts.splits[0] if facts.splits else None
    for split in facts.splits[1:]:
        if any(t.code == "DS010" for t in split.troubles):
            continue
        if first and split.class_names != first.class_names:
            other = set(split.class_names) != set(first.class_names)
            detail = f"{'other ones' if other else 'another order'} than in {first.place}"
            yield Hit(1, (f"{_listed(first)} | {_listed(split)}",), split.place, detail)
        elif first and split.class_ids.tolist() != first.class_ids.tolist():
            detail = f"other ids than in {first.place}"
            yield Hit(1, (f"{_listed(first)} | {_listed(split)}",), split.place, detail)


def _listed(split: Split) -> str:
    pairs = zip(split.class_names[:6], split.class_ids.tolist(), strict=False)
    return " ".join(f"{name}={number}" for name, number in pairs)


@whole_set(
    "DS032",
    WARNING,
    "class without a box to train on",
    why="The model has an output for it that never learns, and its AP is 0.",
    remedy="Add examples, or take the class out; one without a box in any split: "
    + repair("DS032"),
)
def untrained_class(facts: DataFacts) -> Iterator[Hit]:
    for split in facts.splits[:1]:
        if len(split):
            empty = np.flatnonzero(split.boxes_per_class == 0)
            yield from names_hit([split.class_names[row] for row in empty], split.place)


@whole_set(
    "DS033",
    ERROR,
    why="The data stage stops: num_classes and labels would be wrong.",
    remedy="Correct dataset.classes in job.yaml and build again.",
)
def not_the_jobs(facts: DataFacts) -> Iterator[Hit]:
    if facts.plan is None:
        return
    wanted = list(facts.plan.spec.dataset.classes)
    if facts.plan.spec.dataset.format == "voc":
        # Every class of a VOC set must be the job's; the order is the job's own.
        strange = [name for name in facts.classes if name not in wanted]
        yield from names_hit(strange, "", f"the job has {', '.join(wanted)}")
        return
    for split in facts.splits:
        if split.class_names != wanted and not split.troubles:
            detail = f"{', '.join(split.class_names)}, not {', '.join(wanted)}"
            yield Hit(1, (), split.place, detail)


@each_split(
    "DS034",
    ERROR,
    "two classes of one name",
    why="job.yaml can't name them both, and no picture tells them apart.",
    remedy="Join them, or give one another name.",
)
def same_name(_facts: DataFacts, split: Split) -> Iterator[Hit]:
    counts = Counter(split.class_names)
    return names_hit([name for name, count in counts.items() if count > 1], split.place)


@whole_set(
    "DS035",
    WARNING,
    "classes whose names differ in case, blanks or dashes only",
    why="They are most likely one: the model would have to tell apart what looks the same.",
    remedy="If they are: jobgen dataset classes SRC DST.zip --merge A,B=NAME",
)
def classes_alike(facts: DataFacts) -> Iterator[Hit]:
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(facts.classes):
        alike.setdefault(plain_name(name), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            joined = shlex.quote(f"{','.join(names)}={names[0]}")
            remedy = f"If they are one: jobgen dataset classes SRC DST.zip --merge {joined}"
            yield Hit(len(names), names, "", remedy=remedy)


@whole_set(
    "DS092",
    NOTE,
    "rare class",
    why="The commonest class has over a hundred boxes for each of its.",
    remedy="Add examples of it, or expect a low AP for it.",
)
def imbalance(facts: DataFacts) -> Iterator[Hit]:
    for split in facts.splits[:1]:
        counts = split.boxes_per_class
        most = int(counts.max(initial=0))
        rare = np.flatnonzero((counts > 0) & (counts * IMBALANCE < most))
        examples = [f"{split.class_names[row]} {counts[row]} of {most}" for row in rare]
        yield from names_hit(examples, split.place)
