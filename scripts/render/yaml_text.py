"""YAML as people read it, the same bytes whichever YAML library is installed. Pure.

Block style, authored order, two spaces, no folding: a line of the input is a line of the output, so that a diff shows
what changed. What is no plain word is written as a JSON string, which is YAML too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from scripts.tree import Node

# Words that start with a letter, without what YAML gives a meaning to: `: `, ` #`, and brackets, quotes and braces.
_PLAIN = re.compile(r"^[A-Za-z./][A-Za-z0-9 ._/$()<>`'=+,;!?-]*[A-Za-z0-9._/()<>`']$|^[A-Za-z]$")
# Words that are no strings in YAML 1.1 or 1.2.
_RESERVED = re.compile(
    r"^(y|n|yes|no|on|off|true|false|null|\.nan|\.inf|[.+-]?[0-9.]+([eE][+-]?[0-9]+)?)$", re.IGNORECASE
)

# Characters that a JSON string may have as they are and a YAML stream may not.
_UNPRINTABLE = re.compile("[\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ufffe\\uffff]")


def to_yaml(node: Node) -> str:
    """A mapping or a list as a YAML document that ends with a newline."""
    return "".join(f"{line}\n" for line in _lines(node))


def _lines(node: Node) -> Iterator[str]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _entry(f"{_scalar(key)}:", value)
    elif isinstance(node, list) and node:
        for value in node:
            yield from _item(value)
    else:
        yield _scalar(node)


def _entry(head: str, value: Node) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: Node) -> Iterator[str]:
    marks = "- "
    for line in _lines(value):
        yield marks + line
        marks = "  "


def _scalar(value: Node) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and not _RESERVED.match(value) and " #" not in value:
        return value
    if isinstance(value, float):
        # YAML 1.1 takes 1e+16 for text: a number needs a point.
        return re.sub(r"^(-?\d+)e", r"\1.0e", json.dumps(value))
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
