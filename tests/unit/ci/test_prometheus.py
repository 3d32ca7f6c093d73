"""Where Prometheus, its operator and their definitions come from, as far as no engine is needed."""

from __future__ import annotations

import re

import pytest

from ci import prometheus
from ci.console import Failure

pytestmark = pytest.mark.unit


def test_module_pins_one_version_of_the_programs_and_of_the_definitions() -> None:
    text = (prometheus.MODULE / "go.mod").read_text()
    programs = re.findall(r"^\t(\S+/cmd/\S+)$", text, re.MULTILINE)
    assert sorted(programs) == sorted(f"{prometheus.ROOT_PACKAGE}/cmd/{name}" for name in prometheus.PROGRAMS)
    assert len(re.findall(rf"^\t{re.escape(prometheus.ROOT_PACKAGE)} v", text, re.MULTILINE)) == 1


def test_version_is_told_without_what_debian_adds() -> None:
    told = "prometheus, version 2.42.0+ds (branch: debian/sid, revision: 2.42.0+ds-5+deb12u1)\n  go version: go1.19.8"
    assert prometheus.version_of(told) == "2.42.0"


def test_image_that_tells_no_version_is_a_failure() -> None:
    with pytest.raises(Failure, match="says no version"):
        prometheus.version_of("exec format error")
