"""How a client proves who it is to a scheduler that talks TLS."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from distributed.security import Security

from dask_kubernetes.exceptions import ApiError, ForbiddenError, ValidationError

from ..api import Api, Resource
from ..specs import TLS_CA_KEY, TLS_CERTIFICATE_KEY, TLS_PRIVATE_KEY_KEY, TLS_VOLUME

SECRETS = Resource("v1", "Secret", "secrets")


def checked(security: object) -> Security | None:
    """What was given as ``security``.

    Raises:
        TypeError: it is no `distributed.security.Security`.
    """
    if security is None or isinstance(security, Security):
        return security
    if isinstance(security, Mapping):
        return Security(**security)
    raise TypeError(
        f"security is {security!r}, of type {type(security).__name__}: give a distributed.security.Security, "
        "and name the Secret of the cluster with tls_secret="
    )


def tls_secret(cluster: Mapping[str, Any]) -> str | None:
    """The name of the Secret with a scheduler's certificates, if it was given one as ``tls_secret``."""
    for volume in cluster["spec"]["scheduler"]["spec"].get("volumes") or ():
        if volume.get("name") == TLS_VOLUME and "secret" in volume:
            return str(volume["secret"]["secretName"])
    return None


def talks_tls(cluster: Mapping[str, Any]) -> bool:
    """Whether a scheduler takes TLS connections only, as far as its command says."""
    container = cluster["spec"]["scheduler"]["spec"]["containers"][0]
    words = " ".join([*(container.get("command") or ()), *(container.get("args") or ())])
    return "--protocol tls" in words or "--protocol=tls" in words or "tls://" in words


async def from_secret(api: Api, namespace: str, secret: str) -> Security:
    """The certificates of a Secret, which are those of the cluster, for the client.

    Raises:
        ValidationError: they may not be read, or one is missing.
        ApiError: the API server refuses for another reason.
    """
    try:
        data = (await api.get(SECRETS, secret, namespace)).get("data") or {}
    except ForbiddenError as error:
        raise ValidationError(
            f"the cluster talks TLS, and its Secret {secret} may not be read ({error}): pass security=Security(...) "
            "with a certificate of your own that the same authority signed"
        ) from error
    except ApiError as error:
        if error.status != 404:
            raise
        raise ValidationError(f"tls_secret is {secret!r}, and there is no such Secret in {namespace}") from error
    missing = [key for key in (TLS_CA_KEY, TLS_CERTIFICATE_KEY, TLS_PRIVATE_KEY_KEY) if key not in data]
    if missing:
        raise ValidationError(f"the Secret {secret} lacks {', '.join(missing)}, which TLS takes")
    ca, certificate, key = (
        base64.b64decode(data[name]).decode() for name in (TLS_CA_KEY, TLS_CERTIFICATE_KEY, TLS_PRIVATE_KEY_KEY)
    )
    return Security(require_encryption=True, tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key)
