"""What is made of the answers of advisories."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from scripts.scan import (
    ACCEPTED,
    CONTROL,
    Accepted,
    Finding,
    UnreachableError,
    accepted,
    debian_updates,
    python_advisories,
    to_fix,
)

pytestmark = pytest.mark.unit

TODAY = datetime.date(2026, 11, 21)
APT = """\
NOTE: This is only a simulation!
Inst libssl3 [3.0.20-1] (3.0.22-1 Debian-Security:12/oldstable-security [amd64]) []
Inst base-files [12.4+deb12u14] (12.4+deb12u15 Debian:12.14/oldstable [amd64])
Inst tzdata [2026b-0] (2026f-0 Debian:12-updates/oldstable-updates, Debian-Security:12/oldstable-security [all])
Conf libssl3 (3.0.22-1 Debian-Security:12/oldstable-security [amd64])
"""


def test_debian_updates_are_those_of_the_security_archive() -> None:
    assert debian_updates(APT) == [
        Finding("libssl3", "3.0.20-1", "3.0.22-1", "3.0.22-1"),
        Finding("tzdata", "2026b-0", "2026f-0", "2026f-0"),
    ]


def answer(*dependencies: dict[str, Any], control: bool = True) -> str:
    vulns = [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]}] if control else []
    of_control = {"name": CONTROL[0], "version": CONTROL[1], "vulns": vulns}
    return json.dumps({"dependencies": [*dependencies, of_control]})


def test_advisories_of_pypi_without_those_about_the_control() -> None:
    known = [{"id": "PYSEC-2026-1", "fix_versions": ["1.1", "2.0"]}, {"id": "PYSEC-2026-2", "fix_versions": []}]
    assert python_advisories(answer({"name": "kopf", "version": "1.0", "vulns": known})) == [
        Finding("kopf", "1.0", "PYSEC-2026-1", "1.1, 2.0"),
        Finding("kopf", "1.0", "PYSEC-2026-2", ""),
    ]


def test_nothing_known_is_nothing_found() -> None:
    assert python_advisories(answer({"name": "kopf", "version": "1.0", "vulns": []})) == []


def test_a_service_that_does_not_know_a_version_has_not_answered() -> None:
    with pytest.raises(UnreachableError, match="does not know 1 of 2, such as kopf"):
        python_advisories(answer({"name": "kopf", "skip_reason": "not found"}))


def test_a_service_without_advisories_has_not_answered() -> None:
    with pytest.raises(UnreachableError, match=r"no advisory about jinja2 2\.10"):
        python_advisories(answer({"name": "kopf", "version": "1.0", "vulns": []}, control=False))


FIXED = Finding("kopf", "1.0", "PYSEC-2026-1", "1.1")
UNFIXED = Finding("kopf", "1.0", "PYSEC-2026-2", "")


@pytest.mark.parametrize(
    ("advisory", "until", "left"),
    [
        ("PYSEC-2026-1", TODAY, []),
        ("PYSEC-2026-1", TODAY - datetime.timedelta(days=1), [FIXED]),
        ("PYSEC-2026-2", TODAY, [FIXED]),
    ],
    ids=["holds on its last day", "does not after it", "is of another advisory"],
)
def test_an_exception(advisory: str, until: datetime.date, left: list[Finding]) -> None:
    assert to_fix([FIXED], [Accepted("kopf", advisory, "why", until)], TODAY) == left


def test_what_has_no_fix_cannot_be_fixed() -> None:
    assert to_fix([UNFIXED, FIXED], [], TODAY) == [FIXED]


def test_exceptions_are_read_with_reason_and_date() -> None:
    entry = '[[accepted]]\npackage = "a"\nadvisory = "b"\nreason = "c"\nuntil = 2026-11-21\n'
    assert accepted(entry) == [Accepted("a", "b", "c", TODAY)]


@pytest.mark.parametrize("line", ["", "until = 2026-11-21\nwhy = 1"], ids=["without a date", "with more"])
def test_an_exception_that_is_not_whole_is_refused(line: str) -> None:
    with pytest.raises(TypeError):
        accepted(f'[[accepted]]\npackage = "a"\nadvisory = "b"\nreason = "c"\n{line}\n')


def test_exceptions_of_this_tree_are_whole() -> None:
    assert all(one.reason for one in accepted(ACCEPTED.read_text()))
