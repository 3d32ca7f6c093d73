"""Certificates of a cluster that talks TLS."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client
from distributed.security import Security

from dask_kubernetes.exceptions import ConflictError, ForbiddenError, QuotaExceededError, ValidationError
from dask_kubernetes.operator import KubeCluster, make_cluster_spec
from dask_kubernetes.operator.api import Api
from dask_kubernetes.operator.kubecluster import security as tls

from .fake_api import FakeApi, refusal, until
from .fake_operator import FakeOperator, at_work

pytestmark = pytest.mark.unit

DATA = dict.fromkeys(("ca.crt", "tls.crt", "tls.key"), base64.b64encode(b"of before").decode())


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
    assert tls.checked(None) is False
    assert isinstance(tls.checked({"require_encryption": False}), Security)
    assert tls.checked(True) is True
    assert tls.checked(False) is False
    nothing_of_it: tuple[object, ...] = ("tls", 1, [])
    for wrong in nothing_of_it:
        with pytest.raises(TypeError, match="security is "):
            tls.checked(wrong)


def made(folder: Path, name: str = "tls") -> tuple[Path, Path]:
    """A certificate that signed itself, and its key, as files."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    command = ["openssl", "req", *kind, "-subj", "/CN=dask", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def of_all_roles(certificate: Path | str, key: Path | str | None) -> dict[str, Any]:
    """Arguments of a Security in which all roles have the same certificate; paths or texts."""
    given: dict[str, Any] = {"require_encryption": True, "tls_ca_file": str(certificate)}
    for role in ("scheduler", "worker", "client"):
        given[f"tls_{role}_cert"] = str(certificate)
        given[f"tls_{role}_key"] = None if key is None else str(key)
    return given


def test_a_cluster_that_talks_tls(server: FakeApi, tmp_path: Path) -> None:
    certificate, key = made(tmp_path)
    secret(server, ca_crt=certificate.read_text(), tls_crt=certificate.read_text(), tls_key=key.read_text())
    files = of_all_roles(certificate, key)
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


# A Secret that is made


@pytest.fixture
def operator(server: FakeApi) -> Iterator[FakeOperator]:
    """An operator whose schedulers have the certificates of the Secret that is there, as Pods that mount it have."""
    with (
        dask.config.set({"kubernetes.resource-timeout": 5, "kubernetes.count.start": 0}),
        at_work(server) as operator,
    ):

        def mounted(event: str, plural: str, body: dict[str, Any]) -> None:
            if plural == "secrets" and event == "ADDED" and body["data"] != DATA:
                texts = {key: base64.b64decode(value).decode() for key, value in body["data"].items()}
                given = of_all_roles(texts["tls.crt"], texts["tls.key"])
                operator.security = Security(**{**given, "tls_ca_file": texts["ca.crt"]})
                operator.takes_up = True
                for found in [each for (kind, _, _), each in server.objects.items() if kind == "daskclusters"]:
                    operator._hear("ADDED", "daskclusters", found)

        operator.takes_up = False
        server.listeners.append(mounted)
        yield operator


def nothing_is_left(server: FakeApi) -> bool:
    return not server.named("daskclusters") and not server.named("secrets")


@pytest.mark.usefixtures("operator")
def test_certificates_are_made_for_a_cluster(server: FakeApi) -> None:
    with KubeCluster(name="foo", n_workers=1, security=True) as cluster, Client(cluster) as client:
        assert client.submit(sum, [1, 2]).result(20) == 3
        assert cluster.scheduler_address.startswith("tls://")
        body = server.objects["daskclusters", "default", "foo"]
        made = server.objects["secrets", "default", "foo-tls"]
        assert body["spec"] == make_cluster_spec("foo", n_workers=1, tls_secret="foo-tls")["spec"]  # noqa: S106
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner == {
            "apiVersion": "kubernetes.dask.org/v1",
            "kind": "DaskCluster",
            "name": "foo",
            "uid": body["metadata"]["uid"],
        }
        assert made["type"] == "kubernetes.io/tls"
        assert sorted(made["data"]) == ["ca.crt", "tls.crt", "tls.key"]
        assert not server.count("get", "secrets"), "it takes no right to read it"
        with KubeCluster.from_name("foo") as other, Client(other) as second:
            assert second.submit(sum, [1, 2]).result(20) == 3
        cluster.add_worker_group("more", n_workers=0)
        worker = server.objects["daskworkergroups", "default", "foo-more"]["spec"]["worker"]["spec"]
        assert worker["volumes"] == [{"name": "dask-tls", "secret": {"secretName": "foo-tls"}}]


