"""A release as far as it takes no engine and no cluster: a real registry, a real index, a real signature."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import documented, releases
from tests.releases import NAME, VERSION, Site
from tests.releases import NO_DIGEST as DIGEST

pytestmark = pytest.mark.render

SIGNER = ("--key=release@dask.org", "--keyring=../keyring.gpg", "--passphrase-file=../passphrase")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A release of which the chart is published, for an image that nobody has pushed."""
    with releases.published(tmp_path_factory.mktemp("release"), releases.pretend_image) as site:
        yield site


@pytest.fixture(params=["helm", "helm4"])
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """An environment with one of the two Helms, and the keys of nobody."""
    own = releases.helm_environment(tmp_path, request.param)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    return {**own, "GNUPGHOME": str(keys)}


def shell(command: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def test_what_is_released_is_signed_and_pinned_by_digest(published: Site) -> None:
    assert published.registry.tags(f"dask/charts/{NAME}") == [VERSION]
    assert sorted(path.name for path in published.artifacts.iterdir()) == [
        "NOTES.md",
        "SHA256SUMS",
        "chart.txt",
        f"{NAME}-{VERSION}.tgz",
        f"{NAME}-{VERSION}.tgz.prov",
        "image.txt",
        "sbom-amd64.json",
    ]
    checked = shell("sha256sum --check SHA256SUMS", {}, published.artifacts)
    assert checked.returncode == 0, checked.stdout
    notes = (published.artifacts / "NOTES.md").read_text()
    assert "A kustomize tree that amounts to the chart" in notes
    assert f"`oci://{published.registry.host}/dask/charts/{NAME}:{VERSION}@{published.digest('chart')}`" in notes
    assert f":{VERSION}@{DIGEST}`" in notes


def test_chart_of_the_tag_differs_from_the_tree_only_in_version_and_image(published: Site, tmp_path: Path) -> None:
    shutil.unpack_archive(published.artifacts / f"{NAME}-{VERSION}.tgz", tmp_path, "gztar", filter="data")
    chart, tree = tmp_path / NAME, published.checkout / "chart" / NAME
    changed = [
        path.relative_to(chart).as_posix()
        for path in sorted(chart.rglob("*"))
        if path.is_file() and path.read_bytes() != (tree / path.relative_to(chart)).read_bytes()
    ]
    assert changed == ["Chart.yaml", "values.yaml"]
    values, theirs = (yaml.safe_load((one / "values.yaml").read_text()) for one in (chart, tree))
    name = f"{published.registry.host}/dask/{NAME}"
    assert values == {**theirs, "image": {**theirs["image"], "name": name, "tag": VERSION, "digest": DIGEST}}
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["version"] == VERSION


def test_operator_is_rendered_with_its_image_by_digest(published: Site, helm: dict[str, str], tmp_path: Path) -> None:
    rendered = shell(f"helm template dask --plain-http {published.chart}", helm, tmp_path)
    assert rendered.returncode == 0, rendered.stderr
    (deployment,) = (one for one in yaml.safe_load_all(rendered.stdout) if one and one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f"/dask/{NAME}:{VERSION}@{DIGEST}")


def test_signature_is_verified_as_documented(published: Site, helm: dict[str, str], tmp_path: Path) -> None:
    said = documented.run(
        "docs/pinning.md",
        "The signature",
        replace=published.replacements("https://helm.dask.org", **published.in_registry),
        environment=helm,
        folder=tmp_path,
    )
    assert "Dask release <release@dask.org>" in said[1]
    assert "Signed by: Dask release <release@dask.org>" in said[2]
    assert "Chart Hash Verified: sha256:" in said[3]


def test_another_digest_is_not_taken(published: Site, helm: dict[str, str], tmp_path: Path) -> None:
    chart = f"oci://{published.registry.host}/dask/charts/{NAME}@{DIGEST}"
    refused = shell(f"helm pull --plain-http {chart}", helm, tmp_path)
    assert refused.returncode != 0
    assert "not found" in refused.stderr


def test_key_of_somebody_else_is_refused(published: Site, helm: dict[str, str], tmp_path: Path) -> None:
    other = (
        "gpg --batch --passphrase '' --quick-generate-key other@example.com rsa2048 sign && gpg --export > other.gpg"
    )
    assert shell(other, helm, tmp_path).returncode == 0
    chart = published.artifacts / f"{NAME}-{VERSION}.tgz"
    refused = shell(f"helm verify {chart} --keyring other.gpg", helm, tmp_path)
    assert refused.returncode != 0
    assert "signature made by unknown entity" in refused.stderr


def test_chart_that_was_changed_is_refused(published: Site, helm: dict[str, str], tmp_path: Path) -> None:
    for name in (f"{NAME}-{VERSION}.tgz", f"{NAME}-{VERSION}.tgz.prov"):
        shutil.copy(published.artifacts / name, tmp_path)
    with (tmp_path / f"{NAME}-{VERSION}.tgz").open("ab") as chart:
        chart.write(b"more")
    key = published.pages / f"{NAME}.gpg"
    refused = shell(f"helm verify {NAME}-{VERSION}.tgz --keyring {key}", helm, tmp_path)
    assert refused.returncode != 0
    assert "sha256 sum does not match" in refused.stderr


def test_index_keeps_older_releases(published: Site, helm: dict[str, str], tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    package = f"helm package {published.checkout}/chart/{NAME} --version 2026.8.0 -d pages"
    older = f"{package} && helm repo index pages --url {published.url}"
    assert shell(older, helm, tmp_path).returncode == 0
    added = published.run("index", f"--folder={pages}", f"--url={published.url}")
    assert added.returncode == 0, added.stderr
    entries = yaml.safe_load((pages / "index.yaml").read_text())["entries"][NAME]
    assert [one["version"] for one in entries] == [VERSION, "2026.8.0"]
    digest = hashlib.sha256((published.artifacts / f"{NAME}-{VERSION}.tgz").read_bytes()).hexdigest()
    assert entries[0]["digest"] == digest


def publishing(site: Site) -> tuple[tuple[str, ...], ...]:
    """The verbs that publish the chart."""
    push = ("push", f"--to=oci://{site.registry.host}/dask/charts")
    return push, ("index", "--folder=../pages", f"--url={site.url}")


def test_same_again_changes_nothing(published: Site) -> None:
    before = published.digest("chart")
    for verb in publishing(published):
        done = published.run(*verb)
        assert done.returncode == 0, done.stderr
    assert published.digest("chart") == before


def test_release_that_is_begun_anew_takes_what_is_out_already(published: Site) -> None:
    chart = published.artifacts / f"{NAME}-{VERSION}.tgz"
    before, digest = chart.read_bytes(), published.digest("chart")
    again = published.run("chart", *SIGNER)
    assert again.returncode == 0, again.stderr
    assert chart.read_bytes() != before, "packaged at another time"
    pushed = published.run(*publishing(published)[0])
    assert pushed.returncode == 0, pushed.stderr
    assert chart.read_bytes() == before
    assert published.digest("chart") == digest


def test_other_chart_of_the_same_version_replaces_nothing(published: Site) -> None:
    image = published.artifacts / "image.txt"
    kept = {path: path.read_bytes() for path in published.artifacts.iterdir()}
    try:
        image.write_text(image.read_text().replace("a" * 64, "b" * 64))
        assert published.run("chart", *SIGNER).returncode == 0
        for verb in publishing(published):
            refused = published.run(*verb)
            assert refused.returncode == 1
            assert f"another chart of {VERSION} already" in refused.stderr
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (
            ("chart", "--key=nobody@example.com", *SIGNER[1:]),
            "--key: ../keyring.gpg has no secret key of 'nobody@example.com'",
        ),
        (("chart", SIGNER[0], "--keyring=../none.gpg"), "--keyring: there is no file ../none.gpg"),
        (("chart", *SIGNER[:2], "--passphrase-file=../none"), "--passphrase-file: there is no file ../none"),
        (("chart", *SIGNER[:2], "--passphrase-file=README.md"), "--passphrase-file: it does not open the key"),
        (("push", "--to=oci://127.0.0.1:1/dask"), "the registry 127.0.0.1:1 cannot be reached"),
        (
            ("push", "--to=ghcr.io/dask"),
            "--to: ghcr.io/dask is no registry for charts; write it as oci://HOST/FOLDER",
        ),
        (("index", "--folder=../none", "--url=https://x"), "--folder: there is no folder ../none"),
        (("index", "--folder=../pages", "--url=x"), "--url: x is no address of a web server"),
    ],
)
def test_what_is_wrong_is_told(published: Site, verb: tuple[str, ...], message: str) -> None:
    before = {path.name: path.read_bytes() for path in published.artifacts.iterdir()}
    refused = published.run(*verb)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert {path.name: path.read_bytes() for path in published.artifacts.iterdir()} == before


def test_settings_for_renovate_find_what_the_page_shows() -> None:
    page = (documented.ROOT / "docs" / "pinning.md").read_text()
    settings = json.loads(page.partition("```json\n")[2].partition("```")[0])
    values = page.rpartition("```yaml\n")[2].partition("```")[0]
    (manager,) = settings["customManagers"]
    (pattern,) = manager["matchStrings"]
    found = re.search(pattern.replace("(?<", "(?P<"), values)
    assert found
    assert found.groupdict() == {
        "depName": f"ghcr.io/dask/{NAME}",
        "currentValue": VERSION,
        "currentDigest": yaml.safe_load(values)["image"]["digest"],
    }
