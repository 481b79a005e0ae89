"""The `data` stage of a classification: unpack, read, compare, and write the lists to train on."""

import os
from typing import Any, Dict, List, Tuple

from jobgen_runtime.classify.lists import (
    Row,
    Trouble,
    are_numbers,
    counts,
    list_text,
    rows_digest,
    rows_of_folder,
    rows_of_list,
)
from jobgen_runtime.data.archives import is_litter
from jobgen_runtime.data.dataset import made_folder, place_sources, root_folder
from jobgen_runtime.data.faults import fault_text
from jobgen_runtime.record.errors import StageError
from jobgen_runtime.record.outcome import adjust, note, outcome, summary
from jobgen_runtime.record.text import write_text_atomically

SMOKE_EVAL_IMAGES = 8
SHOWN = 3


def place_classes(
    home: str, dataset: Dict[str, Any], name: str, smoke_images: int = 0
) -> Dict[str, Any]:
    """The whole stage. Gives the data's place on this machine:

    `{"train": {"folder", "list", "images"}, "eval": {...}, "most_common": share of the most
    common class of the evaluation's images, "sha256": {"train", "eval"}}`; the lists have an image
    below `folder`, a tab and the number of its class in a line. With `smoke_images` they are short.
    Raises StageError for data that is another set than the job's.
    """
    folder = place_sources(home, dataset["sources"])
    root = root_folder(folder, dataset["root"])
    place: Dict[str, Any] = {"sha256": {}}
    texts = {split: _list_of(root, dataset, split) for split in ("train", "eval")}
    numbered = are_numbers(texts.values(), dataset["classes"])
    found = {}
    for split in ("train", "eval"):
        where, rows = _read_split(root, dataset, split, texts[split], numbered)
        digest = rows_digest(rows)
        place["sha256"][split] = digest
        _refuse_missing(split, where, rows)
        _compare(split, rows, digest, (dataset.get("expect") or {}).get(split))
        found[split] = counts(rows, dataset["classes"])
        used = rows
        if smoke_images:
            wanted = smoke_images if split == "train" else SMOKE_EVAL_IMAGES
            used = first_of_each(rows, wanted)
            adjust("%s images" % split, len(rows), len(used), "smoke run")
        path = os.path.join(made_folder(folder, name), "classes", split + ".txt")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_text_atomically(path, list_text(used))
        place[split] = {"folder": where, "list": path, "images": len(used)}
    most = max(found["eval"].values())
    place["most_common"] = round(most / float(sum(found["eval"].values())), 6)
    place["train_images"] = place["train"]["images"]
    outcome().data["dataset"] = dict(place, counts=found)
    summary(
        "%d + %d images of %d classes%s"
        % (
            sum(found["train"].values()),
            sum(found["eval"].values()),
            len(dataset["classes"]),
            ", as expected" if dataset.get("expect") else "",
        )
    )
    return place


def first_of_each(rows: List[Row], wanted: int) -> List[Row]:
    """At most `wanted` rows, of every class in turn."""
    by_class: Dict[int, List[Row]] = {}
    for row in rows:
        by_class.setdefault(row.number, []).append(row)
    found: List[Row] = []
    turn = 0
    while len(found) < min(wanted, len(rows)):
        for number in sorted(by_class):
            if turn < len(by_class[number]) and len(found) < wanted:
                found.append(by_class[number][turn])
        turn += 1
    return found


def _list_of(root: str, dataset: Dict[str, Any], split: str) -> str:
    """The text of a split's list; empty for a folder of classes."""
    name = dataset[split]["list"]
    if name is None:
        return ""
    path = os.path.join(root, *name.split("/"))
    if not os.path.isfile(path):
        raise _fault(split, "CL024", name)
    with open(path, "rb") as stream:
        return as_text(stream.read())


def _read_split(
    root: str, dataset: Dict[str, Any], split: str, text: str, numbered: bool
) -> Tuple[str, List[Row]]:
    """The folder that the images lie below, and their rows."""
    files = dataset[split]
    if files["folder"] is not None:
        where = os.path.join(root, *files["folder"].split("/"))
        if not os.path.isdir(where):
            raise _fault(split, "CL024", files["folder"])
        rows, troubles = rows_of_folder(_names_below(where), dataset["classes"])
    else:
        where = os.path.join(root, *files["images"].split("/")) if files["images"] else root
        rows, troubles = rows_of_list(text, dataset["classes"], files["list"], numbered)
    if troubles:
        raise _fault(split, troubles[0].code, _shown(troubles))
    return where, rows


def as_text(data: bytes) -> str:
    """UTF-8, else GBK, as editors on Chinese Windows write."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030", "replace")


def _names_below(folder: str) -> List[str]:
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        below = (os.path.relpath(os.path.join(place, name), folder) for name in names)
        found += [name.replace(os.sep, "/") for name in below]
    return [name for name in found if not is_litter(name)]


def _shown(troubles: List[Trouble]) -> str:
    same = [t.place for t in troubles if t.code == troubles[0].code]
    return ", ".join(same[:SHOWN]) + (", ..." if len(same) > SHOWN else "")


def _fault(split: str, code: str, detail: str) -> StageError:
    return StageError(
        "%s: %s" % (split, fault_text(code, detail)),
        "jobgen check on the data says more; correct the data or job.yaml, and build again.",
        cause="data",
    )


def _compare(split: str, rows: List[Row], digest: str, expect: Any) -> None:
    """Stop where the mounted data is another set than the one the job was made from."""
    if not expect:
        note("%s: %d images; the job expects nothing to compare with" % (split, len(rows)))
        return
    if expect["images"] == len(rows) and expect.get("sha256") in (None, digest):
        return
    differs = "" if expect["images"] != len(rows) else " with other names or classes"
    detail = "it has %d images, expected were %d%s" % (len(rows), expect["images"], differs)
    raise _fault(split, "CL025", detail)


def _refuse_missing(split: str, where: str, rows: List[Row]) -> None:
    gone = [row.path for row in rows if not os.path.isfile(os.path.join(where, row.path))]
    if gone:
        raise _fault(split, "CL026", "%d, as %s" % (len(gone), gone[0]))
    twice = len(rows) - len({row.path for row in rows})
    if twice:
        note("%s: %d lines name an image that another one names too" % (split, twice))
    if not rows:
        raise _fault(split, "CL027", split)
