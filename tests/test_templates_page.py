"""docs/templates.md: every example on it is rendered, and run with a stand-in for Paddle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.sets import Coco, write_zip
from tests.whole import JOB, make_whole

BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What shows in a result that the example took effect: where to look, and what is there.
SHOWN = {
    "One more augmentation": ("config", '"RandomDistort": {"hue": [-18, 18, 1.0]'),
    "Any other value of PaddleDetection": ("config", "keep_top_k: 300"),
    "A parameter of the pack": ("result", "few boxes to train on: ship, boat"),
    "A step before or after a stage": ("result", "training on 4 images"),
    "A whole file": ("notebook", "# ships: 2 classes, 3 epochs"),
    "A stage of your own": ("result", "images from 64 to 64 px"),
    "A pack that extends another": ("result", "你好"),
}


def sections(page: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        yield part.splitlines()[0], BLOCK.findall(part)


EXAMPLES = list(sections("templates.md"))


def test_every_section_has_its_example() -> None:
    assert [title for title, _ in EXAMPLES] == list(SHOWN)
    assert all(blocks for _, blocks in EXAMPLES)


def test_both_pages_have_the_same_examples() -> None:
    assert [blocks for _, blocks in sections("templates.zh-CN.md")] == [b for _, b in EXAMPLES]


@pytest.mark.kernel
@pytest.mark.parametrize(("title", "blocks"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_the_example_takes_effect(
    title: str, blocks: list[tuple[str, str]], tmp_path: Path
) -> None:
    job = JOB
    for name, text in blocks:
        if name == "job.yaml":
            job += text
            continue
        path = tmp_path / "w" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    archive = write_zip(tmp_path / "set.zip", Coco().all_files()).read_bytes()
    whole = make_whole(tmp_path / "w", archive, job)
    code, said = whole.run()
    assert code == 0, said
    where, expected = SHOWN[title]
    (config,) = whole.output.glob("configs/picodet*_lcnet.yml")
    places = {
        "config": config,
        "result": whole.output / "result.json",
        "notebook": whole.folder / "upload" / "main.ipynb",
    }
    assert expected in places[where].read_text(encoding="utf-8")
