"""What the advisories of Debian and PyPI say of the controller image. Run as ``make scan``.

Exit status: 0 there is nothing to do; 1 there is a finding that an update would fix and nobody has accepted; 3 there
is none of those, but not all advisories could be reached, so that nobody knows.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ci.cli import guarded
from ci.console import console
from ci.process import output
from scripts import environments, images, sbom

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "build" / "sbom.json"
ACCEPTED = Path(__file__).with_name("accepted_advisories.toml")

FINDINGS, UNKNOWN = 1, 3

# A service that has no advisory for this version has none at all: pip-audit says the same of "nothing is known" and
# of "nobody could be asked".
CONTROL = ("jinja2", "2.10")
_SERVICES = ("pypi", "osv")

# From the sources that the base image has, Debian's security archive among them.
_UPDATES = """
set -- -qq -o Acquire::Languages=none
apt-get "$@" -o APT::Update::Error-Mode=any update && apt-get "$@" --simulate dist-upgrade
"""
_UPDATE = re.compile(r"^Inst (\S+) \[(\S+)\] \((\S+) (.*)\)", re.MULTILINE)
_TIMEOUT_SECONDS = 300


class UnreachableError(Exception):
    """Advisories could not be looked up; the text says which."""


@dataclass(frozen=True, order=True)
class Finding:
    """An advisory about something in the image.

    Attributes:
        package: Debian package or Python distribution.
        installed: its version.
        advisory: what the advisory is called; of Debian's packages, the version that the advisory is about.
        fixed: the version that fixes it; empty if there is none.
    """

    package: str
    installed: str
    advisory: str
    fixed: str

    def __str__(self) -> str:
        """A line for people."""
        fix = f"fixed in {self.fixed}" if self.fixed else "no fix yet"
        what = "security update" if self.advisory == self.fixed else self.advisory
        return f"{self.package} {self.installed}: {what}, {fix}"


@dataclass(frozen=True)
class Accepted:
    """A finding that stays for a time: its package and advisory, why, and the last day."""

    package: str
    advisory: str
    reason: str
    until: datetime.date


def accepted(text: str) -> list[Accepted]:
    """The exceptions in a TOML document.

    Raises:
        TypeError: an entry lacks a field, or has one that is not known.
    """
    return [Accepted(**entry) for entry in tomllib.loads(text).get("accepted", ())]


def to_fix(findings: Iterable[Finding], exceptions: Sequence[Accepted], today: datetime.date) -> list[Finding]:
    """The findings that have a fix and no exception that still holds."""
    excepted = {(one.package, one.advisory) for one in exceptions if today <= one.until}
    return sorted(one for one in findings if one.fixed and (one.package, one.advisory) not in excepted)


def debian_updates(said: str) -> list[Finding]:
    """The updates that come from Debian's security archive, of those that ``apt-get --simulate`` would install."""
    found = _UPDATE.findall(said)
    return [Finding(name, old, new, new) for name, old, new, origin in found if "Debian-Security" in origin]


def python_advisories(answer: str) -> list[Finding]:
    """What is in an answer of pip-audit, but for what it says of ``CONTROL``.

    Raises:
        UnreachableError: the service did not know something that it was asked for.
    """
    dependencies = json.loads(answer)["dependencies"]
    skipped = [one["name"] for one in dependencies if "skip_reason" in one]
    if skipped:
        raise UnreachableError(f"it does not know {len(skipped)} of {len(dependencies)}, such as {skipped[0]}")
    findings = [
        Finding(one["name"], one["version"], vulnerability["id"], ", ".join(vulnerability["fix_versions"]))
        for one in dependencies
        for vulnerability in one["vulns"]
    ]
    control = {one for one in findings if (one.package, one.installed) == CONTROL}
    if not control:
        raise UnreachableError(f"it has no advisory about {' '.join(CONTROL)}")
    return [one for one in findings if one not in control]


def _debian(found: sbom.Inventory) -> list[Finding]:
    container = [
        "docker",
        "run",
        "--rm",
        "--user=0",
        "--network=host",
        "--entrypoint=sh",
        found.image,
        "-c",
        _UPDATES,
    ]
    status, said, error = output(container, timeout_seconds=_TIMEOUT_SECONDS)
    if status:
        raise UnreachableError(f"Debian's archive: {_last_line(error)}")
    return debian_updates(said)


def _python(found: sbom.Inventory) -> list[Finding]:
    # Of this project's own distribution PyPI has no release of that version.
    distributions = [one for one in found.python if one[0] != images.CONTROLLER_IMAGE]
    python = str(environments.python("scan"))
    reasons = []
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.writelines(f"{name}=={version}\n" for name, version in [*distributions, CONTROL])
        requirements.flush()
        for service in _SERVICES:
            options = [
                "--no-deps",
                "--disable-pip",
                "--format=json",
                "--progress-spinner=off",
                f"--vulnerability-service={service}",
            ]
            command = [python, "-m", "pip_audit", f"--requirement={requirements.name}", *options]
            _, answer, error = output(command, timeout_seconds=_TIMEOUT_SECONDS)
            try:
                return python_advisories(answer) if answer else _give_up(error)
            except UnreachableError as unreachable:
                reasons.append(f"{service}: {unreachable}")
    raise UnreachableError(f"advisories about Python distributions: {'; '.join(reasons)}")


def _give_up(error: str) -> list[Finding]:
    raise UnreachableError(_last_line(error))


def _last_line(text: str) -> str:
    return textwrap.shorten((text.strip().splitlines() or ["no answer"])[-1], 160)


def _scan() -> int:
    built = images.build()
    with console.step("list what is in the image"):
        found = sbom.inventory(built.controller)
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(sbom.document(found))
    findings: list[Finding] = []
    unreachable = []
    with console.step("look up the advisories"):
        for look_up in (_debian, _python):
            try:
                findings += look_up(found)
            except UnreachableError as error:
                unreachable.append(str(error))
    failing = to_fix(findings, accepted(ACCEPTED.read_text()), datetime.datetime.now(datetime.UTC).date())
    print(
        f"{built.controller}: {len(found.debian)} Debian packages, {len(found.python)} Python distributions ({SBOM})"
    )
    for one in sorted(findings):
        print(f"{'update' if one in failing else 'accepted' if one.fixed else 'waiting'}: {one}")
    for reason in unreachable:
        print(f"could not be looked up: {reason}")
    return FINDINGS if failing else UNKNOWN if unreachable else 0


def main() -> None:
    """Build the image, write its bill of materials to build/sbom.json, and look up the advisories."""
    if status := _scan():
        sys.exit(status)


if __name__ == "__main__":
    sys.exit(guarded(main))
