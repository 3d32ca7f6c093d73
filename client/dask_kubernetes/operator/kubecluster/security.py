"""How a cluster and its clients prove to each other who they are, where they talk TLS."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed.security import Security

from dask_kubernetes.exceptions import ApiError, ConflictError, ForbiddenError, NotFoundError, ValidationError

from ..api import DASK_CLUSTERS, Api, Object, Resource
from ..specs import TLS_CA_KEY, TLS_CERTIFICATE_KEY, TLS_PRIVATE_KEY_KEY, TLS_VOLUME
from .labels import CLUSTER_NAME

SECRETS = Resource("v1", "Secret", "secrets")

_ROLES = ("scheduler", "worker", "client")
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)
_RETRY_SECONDS = 0.3


@dataclass(frozen=True)
class Certificates:
    """What a Secret for ``tls_secret`` has, as PEM texts.

    Attributes:
        authority: certificates of the authority.
        certificate: the one that all roles show.
        key: its private key.
    """

    authority: str
    certificate: str
    key: str = field(repr=False)


def checked(security: object) -> Security | bool:
    """What was given as ``security``; True for certificates that are made, False for none.

    Raises:
        TypeError: it is neither a flag nor a `distributed.security.Security`.
    """
    if security is None or isinstance(security, bool | Security):
        return security or False
    if isinstance(security, Mapping):
        return Security(**security)
    raise TypeError(
        f"security is {security!r}, of type {type(security).__name__}: give True for certificates that are made, or "
        "a distributed.security.Security"
    )


def has_certificates(security: Security | bool) -> bool:
    """Whether there is, or is to be, anything of which a Secret could be made."""
    if isinstance(security, bool):
        return security
    roles = [security.get_tls_config_for_role(role) for role in _ROLES]
    return any(role[part] is not None for role in roles for part in ("ca_file", "cert", "key"))


def check_can_be_written(security: Security | bool) -> None:
    """See that a Secret can be made of it, before anything is sent.

    Raises:
        ValidationError: as `certificates_of`, or what makes certificates is not installed.
    """
    if isinstance(security, Security):
        certificates_of(security)
    elif importlib.util.find_spec("cryptography") is None:
        raise ValidationError(
            "security is True, and the package cryptography, which makes certificates, is not installed: "
            "`pip install cryptography`, or give security=Security(...) with certificates, or tls_secret="
        )


def certificates_of(security: Security) -> Certificates:
    """The certificates of a Security, which has paths or PEM texts.

    Raises:
        ValidationError: a part is missing or cannot be read, or the roles do not have the same certificate.
    """
    roles = {role: security.get_tls_config_for_role(role) for role in _ROLES}
    remedy = (
        "write a Secret of your own and name it with tls_secret=, or use KubeCluster.from_name to connect to a "
        "cluster that is there"
    )
    missing = [f"tls_{role}_cert" for role in _ROLES if roles[role]["cert"] is None]
    if roles["client"]["ca_file"] is None:
        missing.insert(0, "tls_ca_file")
    if missing:
        raise ValidationError(f"security lacks {', '.join(missing)}, of which a new cluster needs a Secret: {remedy}")
    found = {role: _pair(role, said["cert"], said["key"]) for role, said in roles.items()}
    if len(set(found.values())) > 1:
        raise ValidationError(
            f"security has different certificates for {', '.join(_ROLES)}, and the Secret of a cluster has one: "
            f"{remedy}"
        )
    certificate, key = found["client"]
    return Certificates(_pem("tls_ca_file", roles["client"]["ca_file"]), certificate, key)


class OwnSecret:
    """The Secret of a new cluster, which goes with it.

    Attributes:
        name: its name.
        security: what is in it, for the client; None until it is made.
    """

    def __init__(
        self, api: Api, namespace: str, name: str, security: Security | None, *, timeout_seconds: float
    ) -> None:
        """Nothing is sent yet.

        Args:
            api: the API server.
            namespace: where the cluster is to be.
            name: its name.
            security: the certificates; None for such that are made.
            timeout_seconds: how long the Secret of an earlier cluster of the same name may take to go.
        """
        self._api, self._namespace, self._timeout_seconds = api, namespace, timeout_seconds
        self.name, self.security = name, security

    async def prepare(self, cluster: str) -> None:
        """Have certificates, and see that the Secret can be created, before there is a cluster that waits for it.

        One of before has to be gone by then, or else a Pod of the new cluster would have the certificates in it.

        Raises:
            ConflictError: there is one of that name, which is somebody else's; it is left as it is.
            ForbiddenError: Secrets may not be created.
            ApiError: the API server refuses for another reason.
        """
        if self.security is None:
            self.security = await asyncio.to_thread(Security.temporary)
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                await self._api.create(SECRETS, self._body(cluster), self._namespace, dry_run=True)
            except ConflictError as error:
                if time.monotonic() > deadline or not await self._is_perhaps_leaving(cluster):
                    raise ConflictError(
                        f"there is a Secret {self.name} in the namespace {self._namespace}, which is not this "
                        "cluster's: delete it, choose another name for the cluster, or use it with "
                        f"tls_secret={self.name!r}",
                        status=error.status,
                        reason=error.reason,
                    ) from error
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def create(self, cluster: Mapping[str, Any]) -> None:
        """Create it, after the DaskCluster whose it is.

        Raises:
            ApiError: the API server refuses.
        """
        metadata = cluster["metadata"]
        owner = {"apiVersion": DASK_CLUSTERS.api_version, "kind": DASK_CLUSTERS.kind}
        body = self._body(metadata["name"])
        body["metadata"]["ownerReferences"] = [{**owner, "name": metadata["name"], "uid": metadata["uid"]}]
        await self._api.create(SECRETS, body, self._namespace)

    def _body(self, cluster: str) -> Object:
        assert self.security is not None
        certificates = certificates_of(self.security)
        texts = {
            TLS_CA_KEY: certificates.authority,
            TLS_CERTIFICATE_KEY: certificates.certificate,
            TLS_PRIVATE_KEY_KEY: certificates.key,
        }
        return {
            "apiVersion": SECRETS.api_version,
            "kind": SECRETS.kind,
            "metadata": {"name": self.name, "labels": {CLUSTER_NAME: cluster}},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
        }

    async def _is_perhaps_leaving(self, cluster: str) -> bool:
        """Whether the one that is there is of an earlier cluster, and about to go after it, as far as may be seen."""
        try:
            there = await self._api.get(SECRETS, self.name, self._namespace)
        except (ForbiddenError, NotFoundError):
            return True
        owners = there["metadata"].get("ownerReferences") or ()
        return any((owner["kind"], owner["name"]) == (DASK_CLUSTERS.kind, cluster) for owner in owners)


def _pair(role: str, certificate: str, key: str | None) -> tuple[str, str]:
    """A certificate and its key, which may be in one file."""
    text = _pem(f"tls_{role}_cert", certificate)
    if key is not None:
        return text, _pem(f"tls_{role}_key", key)
    blocks = [(match[1].endswith("PRIVATE KEY"), match[0]) for match in _PEM_BLOCK.finditer(text)]
    keys, certificates = ("".join(block for is_key, block in blocks if is_key is kind) for kind in (True, False))
    if not keys:
        raise ValidationError(
            f"security lacks tls_{role}_key, and tls_{role}_cert has no private key in it: give one"
        )
    return certificates, keys


def _pem(argument: str, given: str) -> str:
    """The text, which may be in a file."""
    if "\n" in given:
        return given
    try:
        return Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(
            f"security has {argument}={given!r}, which cannot be read ({error}): give the path of a PEM file, or "
            "its text"
        ) from error


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


def check_talks_tls(cluster: Mapping[str, Any]) -> None:
    """See that a cluster, which was asked for with ``security=True``, is no other one.

    Raises:
        ValidationError: it does not talk TLS, as far as its spec says.
    """
    if not (talks_tls(cluster) or tls_secret(cluster)):
        raise ValidationError(
            f"security is True, and the spec of the cluster {cluster['metadata']['name']} says nothing of TLS: make "
            "it with make_cluster_spec(tls_secret=...), or leave security out"
        )


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
