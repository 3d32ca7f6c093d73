"""The samples that GitOps tools' health checks are tested with are what the controller writes."""

from __future__ import annotations

import pytest

from .health_samples import FOLDER, record, text

pytestmark = pytest.mark.unit


def test_the_samples_are_what_the_controller_writes() -> None:
    files = (path for path in FOLDER.glob("*/testdata/*.yaml") if not path.stem.endswith("_recorded"))
    stored = {str(path.relative_to(FOLDER)): path.read_text() for path in files}
    written = {path: text(sample) for path, sample in record().items()}
    assert stored == written, "run `python -m tests.unit.controller.health_samples`, and read the difference"
