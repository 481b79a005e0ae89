from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jobgen.yamlio import Tagged, YamlError, dump_block, load
from tests.strategies import SCALARS

LAUGH = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]\n" for n in range(1, 9)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), TREES, max_size=5))
def test_what_is_written_reads_back_the_same_everywhere(values: dict[str, Any]) -> None:
    text = dump_block(values) or "{}\n"
    assert yaml.safe_load(text) == values
    assert load(text, "x", "yaml12").value == values
    assert load(text, "x", "yaml11").value == values


@pytest.mark.parametrize(
    ("text", "yaml12", "yaml11"),
    [
        ("1e-3", 0.001, "1e-3"),
        ("no", "no", False),
        ("true", True, True),
        ("~", None, None),
        ("0.5", 0.5, 0.5),
        ("'12'", "12", "12"),
        ("2024-01-01", "2024-01-01", None),
        ("12:30:00", "12:30:00", 45000),
        ("-7", -7, -7),
        ("1.", 1.0, 1.0),
    ],
)
def test_the_two_dialects(text: str, yaml12: Any, yaml11: Any) -> None:
    assert load(f"a: {text}", "x").value == {"a": yaml12}
    if yaml11 is not None:
        assert load(f"a: {text}", "x", "yaml11").value == {"a": yaml11}


def test_lines_are_known() -> None:
    document = load("a: 1\nb:\n  - x\n  - c: 2\n", "job.yaml")
    assert document.line(["b", 1, "c"]) == 4
    assert document.line(["b", 1, "nothing"]) == 4
    assert document.line(["q"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f:2: the key 'a' is there twice"),
        ("1: 2\n", "f:1: the key 1 is not text; put it in quotes"),
        ("a: [1\n", "f:1: the [ that opens here is not closed by ]"),
        (
            "a: !!python/object/apply:os.system [x]\n",
            "f:1: the tag tag:yaml.org,2002:python/object/apply:os.system would construct an object",
        ),
        ("a: &x [*x]\n", "f:1: an alias contains itself"),
        ("a: " + "[" * 50000, "f:1: the nesting is too deep"),
        (LAUGH, "f:1: it holds, or its aliases make, more than a config can need"),
        ("a: " + "9" * 5000, "f:1: 99999999999999999999... is too long a number"),
        ("a: 1e400", "f:1: 1e400 is too large a number"),
        ("a: " + "[" * 100 + "]" * 100, "f:1: the nesting is too deep"),
        ("a: 1\n--- \nb: 2\n", "f:2: but found another document"),
    ],
)
def test_faults_name_the_line(text: str, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        load(text, "f")
    assert caught.value.message == message


def test_tags_are_data() -> None:
    found = load("a: !CosineDecay {max_epochs: 3}\nb: !X\n", "x", "yaml11").value
    assert found == {"a": Tagged("CosineDecay", {"max_epochs": 3}), "b": Tagged("X", "")}


def test_merge_keys_are_followed_in_paddledetections_files() -> None:
    assert load("a: &a {x: 1}\nb: {<<: *a, y: 2}\n", "x", "yaml11").value["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model\n  a: 1\n", "f:1: a colon is missing: model:"),
        ("a:\n\tb: 1\n", "f:2: a tab stands at the start of the line; YAML takes spaces only"),
        ("a: {b: 1\nc: 2\n", "f:1: the { that opens here is not closed by }"),
        ('a: "b\nc: 2\n', "f:1: the quote that opens here is not closed"),
        ("a: [x\nb: [1, 2]\nc: 1\n", "f:1: the [ that opens here is not closed by ]"),
        ("a: [x\n  b: 1\nc: [1]\n", "f:1: the [ that opens here is not closed by ]"),
        ("a: {x: 1\nb: {y: 2}\n", "f:1: the { that opens here is not closed by }"),
        ("a: [\n  'x'\n  'y'\n]\n", "f:3: a comma is missing between the items of [ ]"),
        ('a: ["x" "y"]\n', "f:1: a comma is missing between the items of [ ]"),
        ("# it's\na:\n   b: 1\n  c: 2\n", "f:4: the indentation does not fit"),
        ("a: b: c\n", "f:1: two colons stand in one line: put the value in quotes"),
        ("a:\n  b: 'x\n  c: 2\n", "f:2: the quote that opens here is not closed"),
        ("a: @b\n", "f:1: '@' can't begin a value; put the value in quotes"),
        ("a:\n   b: 1\n  c: 2\n", "f:3: the indentation does not fit the lines before it"),
        ("a: 1\n  b: 2\n", "f:2: the indentation does not fit the lines before it"),
    ],
)
def test_slips_are_told_in_words(text: str, said: str) -> None:
    with pytest.raises(YamlError) as caught:
        load(text, "f")
    assert caught.value.message.startswith(said)
