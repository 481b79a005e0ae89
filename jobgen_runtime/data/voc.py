"""Pascal VOC annotations into one COCO file: the same records whoever reads them."""

import collections
import os
import re
import xml.etree.ElementTree as ElementTree
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple
from xml.parsers import expat

from jobgen_runtime.data.faults import CORRECT, data_fault, fault_text
from jobgen_runtime.record.errors import StageError

# What OpenCV decodes; compared in lower case.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class VocBox(NamedTuple):
    """One object of an XML file: class name and corners in pixels."""

    label: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float


PAIR_OF_NAMES = re.compile(r"(.+\.(?:jpe?g|png|bmp|tiff?|webp))[ \t]+.+\.xml$", re.IGNORECASE)
# In pixels; no format of images knows a longer one.
LARGEST_SIDE = 2**31 - 1


class VocImage(NamedTuple):
    """One XML file: width and height in pixels, and its objects."""

    width: int
    height: int
    boxes: List[VocBox]


def parse_xml(data: bytes) -> ElementTree.Element:
    """An XML document without document type: entities could expand or reach outside.

    Raises ValueError with the reason. GB encodings, which expat lacks, are decoded first.
    """
    declared = re.match(rb"""<\?xml[^>]*encoding=["'](gb\w+)["']""", data, re.IGNORECASE)
    if declared:
        try:
            text = data.decode(declared.group(1).decode("ascii").lower())
        except LookupError as error:
            raise ValueError(fault_text("DS010", str(error)))
        data = re.sub(r"^<\?xml[^>]*\?>", "", text).encode("utf-8")
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise ValueError(
            fault_text("DS010", "it declares a document type or an entity, which is not allowed")
        )

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)  # noqa: FBT003 - it takes no names
    except (expat.ExpatError, LookupError, UnicodeError, MemoryError) as error:
        raise ValueError(fault_text("DS010", "it is no XML: %s" % error))
    return builder.close()


def parse_voc_image(data: bytes) -> VocImage:
    """One annotation file. Raises ValueError with what is wrong in it."""
    root = parse_xml(data)
    width, height = _number(root, "size/width"), _number(root, "size/height")
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise ValueError(fault_text("DS012", "<size> says %g x %g pixels" % (width, height)))
    boxes = []
    for item in root.iter("object"):
        label = (item.findtext("name") or "").strip()
        if not label:
            raise ValueError(fault_text("DS012", "an <object> has no <name>"))
        corners = [_number(item, "bndbox/" + key) for key in ("xmin", "ymin", "xmax", "ymax")]
        boxes.append(VocBox(label, *corners))
    return VocImage(int(width), int(height), boxes)


def _number(element: ElementTree.Element, path: str) -> float:
    text = element.findtext(path)
    tag = path.split("/")[-1]
    if text is None or not text.strip():
        raise ValueError(fault_text("DS012", "there is no <%s>" % tag))
    try:
        value = float(text)
    except ValueError:
        raise ValueError(fault_text("DS011", "<%s> is %r, not a number" % (tag, text)))
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(fault_text("DS045", "<%s> is %r" % (tag, text)))
    return value


def read_split_list(text: str, known: Iterable[str] = ()) -> List[str]:
    """The stems of a split list: `stem`, `stem 1`, or PaddleDetection's `image xml` pairs.

    A line that is one of the `known` stems, such as one with spaces, is taken as it stands.
    """
    stems = []
    there = set(known)
    for line in text.lstrip("\ufeff").splitlines():
        line = line.strip()
        cells = line.split()
        pair = PAIR_OF_NAMES.match(line)
        if pair:  # either name may have spaces
            stems.append(os.path.splitext(pair.group(1).replace("\\", "/").rsplit("/", 1)[-1])[0])
        elif line in there:
            stems.append(line)
        elif cells and not (len(cells) == 2 and cells[1] == "-1"):
            name = cells[0].replace("\\", "/").rsplit("/", 1)[-1]
            stem, ending = os.path.splitext(name)
            stems.append(stem if ending.lower() in IMAGE_ENDINGS else name)
    return stems


