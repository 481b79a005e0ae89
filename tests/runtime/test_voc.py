from pathlib import Path

import pytest

from jobgen_runtime.data.coco import coco_text
from jobgen_runtime.data.voc import (
    convert_voc_split,
    parse_voc_image,
    read_split_list,
)
from jobgen_runtime.record.errors import StageError

BOX = "<object><name>%s</name><bndbox><xmin>%s</xmin><ymin>%s</ymin><xmax>%s</xmax><ymax>%s</ymax></bndbox></object>"
PAGE = "<annotation><size><width>%s</width><height>%s</height></size>%s</annotation>"


def page(*boxes: tuple) -> str:
    return PAGE % (100, 80, "".join(BOX % box for box in boxes))


def voc_set(tmp_path: Path, files: dict) -> str:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(tmp_path)


def convert(root: str) -> tuple:
    return convert_voc_split(root, "img", "xml", "train.txt", ["a", "b"])


GOOD = {
    "train.txt": "two\none\n",
    "img/one.jpg": "",
    "img/two.png": "",
    "xml/one.xml": page(("a", 1, 2, 11, 22), ("b", 5.5, 5, 10, 10)),
    "xml/two.xml": page(("b", 0, 0, 4, 4), ("a", 7, 7, 7, 9)),
}


def test_a_split_becomes_coco(tmp_path: Path) -> None:
    record, left_out = convert(voc_set(tmp_path, GOOD))
    assert [i["file_name"] for i in record["images"]] == ["two.png", "one.jpg"]
    assert record["images"][0] == {"id": 1, "file_name": "two.png", "width": 100, "height": 80}
    assert record["categories"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert [a["bbox"] for a in record["annotations"]] == [
        [0, 0, 4, 4],
        [1, 2, 10, 20],
        [5.5, 5, 4.5, 5],
    ]
    assert record["annotations"][1]["area"] == 200
    assert left_out == ["two.png: a"]
    assert coco_text(record) == coco_text(convert(str(tmp_path))[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"xml/one.xml": page(("c", 1, 1, 2, 2))},
            "xml: annotation of an unknown class (DS030): one.jpg has a 'c'; the job's classes are a, b",
        ),
        (
            {"xml/one.xml": page(("a", 9, 1, 2, 2))},
            "xml: box with swapped corners (DS041): one.jpg: a; the job's classes are a, b",
        ),
        (
            {"xml/one.xml": page(("a", "x", 1, 2, 2))},
            "xml/one.xml: value of the wrong type (DS011): <xmin> is 'x', not a number",
        ),
        (
            {"xml/one.xml": page(("a", "nan", 1, 2, 2))},
            "xml/one.xml: coordinate that is not finite (DS045): <xmin> is 'nan'",
        ),
        (
            {"xml/one.xml": PAGE % (0, 80, "")},
            "xml/one.xml: missing value (DS012): <size> says 0 x 80 pixels",
        ),
        (
            {"xml/one.xml": "<annotation>"},
            "xml/one.xml: annotation file that can't be read (DS010): it is no XML: no element found: line 1, column 12",
        ),
        (
            {"train.txt": "one\nthree\n"},
            "train.txt: listed image without annotation file (DS077): three: there is no xml/three.xml",
        ),
        ({"train.txt": "one\none\n"}, "train.txt: image that a list names twice (DS074): one"),
        (
            {"train.txt": "one\nthree\n", "xml/three.xml": page()},
            "train.txt: missing image (DS050): there is no image of three in img",
        ),
        ({"img/one.png": ""}, None),
    ],
)
def test_faults_name_the_file(tmp_path: Path, change: dict, message: str) -> None:
    files = dict(GOOD)
    files.update(change)
    with pytest.raises(StageError) as caught:
        convert(voc_set(tmp_path, files))
    if message is None:
        assert "two images of one name (DS052): one.jpg and one.png" in caught.value.message
    else:
        assert caught.value.message == message


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]>'
    "<annotation>&y;</annotation>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<annotation>&x;</annotation>"
)


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(text: str, encoding: str) -> None:
    with pytest.raises(ValueError, match="it declares a document type or an entity"):
        parse_voc_image(text.encode(encoding))


def test_gbk_annotations() -> None:
    text = '<?xml version="1.0" encoding="GBK"?>' + page(("船", 1, 1, 5, 5))
    assert parse_voc_image(text.encode("gbk")).boxes[0].label == "船"


def test_split_lists() -> None:
    assert read_split_list("\ufeffa\r\nb 1\nc -1\n\n./JPEGImages/d.jpg ./xml/d.xml\n") == [
        "a",
        "b",
        "d",
    ]
