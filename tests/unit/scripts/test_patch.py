"""JSON patches; the accepted ones are the examples of RFC 6902, appendix A."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.crd import patch, pointer
from scripts.tree import TreeError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": "qux"}, {"foo": "bar", "baz": "qux"}),
        (
            {"foo": ["bar", "baz"]},
            {"op": "add", "path": "/foo/1", "value": "qux"},
            {"foo": ["bar", "qux", "baz"]},
        ),
        ({"foo": ["bar"]}, {"op": "add", "path": "/foo/-", "value": ["abc"]}, {"foo": ["bar", ["abc"]]}),
        ({"foo": 1}, {"op": "add", "path": "", "value": {"bar": 2}}, {"bar": 2}),
        ({"foo": None}, {"op": "add", "path": "/foo", "value": 1}, {"foo": 1}),
        ({"baz": "qux", "foo": "bar"}, {"op": "remove", "path": "/baz"}, {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, {"op": "remove", "path": "/foo/1"}, {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, {"op": "replace", "path": "/baz", "value": "boo"}, {"baz": "boo"}),
        ({"baz": ["a", "b"]}, {"op": "replace", "path": "/baz/0", "value": "c"}, {"baz": ["c", "b"]}),
        ({"baz": 1}, {"op": "replace", "path": "", "value": 2}, 2),
        (
            {"foo": {"a": 1}, "bar": {}},
            {"op": "move", "from": "/foo/a", "path": "/bar/b"},
            {"foo": {}, "bar": {"b": 1}},
        ),
        (
            {"foo": ["a", "b", "c"]},
            {"op": "move", "from": "/foo/0", "path": "/foo/2"},
            {"foo": ["b", "c", "a"]},
        ),
        (
            {"foo": {"a": 1}},
            {"op": "copy", "from": "/foo", "path": "/bar"},
            {"foo": {"a": 1}, "bar": {"a": 1}},
        ),
        ({"baz": ["a", 2]}, {"op": "test", "path": "/baz/1", "value": 2}, {"baz": ["a", 2]}),
        ({"/": 9, "~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"/": 9, "~1": 10}),
        ({"a/b": 1}, {"op": "remove", "path": "/a~1b"}, {}),
    ],
)
def test_an_operation(before: Any, operation: dict[str, Any], after: Any) -> None:
    assert patch.apply(before, [operation], "p") == after


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/baz/bat", "value": "qux"},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "add", "path": "/baz"},
        {"op": "add", "value": 1},
        {"op": "remove", "path": "/nothing"},
        {"op": "remove", "path": "/list/9"},
        {"op": "remove", "path": "/list/-1"},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": "/text/0"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "move", "from": "/nothing", "path": "/a"},
        {"op": "move", "path": "/a"},
        {"op": "copy", "from": "/nothing", "path": "/a"},
        {"op": "test", "path": "/text", "value": "other"},
        {"op": "test", "path": "/nothing", "value": None},
        {"op": "merge", "path": "/a", "value": 1},
        {},
    ],
)
def test_an_operation_that_cannot_be_applied_says_which_one(operation: dict[str, Any]) -> None:
    with pytest.raises(TreeError, match=r"^p: \[1\]: cannot be applied to"):
        patch.apply({"list": [1], "text": "a"}, [{"op": "test", "path": "/text", "value": "a"}, operation], "p")


def test_an_operation_that_is_no_mapping() -> None:
    with pytest.raises(TreeError, match="expected a mapping"):
        patch.apply({}, ["add"], "p")


def test_the_input_is_not_changed() -> None:
    before: Any = {"a": {"b": [1]}}
    patch.apply(before, [{"op": "add", "path": "/a/b/-", "value": 2}], "p")
    assert before == {"a": {"b": [1]}}


def test_a_value_is_not_shared_with_the_result() -> None:
    value: dict[str, Any] = {}
    patched = patch.apply(
        {}, [{"op": "add", "path": "/a", "value": value}, {"op": "add", "path": "/a/b", "value": 1}], "p"
    )
    assert (value, patched) == ({}, {"a": {"b": 1}})


def test_a_pointer_that_leads_nowhere_says_how_far_it_got() -> None:
    with pytest.raises(LookupError, match="/a/x"):
        pointer.get({"a": {}}, "/a/x/y")
