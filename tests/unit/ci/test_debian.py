"""The certificates that go into images."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import pytest

from ci import debian

pytestmark = pytest.mark.unit


def certificate(content: bytes, width: int = 64) -> str:
    body = base64.b64encode(content).decode()
    lines = [body[start : start + width] for start in range(0, len(body), width)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"]) + "\n"


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A Debian that trusts one authority."""
    archive = tmp_path / "rootfs.tar"
    content = certificate(b"debian's own" * 10).encode()
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("./usr/share/ca-certificates/mozilla/One.crt")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive


def test_only_what_debian_does_not_trust_already_is_added(
    rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    proxy = certificate(b"the proxy's" * 10)
    # Debian's own, written with other line ends, is the same certificate.
    known = certificate(b"debian's own" * 10, width=76)
    bundle.write_text(f"# comment\n{known}\n{proxy}\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert debian.host_certificates(rootfs) == [proxy]
    debian.write_certificates([proxy], tmp_path / "context" / "certificates")
    assert [file.read_text() for file in (tmp_path / "context" / "certificates").glob("*.crt")] == [proxy]


def test_a_host_without_a_bundle_adds_nothing(rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    assert debian.host_certificates(rootfs) == []
    debian.write_certificates([], tmp_path / "certificates")
    assert (tmp_path / "certificates").is_dir()
