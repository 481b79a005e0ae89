"""What lies in a source in which no data set was found, and the way from there to one."""

from __future__ import annotations

import posixpath

from jobgen.datasets.contents import Contents
from jobgen.datasets.formats import FORMATS
from jobgen.datasets.formats.places import head_of
from jobgen.datasets.headers import is_image

# Kinds of files by their endings, and the way from each to a set that is read.
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "CSV": (
        (".csv", ".tsv"),
        "say which column is what: --columns image=NAME,label=NAME,x1=NAME,y1=NAME,x2=NAME,y2=NAME "
        "(or cx,cy,w,h; or bbox)",
    ),
    "Excel tables": (
        (".xlsx", ".xls"),
        "save the table as CSV with the columns image, label, xmin, ymin, xmax and ymax",
    ),
    "TFRecord files": (
        (".tfrecord", ".tfrecords", ".record"),
        "export the set as COCO or Pascal VOC where it comes from; TFRecord holds it for "
        "TensorFlow only",
    ),
    "MATLAB files": (
        (".mat",),
        "write the boxes as CSV with the columns image, label, xmin, ymin, xmax and ymax",
    ),
    "Parquet or Arrow files": (
        (".parquet", ".arrow", ".feather"),
        "write the images as files, and the boxes as CSV with the columns image, label, xmin, "
        "ymin, xmax and ymax",
    ),
    "arrays": (
        (".npz", ".npy", ".h5", ".hdf5", ".pkl"),
        "write the images as files, and the boxes as CSV with the columns image, label, xmin, "
        "ymin, xmax and ymax",
    ),
    "videos": (
        (".mp4", ".avi", ".mov", ".mkv"),
        "export the frames as images with their boxes, such as CVAT does with `Save images`",
    ),
    "JSON": ((".json",), "export it as COCO, LabelMe or Pascal VOC from the tool that wrote it"),
    "XML": ((".xml",), "export it as COCO or Pascal VOC from the tool that wrote it"),
    "txt": ((".txt",), "export it as COCO, Pascal VOC or YOLO from the tool that wrote it"),
}
NO_LABELS = "label the images, such as with LabelMe, LabelImg, CVAT or X-AnyLabeling: all are read"


def seen(files: Contents) -> str:
    """What lies there, in words: `12 JSON, 3 images`; a CSV with the columns it has."""
    counts = {word: len(_named(files, endings)) for word, (endings, _) in KINDS.items()}
    counts["images"] = sum(map(is_image, files.names))
    said = [f"{count:,} {word}" for word, count in counts.items() if count]
    tables = _named(files, KINDS["CSV"][0])
    if tables:
        first = head_of(files, tables[0]).partition("\n")[0].strip()[:80]
        said.append(f"{posixpath.basename(tables[0])} begins with: {first}")
    return ", ".join(said) or "nothing"


def way_out(files: Contents) -> str:
    """The nearest way from what lies there to a set that is read."""
    for endings, way in KINDS.values():
        if _named(files, endings):
            return way[0].upper() + way[1:]
    return NO_LABELS[0].upper() + NO_LABELS[1:]


def all_formats() -> str:
    """The formats that are read, in words."""
    return ", ".join(module.READS for module in FORMATS.values())


def _named(files: Contents, endings: tuple[str, ...]) -> list[str]:
    return [name for name in files.names if name.lower().endswith(endings)]
