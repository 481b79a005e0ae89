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
from collections import Counter
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
    # A name tells more than a number.
    "label": ("classname", "labelname", "categoryname", "class", "label", "category", "name",
              "type", "object", "target", "类别名称", "类别", "类别名", "标签", "标签名", "类"),
    "x1": ("xmin", "x1", "left", "xtl", "bboxxmin", "xleft", "x0", "bboxx1", "bboxleft", "左",
           "左上角x", "左上x"),
    "y1": ("ymin", "y1", "top", "ytl", "bboxymin", "ytop", "y0", "bboxy1", "bboxtop", "上",
           "左上角y", "左上y"),
    "x2": ("xmax", "x2", "right", "xbr", "bboxxmax", "xright", "bboxx2", "bboxright", "右",
           "右下角x", "右下x"),
    "y2": ("ymax", "y2", "bottom", "ybr", "bboxymax", "ybottom", "bboxy2", "bboxbottom", "下",
           "右下角y", "右下y"),
    "x": ("x", "bboxx", "boxx"),
    "y": ("y", "bboxy", "boxy"),
    "cx": ("cx", "xcenter", "centerx", "xc", "bboxcx", "中心x"),
    "cy": ("cy", "ycenter", "centery", "yc", "bboxcy", "中心y"),
    "w": ("w", "bw", "boxwidth", "bboxwidth", "bboxw", "宽", "宽度"),
    "h": ("h", "bh", "boxheight", "bboxheight", "bboxh", "高", "高度"),
    "bbox": ("bbox", "box", "boundingbox"),
    # Global Wheat: all boxes of an image, `x1 y1 x2 y2;...` or `no_box`.
    "boxes": ("boxesstring",),
    "width": ("width", "imagewidth", "imgwidth", "imgw"),
    "height": ("height", "imageheight", "imgheight", "imgh"),
    "split": ("split", "subset", "set", "partition", "dataset"),
}  # fmt: skip
FORMS = (("x1", "y1", "x2", "y2"), ("cx", "cy", "w", "h"), ("x", "y", "w", "h"),
         ("x1", "y1", "w", "h"), ("bbox",), ("boxes",))  # fmt: skip
RETINANET = ("image", "x1", "y1", "x2", "y2", "label")
LABEL_FIRST = ("image", "label", "x1", "y1", "x2", "y2")
AUTOML = ("split", "image", "label", "x1", "y1", "", "", "x2", "y2", "", "")
DELIMITERS = ",;\t|"
# A fraction may be off by a rounding; pixels are far beyond.
OVERSHOOT = 1.05
# What Excel reads the delimiter from.
SEPARATOR_LINE = re.compile(r"^\ufeff?sep=.$")
NO_CLASS = "object"
NO_BOX = "no_box"


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
    if files.columns and names and not tables:
        raise _not_understood(files, names)
    found = []
    plain = []
    for name in tables:
        table = _table(files, name)
        splits = {word for word in _split_words(files, name, table) if word} if table else set()
        if len(splits) > 1:
            order = (TRAIN, EVAL, "test")
            found += layouts_of("csv", files, [{s: [name] for s in order if s in splits}])
        else:
            plain.append(name)
    return [*found, *layouts_of("csv", files, by_name(plain))]


def _not_understood(files: Contents, names: Sequence[str]) -> DatasetError:
    """Why no CSV could be read with the columns that were said."""
    first = next(iter(head_of(files, names[0]).splitlines()), "")[:200]
    own = posixpath.basename(names[0])
    unknown = [name for name in files.columns.values() if name not in first]
    if unknown:
        message = f"{own} has no column {', '.join(unknown)}; it begins with: {first}"
    else:
        forms = "; ".join(", ".join(form) for form in FORMS)
        message = f"{own}: {', '.join(files.columns)} do not suffice for a box"
        return DatasetError(message, f"Say image, and one of: {forms}. It begins with: {first}")
    return DatasetError(message, "Give the columns as they are called there.")


def _table(files: Contents, name: str) -> _Table | None:
    """How to read a file, None where its columns are not those of boxes. Raises DatasetError for
    a column that was asked for and is not there."""
    head = head_of(files, name)
    if is_via_csv(head) or is_open_images(head):
        return None
    lines = [line for line in head.splitlines() if not SEPARATOR_LINE.match(line)]
    first = next(iter(lines), "")
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
    named = not table.has_names
    for row in reader:
        if any(row) and named:
            yield reader.line_num, row
        named = named or not SEPARATOR_LINE.match(table.delimiter.join(row))


def _split_words(files: Contents, name: str, table: _Table) -> Counter[str]:
    """How many rows are of each split, "" for those whose split is none that is known."""
    at = table.columns.get("split")
    try:
        rows = _rows(files, name, table) if at is not None else ()
        return Counter(_split_of(row[at]) for _, row in rows if at is not None and len(row) > at)
    except (csv.Error, DatasetError):
        return Counter()


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
                words = _split_words(files, name, table)
                known = {word for word in words if word}
                own = posixpath.basename(name)
                if len(known) > 1 and words[""]:
                    shapes.note(f"{own}: {words['']:,} rows of no known split are left out")
                elif words and len(known) < 2:
                    shapes.note(f"{own}: its column of splits names no two that are known")
                _file(part, name, table, split if len(known) > 1 else "")
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
        form, parts = self.table.form, [values]
        if form == ("boxes",):
            form = FORMS[0]
            parts = [part.split() for part in values[0].split(";") if part.strip() != NO_BOX]
        label = NO_CLASS if self.label_at is None else self.cell(cells, self.label_at)
        for part in parts:
            box = _box(part, form, self.table.delimiter)
            if box is None:
                self.part.tell("DS011", self.name, f"line {line}: {' '.join(part)[:60]}")
            else:
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


def _box(values: Sequence[str], form: tuple[str, ...], delimiter: str) -> Box | None:
    if form == ("bbox",):
        values = re.split(r"[\s,;]+", values[0].strip("[]() "))
        form = ("x", "y", "w", "h")
    try:
        # Where it does not part the cells a comma is a decimal one.
        decimal = "." if delimiter != "," else ","
        numbers = [float(value.replace(",", decimal)) for value in values]
    except ValueError:
        return None
    if len(numbers) != len(form) or len(numbers) != 4:
        return None
    a, b, c, d = numbers
    if form == FORMS[0]:
        # Two corners, in whatever order they were drawn.
        return min(a, c), min(b, d), abs(c - a), abs(d - b)
    return (a - c / 2, b - d / 2, c, d) if form[0] == "cx" else (a, b, c, d)