@pytest.mark.usefixtures("operator")
async def test_a_cluster_has_the_certificates_that_are_given(server: FakeApi, tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(made, tmp_path)
    given = of_all_roles(certificate, key)
    async with (
        KubeCluster(name="foo", n_workers=1, security=Security(**given), asynchronous=True) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        assert await client.submit(sum, [1, 2]) == 3
        data = server.objects["secrets", "default", "foo-tls"]["data"]
        assert base64.b64decode(data["tls.key"]).decode() == key.read_text()
        assert base64.b64decode(data["ca.crt"]) == base64.b64decode(data["tls.crt"])


@pytest.mark.parametrize("in_one", [False, True], ids=["key apart", "key in the same text"])
@pytest.mark.parametrize("as_text", [False, True], ids=["paths", "texts"])
def test_certificates_are_read_from_files_and_texts(tmp_path: Path, as_text: bool, in_one: bool) -> None:
    certificate, key = made(tmp_path)
    text, secret_text = certificate.read_text(), key.read_text()
    if in_one:
        certificate.write_text(secret_text + text)
    shown: Path | str = certificate.read_text() if as_text else certificate
    hidden = None if in_one else secret_text if as_text else key
    found = tls.certificates_of(Security(**{**of_all_roles(shown, hidden), "tls_ca_file": text}))
    assert found == tls.Certificates(text, text, secret_text)
    assert secret_text not in repr(found)


def test_certificates_of_which_no_secret_can_be_made(server: FakeApi, tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path, "other")
    good = of_all_roles(*first)
    wrong: list[tuple[dict[str, Any], str]] = [
        (
            {"tls_worker_cert": str(second[0]), "tls_worker_key": str(second[1])},
            "different certificates for scheduler",
        ),
        ({"tls_scheduler_cert": None}, r"lacks tls_scheduler_cert, .* name it with tls_secret="),
        ({"tls_ca_file": None, "tls_worker_cert": None}, "lacks tls_ca_file, tls_worker_cert"),
        ({"tls_client_key": None}, "lacks tls_client_key, and tls_client_cert has no private key"),
        ({"tls_ca_file": str(tmp_path / "none")}, "tls_ca_file='.*/none', which cannot be read"),
    ]
    for change, words in wrong:
        security = Security(**{**good, **change})
        with pytest.raises(ValidationError, match=words):
            KubeCluster(name="foo", security=security)
        with pytest.raises(ValidationError, match=words):
            KubeCluster(name="foo", security={**good, **change}, asynchronous=True)
    assert not server.requests


def test_what_makes_certificates_may_be_missing(server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValidationError, match="pip install cryptography"):
        KubeCluster(name="foo", security=True)
    assert not server.requests


@pytest.mark.parametrize("keep", [False, True])
def test_a_right_that_is_missing_is_named_and_nothing_is_left(server: FakeApi, keep: bool) -> None:
    words = (
        'secrets is forbidden: User "me" cannot create resource "secrets" in API group "" in the namespace "default"'
    )
    server.refusals["create", "secrets"] = refusal(403, "Forbidden", words)
    with pytest.raises(ForbiddenError, match="me lacks the verb 'create' on 'secrets'"):
        KubeCluster(name="foo", security=True, shutdown_on_close=not keep)
    assert not server.count("create", "daskclusters")
    assert nothing_is_left(server)


@pytest.mark.parametrize("keep", [False, True])
def test_a_cluster_is_taken_back_when_its_secret_is_refused_after_all(server: FakeApi, keep: bool) -> None:
    def refuse(event: str, plural: str, _body: dict[str, Any]) -> None:
        if (event, plural) == ("ADDED", "daskclusters"):
            server.refusals["create", "secrets"] = refusal(403, "Forbidden", "exceeded quota: secrets")

    server.listeners.append(refuse)
    with pytest.raises(QuotaExceededError):
        KubeCluster(name="foo", security=True, shutdown_on_close=not keep)
    assert server.count("create", "daskclusters") == 1
    assert nothing_is_left(server)


@pytest.mark.parametrize(
    "owners", [[], [{"kind": "DaskCluster", "name": "other", "uid": "1"}]], ids=["none", "other"]
)
def test_a_secret_of_somebody_else_is_left_as_it_is(server: FakeApi, owners: list[Any]) -> None:
    theirs = server.put("secrets", {"metadata": {"name": "foo-tls", "ownerReferences": owners}, "data": {"a": "b"}})
    with pytest.raises(ConflictError, match=r"there is a Secret foo-tls .*: delete it, choose another name"):
        KubeCluster(name="foo", security=True, shutdown_on_close=False)
    assert server.objects["secrets", "default", "foo-tls"] == theirs
    assert not server.named("daskclusters")


@pytest.mark.usefixtures("operator")
def test_that_of_an_earlier_cluster_is_waited_for(server: FakeApi) -> None:
    owner = {"kind": "DaskCluster", "name": "foo", "uid": "earlier"}
    server.put("secrets", {"metadata": {"name": "foo-tls", "ownerReferences": [owner]}, "data": DATA})

    def collect() -> None:
        until(lambda: server.count("create", "secrets") >= 2, "it is tried again")
        server.remove("secrets", "foo-tls")

    with ThreadPoolExecutor() as garbage_collection:
        collected = garbage_collection.submit(collect)
        with KubeCluster(name="foo", security=True):
            collected.result(10)
            created = [path for verb, path in server.requests if verb == "create"]
            kinds = [path.rpartition("/")[2] for path in created]
            assert kinds == [*["secrets"] * (len(kinds) - 2), "daskclusters", "secrets"], (
                "no Pod of the new cluster sees the certificates of before"
            )
            assert server.objects["secrets", "default", "foo-tls"]["data"] != DATA


def test_one_that_does_not_go_is_not_waited_for_without_end(server: FakeApi) -> None:
    server.put("secrets", {"metadata": {"name": "foo-tls"}})
    server.refusals["get", "secrets"] = refusal(403, "Forbidden", "no secrets for you")
    with pytest.raises(ConflictError, match="which is not this cluster's"):
        KubeCluster(name="foo", security=True, resource_timeout=0.5)
    assert server.named("secrets") == ["foo-tls"]
    assert not server.named("daskclusters")


@pytest.mark.parametrize("while_it", ["creates the DaskCluster", "creates the Secret"])
async def test_a_start_that_is_cancelled_before_its_secret_is_there_leaves_nothing(
    server: FakeApi, monkeypatch: pytest.MonkeyPatch, while_it: str
) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    cluster = KubeCluster(name="foo", security=True, shutdown_on_close=False, asynchronous=True)
    if while_it == "creates the Secret":

        async def create(*_: object) -> None:
            reached.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(tls.OwnSecret, "create", create)
    else:

        def before_the_answer(event: str, *_: object) -> None:
            if event == "ADDED":
                loop.call_soon_threadsafe(reached.set)

        server.listeners.append(before_the_answer)
    starting = asyncio.ensure_future(cluster._start())
    await asyncio.wait_for(reached.wait(), 10)
    assert server.named("daskclusters") == ["foo"]
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert nothing_is_left(server)


def test_nothing_is_made_where_the_cluster_has_tls_of_its_own(server: FakeApi, tmp_path: Path) -> None:
    certificate, key = made(tmp_path)
    secret(server, ca_crt=certificate.read_text(), tls_crt=certificate.read_text(), tls_key=key.read_text())
    spec = make_cluster_spec("foo", n_workers=0, tls_secret="mine")  # noqa: S106
    security = Security(**of_all_roles(certificate, key))
    only_of_client = Security(**{**of_all_roles(certificate, key), "tls_worker_cert": None})
    with at_work(server) as operator:
        operator.security = security
        for given in (True, security, only_of_client):
            for how in ({"custom_cluster_spec": spec}, {"name": "foo", "n_workers": 0, "tls_secret": "mine"}):
                with KubeCluster(**how, security=given, resource_timeout=5) as cluster:
                    assert cluster.scheduler_address.startswith("tls://")
        server.put("daskclusters", spec)
        for given in (True, only_of_client):
            with KubeCluster.from_name("foo", security=given, resource_timeout=5) as cluster:
                assert cluster.scheduler_address.startswith("tls://")
        with KubeCluster(name="foo", security=True, resource_timeout=5) as cluster:
            assert cluster.scheduler_address.startswith("tls://")
        assert server.named("daskclusters") == ["foo"], "it was there before"
    assert server.named("secrets") == ["mine"]
    assert not server.count("create", "secrets")


def test_a_security_without_certificates_encrypts_nothing(server: FakeApi) -> None:
    with (
        at_work(server),
        KubeCluster(name="foo", n_workers=0, security=Security(require_encryption=False)) as cluster,
    ):
        assert cluster.scheduler_address.startswith("tcp://")
    assert not server.count("create", "secrets")


def test_who_wants_tls_is_not_given_less(server: FakeApi) -> None:
    plain = make_cluster_spec("foo", n_workers=0)
    with pytest.raises(ValidationError, match=r"the cluster foo says nothing of TLS: make it with make_cluster_spec"):
        KubeCluster(custom_cluster_spec=plain, security=True)
    assert not server.requests
    server.put("daskclusters", plain)
    for how in (KubeCluster, KubeCluster.from_name):
        with pytest.raises(ValidationError, match="says nothing of TLS"):
            how(name="foo", security=True)
    assert server.named("daskclusters") == ["foo"]
    assert not server.named("secrets")
