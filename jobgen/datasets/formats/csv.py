"""CSV with a row for each box: its columns are found by their names, or said (`--columns`).

Known without names are `path,x1,y1,x2,y2,class` as keras-retinanet reads it, the same with the
class second, and `set,path,label,x1,y1,,,x2,y2,,` of Google AutoML.
"""

from __future__ import annotations

import csv
import io
import math
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobgen.datasets.contents import Contents, decoded
from jobgen.datasets.formats.gather import Box, Gathered, Shapes, data_set, number
from jobgen.datasets.formats.openimages import is_open_images
from jobgen.datasets.formats.places import (
    by_name,
    files_of,
    head_of,
    images_of,
    layouts_of,
    texts_like,
)
from jobgen.datasets.formats.via import is_via_csv
from jobgen.datasets.found import split_word
from jobgen.datasets.headers import is_image
from jobgen.datasets.record import EVAL, TRAIN, DataSet, Layout
from jobgen.errors import DatasetError

READS = "CSV (a box a row)"

# What a column is, and the names that it has in people's files, without case, blanks and signs.
NAMES: dict[str, tuple[str, ...]] = {
    "image": ("image", "imagename", "imagepath", "imagefile", "imageid", "filename", "file",
              "filepath", "path", "img", "imgname", "imgpath", "imgid", "图片", "图像", "图片名",
              "文件名", "图片名称", "图片路径"),
    "label": ("class", "label", "category", "classname", "labelname", "categoryname", "name",
              "type", "object", "target", "类别", "标签", "类"),
    "x1": ("xmin", "x1", "left", "xtl", "bboxxmin", "xleft", "x0", "bboxx1", "bboxleft"),
    "y1": ("ymin", "y1", "top", "ytl", "bboxymin", "ytop", "y0", "bboxy1", "bboxtop"),
    "x2": ("xmax", "x2", "right", "xbr", "bboxxmax", "xright", "bboxx2", "bboxright"),
    "y2": ("ymax", "y2", "bottom", "ybr", "bboxymax", "ybottom", "bboxy2", "bboxbottom"),
    "x": ("x", "bboxx", "boxx"),
    "y": ("y", "bboxy", "boxy"),
    "cx": ("cx", "xcenter", "centerx", "xc", "bboxcx"),
    "cy": ("cy", "ycenter", "centery", "yc", "bboxcy"),
    "w": ("w", "bw", "boxwidth", "bboxwidth", "bboxw"),
    "h": ("h", "bh", "boxheight", "bboxheight", "bboxh"),
    "bbox": ("bbox", "box", "boundingbox"),
    "width": ("width", "imagewidth", "imgwidth", "imgw"),
    "height": ("height", "imageheight", "imgheight", "imgh"),
    "split": ("split", "subset", "set", "partition", "dataset"),
}  # fmt: skip
FORMS = (("x1", "y1", "x2", "y2"), ("cx", "cy", "w", "h"), ("x", "y", "w", "h"),
         ("x1", "y1", "w", "h"), ("bbox",))  # fmt: skip
RETINANET = ("image", "x1", "y1", "x2", "y2", "label")
LABEL_FIRST = ("image", "label", "x1", "y1", "x2", "y2")
AUTOML = ("split", "image", "label", "x1", "y1", "", "", "x2", "y2", "", "")
DELIMITERS = ",;\t|"
# A fraction may be off by a rounding; pixels are far beyond.
OVERSHOOT = 1.05
NO_CLASS = "object"


@dataclass(frozen=True)
class _Table:
    """How a file is read: its delimiter, each column's place, and whether names stand first."""

    delimiter: str
    columns: Mapping[str, int]
    form: tuple[str, ...]
    has_names: bool


def layouts(files: Contents) -> list[Layout]:
    """The sets among the files: by a column of splits, else by the names of the files."""
    names = texts_like(files, "csv", (".csv", ".tsv"), lambda head: bool(head.strip()))
    tables = [name for name in names if _table(files, name) is not None]
    if files.columns and not tables:
        firsts = (f"{n}: {head_of(files, n).partition(chr(10))[0][:120]}" for n in names[:3])
        raise DatasetError(
            f"no CSV of {files.name} has the columns {', '.join(files.columns.values())}",
            f"They are called as in the first line. {'; '.join(firsts) or 'There is no CSV'}",
        )
    found = []
    plain = []
    for name in tables:
        table = _table(files, name)
        splits = _split_column(files, name, table) if table else set()
        if len(splits) > 1:
            order = (TRAIN, EVAL, "test")
            found += layouts_of("csv", files, [{s: [name] for s in order if s in splits}])
        else:
            plain.append(name)
    return [*found, *layouts_of("csv", files, by_name(plain))]


def _table(files: Contents, name: str) -> _Table | None:
    """How to read a file, None where its columns are not those of boxes. Raises DatasetError for
    a column that was asked for and is not there."""
    head = head_of(files, name)
    if is_via_csv(head) or is_open_images(head):
        return None
    first = next(iter(head.splitlines()), "")
    delimiter = max(DELIMITERS, key=first.count)
    try:
        cells = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return None
    if not files.columns:
        for form in (RETINANET, LABEL_FIRST, AUTOML):
            if _fits_form(cells, form):
                columns = {role: at for at, role in enumerate(form) if role}
                return _Table(delimiter, columns, FORMS[0], has_names=False)
    columns = _named_columns(cells, files.columns)
    if "w" not in columns and "x2" not in columns:
        # Without other sides these are the box's, not the image's.
        for role, side in (("w", "width"), ("h", "height")):
            if side in columns:
                columns[role] = columns.pop(side)
    found = next((form for form in FORMS if set(form) <= set(columns)), None)
    return (
        _Table(delimiter, columns, found, has_names=True) if found and "image" in columns else None
    )


