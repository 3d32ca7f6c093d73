"""Certificates of a cluster that talks TLS."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from distributed import Client
from distributed.security import Security

from dask_kubernetes.exceptions import ValidationError
from dask_kubernetes.operator import KubeCluster, make_cluster_spec
from dask_kubernetes.operator.api import Api
from dask_kubernetes.operator.kubecluster import security as tls

from .fake_api import FakeApi, refusal
from .fake_operator import at_work

pytestmark = pytest.mark.unit


@pytest.fixture
async def api(server: FakeApi) -> AsyncIterator[Api]:
    async with await Api.connect(str(server.kubeconfig)) as api:
        yield api


def secret(server: FakeApi, **data: str) -> None:
    encoded = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    server.put("secrets", {"metadata": {"name": "mine"}, "data": encoded})


def test_what_a_cluster_says_of_its_tls() -> None:
    plain, encrypted = make_cluster_spec("foo"), make_cluster_spec("foo", tls_secret="mine")  # noqa: S106
    assert (tls.talks_tls(plain), tls.tls_secret(plain)) == (False, None)
    assert (tls.talks_tls(encrypted), tls.tls_secret(encrypted)) == (True, "mine")


async def test_the_clients_certificates_are_those_of_the_secret(api: Api, server: FakeApi) -> None:
    secret(server, ca_crt="the CA", tls_crt="the certificate", tls_key="the key")
    security = await tls.from_secret(api, "default", "mine")
    roles = security.get_tls_config_for_role("client")
    assert roles["ca_file"] == "the CA"
    assert (roles["cert"], roles["key"]) == ("the certificate", "the key")
    assert security.require_encryption


async def test_a_secret_that_cannot_be_used(api: Api, server: FakeApi) -> None:
    with pytest.raises(ValidationError, match="tls_secret is 'mine', and there is no such Secret in default"):
        await tls.from_secret(api, "default", "mine")
    secret(server, ca_crt="the CA")
    with pytest.raises(ValidationError, match=r"lacks tls\.crt, tls\.key"):
        await tls.from_secret(api, "default", "mine")
    server.refusals["get", "secrets"] = refusal(403, "Forbidden", "no secrets for you")
    with pytest.raises(ValidationError, match="pass security="):
        await tls.from_secret(api, "default", "mine")


def test_what_may_be_given() -> None:
    given = Security(require_encryption=False)
    assert tls.checked(given) is given
    assert tls.checked(None) is None
    assert isinstance(tls.checked({"require_encryption": False}), Security)
    for wrong in (True, "tls", 1):
        with pytest.raises(TypeError, match="security is "):
            tls.checked(wrong)


def test_a_cluster_that_talks_tls(server: FakeApi, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    command = ["openssl", "req", *kind, "-subj", "/CN=dask", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    secret(server, ca_crt=certificate.read_text(), tls_crt=certificate.read_text(), tls_key=key.read_text())
    files: dict[str, object] = {"require_encryption": True, "tls_ca_file": str(certificate)}
    for role in ("scheduler", "worker", "client"):
        files.update({f"tls_{role}_cert": str(certificate), f"tls_{role}_key": str(key)})
    with at_work(server) as operator:
        operator.security = Security(**files)
        with (
            KubeCluster(name="foo", n_workers=1, tls_secret="mine", resource_timeout=5) as cluster,  # noqa: S106
            Client(cluster) as client,
        ):
            assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
            assert client.submit(sum, [1, 2]).result(20) == 3
        server.refusals["get", "secrets"] = refusal(403, "Forbidden", "no secrets for you")
        with KubeCluster(name="foo", n_workers=0, tls_secret="mine", security=files, resource_timeout=5):  # noqa: S106
            pass
        with pytest.raises(ValidationError, match="pass security="):
            KubeCluster(name="foo", tls_secret="mine", resource_timeout=5)  # noqa: S106
    assert not server.named("daskclusters")