def coco_record(
    images: List[Tuple[str, VocImage]], classes: List[str]
) -> Tuple[Dict[str, Any], List[str]]:
    """(file name, annotation) pairs as a COCO record, ids from 1 in the given order.

    The second value lists the boxes without area, which are left out, as `file: label`.
    Raises ValueError at a class that is not in `classes`, and at swapped corners.
    A box is [xmin, ymin, xmax - xmin, ymax - ymin], as PaddleDetection's own VOC
    reader has it.
    """
    ids = {name: number for number, name in enumerate(classes, 1)}
    record = empty_record(classes)
    left_out = []
    for image_id, (file_name, image) in enumerate(images, 1):
        record["images"].append(coco_image(image_id, file_name, image.width, image.height))
        for box in image.boxes:
            if box.label not in ids:
                raise ValueError(fault_text("DS030", "%s has a %r" % (file_name, box.label)))
            width, height = box.xmax - box.xmin, box.ymax - box.ymin
            if width < 0 or height < 0:
                raise ValueError(fault_text("DS041", "%s: %s" % (file_name, box.label)))
            if width == 0 or height == 0:
                left_out.append("%s: %s" % (file_name, box.label))
                continue
            number = len(record["annotations"]) + 1
            corner = (box.xmin, box.ymin, width, height)
            record["annotations"].append(coco_box(number, image_id, ids[box.label], corner))
    return record, left_out


def empty_record(classes: List[str]) -> Dict[str, Any]:
    """A COCO record of `classes`, their ids from 1, without images."""
    return {
        "info": {},
        "licenses": [],
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }


def coco_image(number: int, file_name: str, width: int, height: int) -> Dict[str, Any]:
    return {"id": number, "file_name": file_name, "width": width, "height": height}


def coco_box(number: int, image_id: int, category_id: int, box: Sequence[float]) -> Dict[str, Any]:
    """One annotation; `box` is left, top, width and height in pixels."""
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [_plain(value) for value in box],
        "area": _plain(box[2] * box[3]),
        "iscrowd": 0,
    }


def _plain(value: float) -> Any:
    return int(value) if value == int(value) else round(value, 4)


def convert_voc_split(
    root: str, images: str, annotations: str, list_file: str, classes: List[str]
) -> Tuple[Dict[str, Any], List[str]]:
    """Read one split of a VOC set below `root` into a COCO record. Raises StageError."""
    list_path = os.path.join(root, *list_file.split("/"))
    pages = _pages_by_stem(os.path.join(root, *annotations.split("/")))
    try:
        with open(list_path, encoding="utf-8") as stream:
            stems = read_split_list(stream.read(), pages)
    except (OSError, UnicodeDecodeError) as error:
        raise data_fault(list_file, "DS010", "the list of the split: %s" % error)
    twice = [stem for stem, count in collections.Counter(stems).items() if count > 1]
    if twice:
        raise data_fault(list_file, "DS074", ", ".join(twice[:3]))
    found = _images_by_stem(os.path.join(root, *images.split("/")))
    pairs = []
    for stem in stems:
        if stem not in pages:
            detail = "%s: there is no %s/%s.xml" % (stem, annotations, stem)
            raise data_fault(list_file, "DS077", detail)
        annotation = _read_annotation(root, "%s/%s" % (annotations, pages[stem]))
        if stem not in found:
            raise data_fault(list_file, "DS050", "there is no image of %s in %s" % (stem, images))
        pairs.append((found[stem], annotation))
    try:
        return coco_record(pairs, classes)
    except ValueError as error:
        raise StageError(
            "%s: %s; the job's classes are %s" % (annotations, error, ", ".join(classes)),
            "List every class under dataset.classes in job.yaml and build again, or correct "
            "the data set.",
            cause="data",
        )


def _pages_by_stem(folder: str) -> Dict[str, str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise data_fault(folder, "DS010", "the folder of the annotations: %s" % error.strerror)
    pairs = (os.path.splitext(name) for name in names)
    return {stem: stem + ending for stem, ending in pairs if ending.lower() == ".xml"}


def _read_annotation(root: str, place: str) -> VocImage:
    path = os.path.join(root, *place.split("/"))
    try:
        with open(path, "rb") as stream:
            return parse_voc_image(stream.read())
    except OSError as error:
        raise data_fault(place, "DS010", str(error.strerror))
    except ValueError as error:
        raise StageError("%s: %s" % (place, error), CORRECT, cause="data")


def _images_by_stem(folder: str) -> Dict[str, str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise data_fault(folder, "DS050", "the folder of the images: %s" % error.strerror)
    found: Dict[str, str] = {}
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() not in IMAGE_ENDINGS:
            continue
        if stem in found:
            raise data_fault(folder, "DS052", "%s and %s" % (found[stem], name))
        found[stem] = name
    return found