def _fits_form(cells: Sequence[str], form: tuple[str, ...]) -> bool:
    """Whether a row without names has an image and numbers where this form has them."""
    if len(cells) != len(form) or not is_image(cells[form.index("image")].strip()):
        return False
    sides = [cells[form.index(role)].strip() for role in FORMS[0]]
    return not any(text and math.isnan(number(text)) for text in sides)


def _named_columns(cells: Sequence[str], asked: Mapping[str, str]) -> dict[str, int]:
    plain = [re.sub(r"[\W_]", "", cell).lower() for cell in cells]
    columns = {}
    for role, names in NAMES.items():
        found = [at for word in names for at, cell in enumerate(plain) if cell == word]
        if found:
            columns[role] = found[0]
    stripped = [cell.strip().lstrip("\ufeff") for cell in cells]
    for role, name in asked.items():
        if name not in stripped:
            return {}
        columns = {other: at for other, at in columns.items() if at != stripped.index(name)}
        columns[role] = stripped.index(name)
    return columns


def _rows(files: Contents, name: str, table: _Table) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row below the names."""
    reader = csv.reader(io.StringIO(decoded(files.read(name))), delimiter=table.delimiter)
    for row in reader:
        if any(row) and (reader.line_num > 1 or not table.has_names):
            yield reader.line_num, row


def _split_column(files: Contents, name: str, table: _Table) -> set[str]:
    at = table.columns.get("split")
    try:
        rows = _rows(files, name, table) if at is not None else ()
        words = {_split_of(row[at]) for _, row in rows if at is not None and len(row) > at}
    except (csv.Error, DatasetError):
        return set()
    return {word for word in words if word}


def _split_of(text: str) -> str:
    return split_word(text.strip())[0] or ""


def read(files: Contents, layout: Layout) -> DataSet:
    """The set at a layout, its classes by name."""
    shapes, parts = Shapes(), {}
    for split, names in files_of(files, layout).items():
        part = parts[split] = Gathered(files, split, posixpath.basename(names[0]), shapes)
        for name in names:
            table = _table(files, name)
            if table is not None:
                wanted = split if len(_split_column(files, name, table)) > 1 else ""
                _file(part, name, table, wanted)
        part.fractions = part.largest <= OVERSHOOT
    return data_set(files, layout, parts, shapes)


def _file(part: Gathered, name: str, table: _Table, wanted: str) -> None:
    if "label" not in table.columns:
        part.shapes.note(f"no column has the classes: every box is of the class {NO_CLASS}")
    try:
        _Rows(part, name, table).read(wanted)
    except (csv.Error, DatasetError) as error:
        part.tell("DS010", name, str(getattr(error, "message", error)))


class _Rows:
    """Reads the rows of one file."""

    def __init__(self, part: Gathered, name: str, table: _Table) -> None:
        self.part, self.name, self.table = part, name, table
        self.image_at = table.columns["image"]
        self.label_at = table.columns.get("label")
        self.size_at = [table.columns.get(side) for side in ("width", "height")]
        self.form_at = [table.columns[role] for role in table.form]
        # The row of each image, by what the file calls it.
        self.row_of: dict[str, int] = {}

    def read(self, wanted: str) -> None:
        """Take all rows, or those of one split."""
        split_at = self.table.columns.get("split") if wanted else None
        for line, cells in _rows(self.part.files, self.name, self.table):
            if split_at is None or (split_at < len(cells) and _split_of(cells[split_at]) == wanted):
                self.take(line, cells)

    def take(self, line: int, cells: list[str]) -> None:
        stated = self.cell(cells, self.image_at)
        if not stated:
            self.part.tell("DS012", self.name, f"line {line} names no image")
            return
        row = self.row_of.get(stated)
        if row is None:
            width, height = (number(self.cell(cells, at) or 0) for at in self.size_at)
            path = _image(self.part.files, stated, self.name)
            row = self.part.image(path, width, height)
            self.row_of[stated] = row
        values = [self.cell(cells, at) for at in self.form_at]
        if not any(values):
            return  # an image without a box
        box = _box(values, self.table.form)
        if box is None:
            self.part.tell("DS011", self.name, f"line {line}: {' '.join(values)[:60]}")
            return
        label = NO_CLASS if self.label_at is None else self.cell(cells, self.label_at)
        self.part.box(row, label, box, f"{self.name}:{line}")

    @staticmethod
    def cell(cells: list[str], at: int | None) -> str:
        return cells[at].strip() if at is not None and at < len(cells) else ""


def _image(files: Contents, stated: str, name: str) -> str:
    """The image of a row, by its name or by that without its ending."""
    found = images_of(files)
    if is_image(stated):
        return found.named(stated, name)
    return found.of_stem(posixpath.basename(stated), name) or found.named(stated, name)


def _box(values: Sequence[str], form: tuple[str, ...]) -> Box | None:
    if form == ("bbox",):
        values = re.split(r"[\s,;]+", values[0].strip("[]() "))
        form = ("x", "y", "w", "h")
    try:
        numbers = list(map(float, values))
    except ValueError:
        return None
    if len(numbers) != len(form) or len(numbers) != 4:
        return None
    a, b, c, d = numbers
    if form == FORMS[0]:
        return a, b, c - a, d - b
    return (a - c / 2, b - d / 2, c, d) if form[0] == "cx" else (a, b, c, d)
