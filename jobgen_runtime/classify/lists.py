"""Lists of images and their classes, as PaddleClas trains on, and folders of classes."""

import hashlib
import posixpath
import re
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

# What OpenCV reads, and other pictures, which nobody would train on and somebody may miss.
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
)
OTHER_PICTURES = (".gif", ".heic", ".heif", ".avif", ".svg", ".psd", ".jp2")


class Row(NamedTuple):
    """An image by its path below the split's folder, with `/`, and the number of its class."""

    path: str
    number: int


class Trouble(NamedTuple):
    """What can't be taken of a split: a code of the rules (docs/rules.md), and where it is."""

    code: str
    place: str


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS)


def split_line(line: str) -> Tuple[str, str]:
    """The image and the class of a line `image class`, `image<tab>class` or `image,class`; the
    image may have spaces in its name. Both are empty where the line is no such one."""
    found = re.match(r"(.+?)(?:\t+|\s*,\s*|\s+)([^\t,\s]+)\s*$", line.strip("\ufeff\r\n"))
    tabbed = line.strip("\ufeff\r\n").split("\t")
    if len(tabbed) == 2 and all(part.strip() for part in tabbed):
        return tabbed[0].strip(), tabbed[1].strip()
    return (found.group(1).strip(), found.group(2)) if found else ("", "")


def are_numbers(texts: Iterable[str], classes: Sequence[str]) -> bool:
    """Whether the classes in the lists of a set are numbers from 0, whatever the classes are
    called; else they are names. All lists decide together: one alone may lack the number that
    tells names such as 1 to 10 from numbers such as 0 to 9."""
    pairs = [split_line(line) for text in texts for line in text.split("\n") if line.strip()]
    words = {word for path, word in pairs if path}
    numbers = {str(number) for number in range(len(classes))}
    if not all(word.isdigit() for word in words):
        return False
    return words <= numbers or not words <= set(classes)


def rows_of_list(
    text: str, classes: Sequence[str], source: str, numbered: bool
) -> Tuple[List[Row], List[Trouble]]:
    """The rows of a list file, and the lines that can't be taken; `numbered` as are_numbers()
    says of all lists of the set."""
    names = [str(number) for number in range(len(classes))] if numbered else classes
    known = {name: number for number, name in enumerate(names)}
    rows: List[Row] = []
    troubles: List[Trouble] = []
    for count, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        path, word = split_line(line)
        place = "%s:%d" % (source, count)
        if not path:
            troubles.append(Trouble("CL020", place))
        elif word not in known:
            troubles.append(Trouble("CL021", "%s: %s" % (place, word)))
        else:
            rows.append(Row(posixpath.normpath(path.replace("\\", "/")), known[word]))
    return rows, troubles


def rows_of_folder(names: Iterable[str], classes: Sequence[str]) -> Tuple[List[Row], List[Trouble]]:
    """The rows of a folder with a folder for each class: `names` are paths below it. An image
    beside the class folders, or in one that is no class, is a trouble."""
    numbers = {name: number for number, name in enumerate(classes)}
    rows: List[Row] = []
    troubles: List[Trouble] = []
    for name in sorted(names):
        if not is_image(name):
            continue
        top, slash, _ = name.partition("/")
        if not slash:
            troubles.append(Trouble("CL023", name))
        elif top not in numbers:
            troubles.append(Trouble("CL022", name))
        else:
            rows.append(Row(name, numbers[top]))
    return rows, troubles


def rows_digest(rows: Iterable[Row]) -> str:
    """SHA-256 over the sorted list of paths and classes."""
    lines = sorted("%s\t%d\n" % row for row in rows)
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def list_text(rows: Iterable[Row]) -> str:
    """A list file as PaddleClas reads it with a tab as its delimiter; it takes spaces away at the
    beginning of a line, which a folder's name may have."""
    return "".join("./%s\t%d\n" % row for row in rows)


def counts(rows: Iterable[Row], classes: Sequence[str]) -> Dict[str, int]:
    """How many images each class has."""
    found = dict.fromkeys(classes, 0)
    for row in rows:
        found[classes[row.number]] += 1
    return found
