"""The examples of the public documentation that a cluster can run, and the image that runs them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests import own_image

HERE = Path(__file__).parent
MANIFESTS = HERE.parent / "apiserver" / "manifests"


@dataclass(frozen=True)
class Snippet:
    """Python as the documentation prints it.

    Attributes:
        name: for people.
        printed: the program.
        scaled: what is replaced in it, so that it fits a small node.
    """

    name: str
    printed: str
    scaled: Mapping[str, str] = field(default_factory=dict)

    def program(self) -> str:
        """What is run.

        Raises:
            ValueError: something that is to be replaced is not there.
        """
        text = self.printed
        for old, new in self.scaled.items():
            if old not in text:
                raise ValueError(f"{self.name} has no {old!r}")
            text = text.replace(old, new)
        return text


def snippets() -> list[Snippet]:
    """All that there are."""
    found = tomllib.loads((HERE / "snippets.toml").read_text(encoding="utf-8"))
    return [Snippet(name, each["printed"], each.get("scaled", {})) for name, each in found.items()]


def image(dask_image: str) -> str:
    """Reference of an image for the examples, which the engine holds; built unless it is there.

    Args:
        dask_image: the Dask image of the tests.

    Raises:
        Failure: it cannot be built.
    """
    return own_image.ensure("tests/seeds", HERE, {"DASK_IMAGE": dask_image})
