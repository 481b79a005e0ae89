"""jobgen in Chinese: the catalogue is whole and current, and what is shown is found in it."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobgen import language
from jobgen.check.table import rules_page
from jobgen.cli import COMMANDS, command_named
from jobgen.language import HOLE, chinese, chosen, messages, patterns, say_language, spoken
from tests.conftest import ROOT, Answer
from tests.sets import Coco, write_zip
from tests.whole import JOB, make_whole
from tools.words import PO, mo_bytes, po_bytes, untranslated, updated

# Five words of English in a row are a sentence that nobody translated; names, paths, options and
# what stands in backticks are not.
ENGLISH = re.compile(r"(?<![\w/.`'-])(?:[A-Za-z]{1,12}[,;]? ){4}[A-Za-z]{2,12}(?![\w/`=-])")


def english_in(text: str) -> list[str]:
    """The English sentences of a text; commands as printed aside."""
    found = []
    for line in text.splitlines():
        bare = re.sub(r"`[^`]*`|jobgen [\w-]+( \S+)*|--[\w-]+|\b[A-Z]{2,}\b", "·", line)
        bare = re.sub(rf"\b({'|'.join(COMMANDS)})\b", "·", bare)
        found += (ENGLISH.findall(bare) and [line]) or []
    return found


def test_the_catalogue_is_current_and_whole() -> None:
    catalogue = updated()
    assert untranslated(catalogue) == [], "make words, and translate these"
    assert po_bytes(catalogue) == PO.read_bytes(), "make words"
    assert mo_bytes(catalogue) == PO.with_suffix(".mo").read_bytes(), "make words"


def test_no_value_of_a_sentence_is_lost() -> None:
    for english, own in messages().items():
        named = sorted(m[1] for m in HOLE.finditer(english) if m[1])
        assert sorted(m[1] for m in HOLE.finditer(own) if m[1]) == named, english
        # What the % operator takes has no name, so its order is its meaning.
        spots = [m[0] for m in HOLE.finditer(english) if not m[1]]
        assert [m[0] for m in HOLE.finditer(own) if not m[1]] == spots, english


def glossary() -> list[tuple[str, list[str]]]:
    rows = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row[:1] == "|"]
    return [(row[1], [w for w in row[2].split(", ") if w]) for row in cells[2:]]


def test_one_word_for_one_thing() -> None:
    refused = [(word, wrong) for word, others in glossary() for wrong in others]
    assert len(refused) > 20
    texts = dict(messages())
    for pattern in (
        "docs/**/*.zh-CN.md",
        "README.zh-CN.md",
        "templates/**/zh.yml",
        "jobgen/**/*.zh.md.j2",
    ):
        texts.update((str(path), path.read_text(encoding="utf-8")) for path in ROOT.glob(pattern))
    assert len(texts) - len(messages()) > 20
    for where, own in texts.items():
        for word, wrong in refused:
            assert wrong not in own, f"{where!r}: {word}, not {wrong}"


@pytest.mark.parametrize("code", ["en", "zh"])
def test_the_pages_of_rules_are_made_from_them(code: str) -> None:
    name = {"en": "rules.md", "zh": "rules.zh-CN.md"}[code]
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == rules_page(code), "make docs"


def test_a_sentence_is_found_whatever_its_values_are() -> None:
    """As it is shown, with values of one word: in Chinese, and with each value."""
    lost = []
    for pattern in patterns():
        values = [f"{70 + number}" if name.startswith("%d") else f"v{number}"
                  for number, name in enumerate(pattern.names)]  # fmt: skip
        pieces = [*zip(pattern.pieces, [*values, ""], strict=True)]
        shown = "".join(piece + value for piece, value in pieces)
        found = chinese(shown)
        if found == shown or not all(value in found for value in values):
            lost.append(shown)
    # A few are all values; they are shown within others.
    assert len(lost) <= len(patterns()) // 100, lost


def test_nothing_that_is_shown_takes_long() -> None:
    """Lines of any words, as long as they may be, are looked up in little time."""
    words = [word for english in list(messages())[::7] for word in english.split()]
    for seed in range(150):
        dice = random.Random(seed)
        text = " ".join(dice.choice(words) for _ in range(dice.choice([5, 40, 200])))
        started = time.process_time()
        chinese(text)
        assert time.process_time() - started < 0.5, text


@pytest.mark.parametrize(
    ("option", "variable", "settings", "job", "system", "expected"),
    [
        ("en", "zh", "zh", "zh", "zh_CN.UTF-8", "en"),
        ("", "zh", "en", "en", "en_US.UTF-8", "zh"),
        ("", "", "zh", "en", "C", "zh"),
        ("", "", "", "zh", "en_US.UTF-8", "zh"),
        ("", "", "", "", "zh_TW.UTF-8", "zh"),
        ("", "", "", "", "Chinese (Simplified)_China.936", "zh"),
        ("", "", "", "", "de_DE.UTF-8", "en"),
        ("", "nonsense", "", "", "C", "en"),
    ],
)
def test_who_says_which_language(
    monkeypatch: pytest.MonkeyPatch, option: str, variable: str, settings: str, job: str,
    system: str, expected: str,
) -> None:  # fmt: skip
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", system)
    monkeypatch.setenv("JOBGEN_LANG", variable)
    for who, code in (("option", option), ("settings", settings), ("job", job)):
        say_language(who, code)
    try:
        assert chosen() == expected
    finally:
        for who in ("option", "settings", "job"):
            say_language(who, None)


def test_a_word_of_somebodys_stays_as_it_is() -> None:
    for word in ("machine", "note", "job", "no helmet", "person", "car and truck", "a to b"):
        assert chinese(word) == word


def test_the_settings_and_the_option(
    jobgen: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOBGEN_LANG")
    folder = Path.home() / ".config" / "jobgen"
    folder.mkdir(parents=True)
    (folder / "settings.yaml").write_text("language: zh\n")
    assert "错误：" in jobgen("build", "no/job.yaml").err
    assert "error: " in jobgen("--lang", "en", "build", "no/job.yaml").err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_is_in_chinese(jobgen: Callable[..., Answer], name: str) -> None:
    answer = jobgen("--lang", "zh", name, "--help")
    assert english_in(answer.out) == []
    inner = getattr(command_named(name), "commands", {})
    for word in inner:
        assert english_in(jobgen("--lang", "zh", name, word, "--help").out) == []


def test_a_wrong_call_is_told_in_chinese(jobgen: Callable[..., Answer]) -> None:
    for words in (["build"], ["chek"], ["run", "--bogus"], ["run", "x", "--device", "tpu"]):
        answer = jobgen("--lang", "zh", *words)
        assert answer.code == 2
        assert answer.err.startswith("用法：")
        assert english_in(answer.err) == []


def test_programs_need_no_language(jobgen: Callable[..., Answer], tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "ships.zip", Coco().all_files())
    answers = [jobgen("--lang", code, "check", archive, "--json").json for code in ("en", "zh")]
    for answer in answers:
        answer.pop("seconds", None)
    assert answers[0] == answers[1]


def test_a_chinese_users_first_steps(
    jobgen: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = Coco()
    data.train["annotations"][0]["bbox"] = [5, 5, 0, 0]
    data.train["images"][1]["file_name"] = "none.jpg"
    write_zip(Path("ships.zip"), data.all_files())
    said = ""
    for words in (
        ["dataset", "inspect", "ships.zip"],
        ["check", "ships.zip"],
        ["init", "ships", "--archive", "ships.zip"],
        ["init", "ships", "--archive", "ships.zip", "--yes"],
        ["check", "bundles/ships"],
        ["build", "bundles/ships"],
        ["explain", "bundles/ships"],
        ["run", "bundles/ships", "--archive", "other.zip"],
        ["submit", "bundles/ships"],
        ["collect", "none.zip"],
        ["report", "none"],
        ["doctor"],
        ["check", "--rules"],
    ):
        answer = jobgen("--lang", "zh", *words)
        said += answer.out + answer.err
    assert english_in(said) == []


def test_english_stays_english(jobgen: Callable[..., Answer]) -> None:
    with spoken("en"):
        assert language.translated("nothing was submitted") == "nothing was submitted"
    with spoken("zh"):
        assert language.translated("nothing was submitted") != "nothing was submitted"


@pytest.mark.waits
@pytest.mark.parametrize(
    ("faults", "parameters"),
    [
        ({}, ()),
        pytest.param({"raise_in": 1}, (), marks=pytest.mark.slow),
        ({"die_in": 1, "signal": 9}, ()),
        pytest.param({"losses": [4.0, 4.1, 4.2], "scores": [0.0] * 3}, (), marks=pytest.mark.slow),
        pytest.param({"card": 1}, (), marks=pytest.mark.slow),
        ({}, ("-p", "EPOCHS", "0")),
        ({}, ("-p", "CLONE_TIMEOUT", "0.001")),
    ],
)
def test_a_chinese_users_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: dict[str, object],
    parameters: tuple[str, ...],
) -> None:  # fmt: skip
    """A run that works and runs that fail: lines, verdict, record and page in Chinese."""
    monkeypatch.setenv("JOBGEN_LANG", "zh")
    archive = write_zip(tmp_path / "ships.zip", Coco().all_files())
    job = JOB.replace("language: en", "language: zh")
    whole = make_whole(tmp_path / "w", archive.read_bytes(), job)
    _, said = whole.run(*parameters, **faults)
    assert english_in(said) == []
    result = whole.result()
    texts = [result["failure"] or {}, result["notes"], result["adjustments"], result["stages"]]
    said = "\n".join(spoken_in(texts))
    assert english_in(said) == []
    page = (whole.output / "report.html").read_text(encoding="utf-8")
    own = re.sub(r"<(script|style|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert english_in(re.sub(r"<[^>]*>", "\n", own)) == []


def spoken_in(value: object) -> list[str]:
    """The texts for people in a record; what a log says is the training's own."""
    if isinstance(value, dict):
        return [t for key, each in value.items() if key != "tail" for t in spoken_in(each)]
    if isinstance(value, list):
        return [text for each in value for text in spoken_in(each)]
    return [value] if isinstance(value, str) else []


def test_a_count_is_a_number_and_nothing_else() -> None:
    """`%d epochs` is no pattern for whatever ends in that word."""
    assert chinese("3 epochs") == "3 个 epoch"
    for text in ("x: unknown key train epochs", "unknown key epochs"):
        assert "个 epoch" not in chinese(text)
