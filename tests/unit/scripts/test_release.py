"""Which version is released, and what is said where it cannot be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ci.console import Failure
from scripts.release import changelog, chart, registry, version
from scripts.release.__main__ import main
from scripts.release.artifacts import Artifacts
from scripts.render import revision

pytestmark = pytest.mark.unit

CHANGELOG = """\
# Changelog

## Unreleased

## 1.2.0 - 2026-09-01

### Added

- This.

## 1.1.0 - 2026-08-01

- That.
"""
IMAGE = "image:\n  name: r/dask/operator\n  tag: 1.2.0\n  digest: ''\nother:\n  digest: \"\"\n"
DIGEST = f"sha256:{'0' * 64}"


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one commit, with a changelog."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / ".gitignore").write_text("build/\n")
    base = tmp_path / "kustomize" / "base"
    base.mkdir(parents=True)
    (base / "kustomization.yaml").write_text("images:\n  - name: dask\n    newTag: 1.2.0\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=one")
    return tmp_path


def test_version_is_the_tag_of_head(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(repository, "tag", "1.2.0")
    git(repository, "tag", "blessed")
    assert main(["check"], repository) == 0
    assert capsys.readouterr().out == "1.2.0\n"


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([], "HEAD has no tag, and only what is tagged is released"),
        (["v1.2.0"], "HEAD has the tag v1.2.0, which is no version as Helm"),
        (["1.2"], "HEAD has the tag 1.2, which is no version"),
        (["2026.09.0"], "which is no version"),
        (["1.2.0+build"], "which is no version"),
        (["1.2.0-a_b"], "which is no version"),
        (["1.2.0", "1.3.0"], r"HEAD has the tags of several versions \(1\.2\.0, 1\.3\.0\); delete all but one"),
    ],
)
def test_head_that_is_no_release_is_refused(repository: Path, tags: list[str], message: str) -> None:
    for tag in tags:
        git(repository, "tag", tag)
    with pytest.raises(Failure, match=message):
        version.of_head(repository)


def test_tag_of_an_older_commit_is_no_version_of_head(repository: Path) -> None:
    git(repository, "tag", "1.2.0")
    git(repository, "commit", "--quiet", "--allow-empty", "--message=two")
    with pytest.raises(Failure, match="HEAD has no tag"):
        version.of_head(repository)


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.txt"])
def test_changes_that_are_in_no_commit_are_named(repository: Path, name: str) -> None:
    git(repository, "tag", "1.2.0")
    (repository / name).write_text("changed")
    with pytest.raises(Failure, match=rf"changes that are in no commit \({name}\); commit or remove them"):
        version.of_head(repository)


def test_what_is_no_checkout_has_no_version(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="This is no git checkout"):
        version.of_head(tmp_path)


def test_tree_that_names_another_version_is_refused(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "kustomize" / "base" / "kustomization.yaml").write_text("newTag: set-by-release\n")
    git(repository, "commit", "--all", "--quiet", "--message=two")
    git(repository, "tag", "1.2.0")
    assert main(["check"], repository) == 1
    assert "kustomize/base/kustomization.yaml does not name 1.2.0; run: make render" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", "1.2.0"),
        ("## Unreleased\n", "## Unreleased\n\n- More.\n", None),
        ("## Unreleased\n", "", "1.2.0"),
        (CHANGELOG, "# Changelog\n\n## Unreleased\n", None),
    ],
)
def test_tree_is_of_the_newest_release_until_something_changes(
    repository: Path, old: str, new: str, expected: str | None
) -> None:
    (repository / "CHANGELOG.md").write_text(CHANGELOG.replace(old, new) if old else CHANGELOG)
    assert changelog.released(repository) == expected
    assert revision.of_tree(repository) == (expected or "set-by-release")


def test_notes_are_the_section_of_the_version(repository: Path) -> None:
    assert changelog.notes(repository, "1.2.0") == "### Added\n\n- This.\n"
    assert changelog.notes(repository, "1.1.0") == "- That.\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("## 1.2.0 - 2026-09-01", "## 1.3.0 - 2026-09-01", r"there is no section '## 1\.2\.0 - DATE'"),
        ("## 1.2.0 - 2026-09-01", "## 1.2.0", r"'## 1\.2\.0' has no date"),
        ("## 1.2.0 - 2026-09-01", "## 1.2.0 - soon", r"'## 1\.2\.0 - soon' has no date"),
        ("### Added\n\n- This.\n", "", r"the section '## 1\.2\.0 - 2026-09-01' is empty"),
        (
            "## Unreleased\n",
            "## Unreleased\n\n- More.\n",
            r"there are changes under '## Unreleased'; move them to '## 1",
        ),
    ],
)
def test_changelog_that_does_not_say_what_is_new_is_refused(
    repository: Path, old: str, new: str, message: str
) -> None:
    (repository / "CHANGELOG.md").write_text(CHANGELOG.replace(old, new))
    with pytest.raises(Failure, match=rf"CHANGELOG\.md: {message}"):
        changelog.notes(repository, "1.2.0")


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (["push", "--to=oci://registry.example.com/dask"], "operator-1.2.0.tgz is not packaged; run: python -m"),
        (
            ["index", "--folder=.", "--url=https://example.com"],
            "is not packaged; run: python -m scripts.release chart",
        ),
        (["chart", "--key=a", "--keyring=b"], "the image of 1.2.0 is not published; run: python -m"),
        (["notes"], "image of 1.2.0 is not published"),
        (["manifest", "--to=r", "--architectures=amd64,s390x"], "--architectures: s390x is not known; choose from"),
    ],
)
def test_step_out_of_order_says_what_comes_first(
    repository: Path, capsys: pytest.CaptureFixture[str], verb: list[str], message: str
) -> None:
    git(repository, "tag", "1.2.0")
    assert main(verb, repository) == 1
    assert message.lower() in capsys.readouterr().err.lower()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("dial tcp 192.0.2.1:443: connect: connection refused", "the registry r.example.com cannot be reached"),
        ("dial tcp: lookup r.example.com: no such host", "the registry r.example.com cannot be reached"),
        ("unauthorized: authentication required", "log in with: docker login r.example.com"),
        ("denied: permission_denied: write_package", "log in with: docker login r.example.com"),
        ("something else\nthe last line\n", "docker push failed: the last line"),
        ("", "docker push failed: no reason given"),
    ],
)
def test_what_a_registry_says_is_a_sentence(said: str, message: str) -> None:
    assert message in str(registry.failure("r.example.com/dask/image:1", "docker push", said))


@pytest.mark.parametrize(
    ("reference", "plain"),
    [
        ("127.0.0.1:5000/dask/image:1", True),
        ("oci://localhost:5000/charts", True),
        ("localhost/charts", True),
        ("ghcr.io/dask", False),
        ("localhost.example.com/dask", False),
        ("10.0.0.1:5000/dask", False),
    ],
)
def test_plain_http_is_for_this_machine_alone(reference: str, plain: bool) -> None:
    assert registry.is_on_this_machine(reference) is plain


def test_output_without_a_digest_is_told() -> None:
    with pytest.raises(Failure, match="helm push told no digest; it said: done"):
        registry.digest_in("done\n", "helm push")


def test_digest_is_written_where_the_image_is(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(IMAGE)
    chart.pin(values, "r/dask/operator", "1.2.0", DIGEST)
    assert values.read_text() == IMAGE.replace("''", f'"{DIGEST}"')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tag: 1.2.0", "tag: 1.1.0", r"image is r/dask/operator:1\.1\.0 and the one pushed is r/dask/operator:1\.2"),
        ("r/dask", "s/dask", "image is s/dask/operator"),
        ("  digest: ''\n", "", 'there is no line `digest: ""` below `image`'),
        ("''", "sha256:old", 'there is no line `digest: ""` below `image`'),
    ],
)
def test_values_of_another_image_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(IMAGE.replace(old, new))
    before = values.read_text()
    with pytest.raises(Failure, match=message):
        chart.pin(values, "r/dask/operator", "1.2.0", DIGEST)
    assert values.read_text() == before


def test_checksums_are_of_all_files_but_their_own(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path, "1.2.0")
    artifacts.remember("image", "reference")
    first = artifacts.write_checksums().read_text()
    assert artifacts.write_checksums().read_text() == first
    check = ["sha256sum", "--check", "SHA256SUMS"]
    checked = subprocess.run(check, cwd=artifacts.folder, capture_output=True, check=True)
    assert checked.stdout == b"image.txt: OK\n"
