"""`make words`: the sentences out of the sources into the Chinese catalogue, and that compiled.

python -m tools.words            extract, update, compile; names what is not translated
python -m tools.words --check    the same without writing: exit code 1 where it is not current
"""

from __future__ import annotations

import io
import sys
from datetime import datetime, timezone
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from tools.sentences import ROOT, everything

PO = ROOT / "jobgen/locale/zh_CN/LC_MESSAGES/jobgen.po"
HEAD = """\
# The sentences of jobgen in Chinese; docs/glossary.md has the words. A sentence that stays English
# is its own translation.\
"""


def updated() -> Catalog:
    """The catalogue with every sentence of the sources, and no other."""
    before = read_po(io.BytesIO(PO.read_bytes()), locale="zh_CN") if PO.is_file() else Catalog()
    found = Catalog(locale="zh_CN", project="jobgen", header_comment=HEAD, fuzzy=False)
    dated(found)
    for text, places in sorted(everything().items()):
        message = before.get(text)
        files = sorted({(name, None) for name, _ in places})
        own = message.string if message is not None else ""
        found.add(text, own, locations=files)  # type: ignore[arg-type]  # no line: they move
    return found


def dated(catalogue: Catalog) -> Catalog:
    """With one date for all: the same sentences give the same file."""
    catalogue.creation_date = catalogue.revision_date = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return catalogue


def po_bytes(catalogue: Catalog) -> bytes:
    stream = io.BytesIO()
    write_po(stream, catalogue, width=100)
    # What differs by the version of Babel, and lines that say nothing.
    empty = (b'"Generated-By:', b'"Report-Msgid-Bugs-To:', b'"Last-Translator:', b'"Language-Team:')
    lines = stream.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(empty))


def mo_bytes(catalogue: Catalog) -> bytes:
    """The compiled catalogue, without a header: it names the version of Babel."""
    stream = io.BytesIO()
    bare = dated(Catalog(locale="zh_CN", fuzzy=False))
    for message in catalogue:
        if message.id:
            bare.add(message.id, message.string)
    write_mo(stream, bare)
    return stream.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    return [str(message.id) for message in catalogue if message.id and not message.string]


def main() -> int:
    catalogue = updated()
    files = {PO: po_bytes(catalogue), PO.with_suffix(".mo"): mo_bytes(catalogue)}
    stale = [path for path, data in files.items() if not _same(path, data)]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: make words")
    else:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    missing = untranslated(catalogue)
    for text in missing:
        print(f"not translated: {text!r}")
    return 1 if missing or ("--check" in sys.argv and stale) else 0


def _same(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


if __name__ == "__main__":
    sys.exit(main())
