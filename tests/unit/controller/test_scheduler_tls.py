"""A scheduler with Dask's TLS, which asks its clients for a certificate, and with TLS on its HTTP server."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Scheduler
from distributed.security import Security

from dask_kubernetes_operator.scheduler import Endpoint, SchedulerClient, SchedulerError

pytestmark = pytest.mark.unit

NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file. Everybody here has it and trusts it."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = path.with_suffix(".key")
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    subject = ("-subj", "/CN=scheduler", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", *kind, *subject, "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


@pytest.fixture
async def scheduler(certificate: Path, tmp_path: Path) -> AsyncIterator[Endpoint]:
    file = str(certificate)
    security = Security(tls_ca_file=file, tls_scheduler_cert=file, tls_scheduler_key=file, require_encryption=True)
    config = {
        "temporary_directory": str(tmp_path),
        "distributed.scheduler.http.routes": ["distributed.http.scheduler.api"],
        "distributed.scheduler.dashboard.tls.cert": file,
        "distributed.scheduler.dashboard.tls.key": file,
    }
    with dask.config.set(config):
        scheduler: Any = Scheduler(
            host="127.0.0.1",
            port=0,
            protocol="tls",
            security=security,
            dashboard_address="127.0.0.1:0",
            dashboard=False,
        )
    async with scheduler:
        yield Endpoint(f"https://127.0.0.1:{scheduler.http_server.port}", scheduler.address)


def only_rpc(at: Endpoint) -> Endpoint:
    return Endpoint(f"https://{NOWHERE}", at.comm)


def only_http(at: Endpoint) -> Endpoint:
    return Endpoint(at.dashboard, f"tls://{NOWHERE}")


async def test_a_trusted_certificate_opens_both_ways(scheduler: Endpoint, certificate: Path) -> None:
    tls = ssl.create_default_context(cafile=str(certificate))
    tls.load_cert_chain(certificate)
    asking = SchedulerClient(tls=tls)
    try:
        assert scheduler.comm.startswith("tls://")
        assert await asking.workers(only_rpc(scheduler)) == ()
        assert await asking.workers(only_http(scheduler)) == ()
    finally:
        await asking.close()


async def test_a_scheduler_whose_certificate_nobody_vouches_for_is_not_asked(scheduler: Endpoint) -> None:
    asking = SchedulerClient()
    try:
        for at in (only_rpc(scheduler), only_http(scheduler)):
            with pytest.raises(SchedulerError, match="certificate verify failed") as raised:
                await asking.workers(at)
            assert raised.value.reason == "SchedulerUnreachable"
    finally:
        await asking.close()


async def test_without_a_certificate_of_its_own_the_controller_asks_by_http(
    scheduler: Endpoint, certificate: Path
) -> None:
    asking = SchedulerClient(tls=ssl.create_default_context(cafile=str(certificate)))
    try:
        with pytest.raises(SchedulerError):
            await asking.workers(only_rpc(scheduler))
        assert await asking.workers(scheduler) == ()
    finally:
        await asking.close()


async def test_plain_rpc_to_an_encrypted_scheduler_is_an_error(scheduler: Endpoint) -> None:
    asking = SchedulerClient()
    plain = scheduler.comm.replace("tls://", "tcp://")
    try:
        with pytest.raises(SchedulerError, match=plain):
            await asking.workers(Endpoint(f"http://{NOWHERE}", plain))
    finally:
        await asking.close()
