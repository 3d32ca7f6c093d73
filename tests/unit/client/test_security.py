"""Certificates of a cluster that talks TLS."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
from distributed.security import Security

from dask_kubernetes.exceptions import ValidationError
from dask_kubernetes.operator import make_cluster_spec
from dask_kubernetes.operator.api import Api
from dask_kubernetes.operator.kubecluster import security as tls

from .fake_api import FakeApi, refusal

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
