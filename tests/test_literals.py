from __future__ import annotations

import ast
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobgen.literals import to_source
from tests.strategies import SCALARS

TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(TREES, st.sampled_from([0, 8, 90]))
def test_source_evaluates_to_the_value(value: Any, indent: int) -> None:
    assert ast.literal_eval(to_source(value, indent)) == value


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("ship", '"ship"'),
        ("it's", '"it\'s"'),
        ('say "x"', "'say \"x\"'"),
        ("a\nb", '"a\\nb"'),
        ("船", '"船"'),
        ("{{ x }}", '"{{ x }}"'),
        ("'''", "\"'''\""),
        (True, "True"),
        (0.1, "0.1"),
        ([1, None], "[1, None]"),
        ({"a": [1]}, '{"a": [1]}'),
        ("\\", '"\\\\"'),
    ],
)
def test_the_house_style(value: Any, source: str) -> None:
    assert to_source(value) == source


def test_long_values_are_one_item_a_line() -> None:
    value = {"a" * 60: ["b" * 60, "c" * 60]}
    assert to_source(value).count("\n") == 5
    assert ast.literal_eval(to_source(value)) == value


def test_numbers_that_have_no_literal() -> None:
    assert math.isnan(eval(to_source(math.nan)))
    assert eval(to_source(-math.inf)) == -math.inf
    with pytest.raises(TypeError):
        to_source(object())
