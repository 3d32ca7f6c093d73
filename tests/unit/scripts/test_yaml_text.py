from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.render.yaml_text import to_yaml

pytestmark = pytest.mark.unit

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False, width=32) | st.text()
)
# YAML has no surrogates; its reader takes the other characters when they are escaped.
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@settings(database=None, derandomize=True, deadline=None)
@given(TREES)
def test_every_tree_reads_back(tree: Any) -> None:
    assert yaml.safe_load(to_yaml(tree)) == tree


@pytest.mark.parametrize(
    "word",
    [
        "y",
        "n",
        "yes",
        "No",
        "on",
        "OFF",
        "true",
        "False",
        "null",
        "~",
        "1",
        "1.5",
        "1e3",
        "0x1f",
        "0o7",
        "1_000",
        ".5",
        ".inf",
        "-",
        "- a",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "[a]",
        "{a}",
        "a, b",
        " a",
        "a ",
        "",
        "a\nb",
        "2026-11-21",
        "12:30",
        "=",
        "<<",
        "?",
        "|",
        ">",
        "'a'",
        '"a"',
        "`a`",
        "é",
        "\t",
        "...",
        "---",
        "./a",
        "+1",
        "0b1",
    ],
)
def test_a_word_that_means_something_in_yaml_reads_back(word: str) -> None:
    trees: list[Any] = [{word: word}, [word], {"a": [word, {"b": word}]}]
    for tree in trees:
        assert yaml.safe_load(to_yaml(tree)) == tree


def test_the_form() -> None:
    tree: Any = {
        "name": "demo",
        "on": "yes",
        "list": [{"a": 1, "b": [True, None]}, "c"],
        "empty": {},
        "none": [],
        "text": "a: b",
    }
    assert to_yaml(tree) == (
        "name: demo\n"
        '"on": "yes"\n'
        "list:\n"
        "  - a: 1\n"
        "    b:\n"
        "      - true\n"
        "      - null\n"
        "  - c\n"
        "empty: {}\n"
        "none: []\n"
        'text: "a: b"\n'
    )
