"""What can go wrong, as exceptions.

All of them are `DaskKubernetesError`. Each is also of the built-in type that says the same, so that code which
catches ``ValueError``, ``RuntimeError`` or ``TimeoutError`` around a `KubeCluster`, or one of the names that this
module has had for long (`ValidationError`, `SchedulerStartupError`, `CrashLoopBackOffError`), goes on to work.

An argument of the wrong type is Python's own ``TypeError``.
"""

from __future__ import annotations


class DaskKubernetesError(Exception):
    """The base of all exceptions of this package.

    Attributes:
        message: what is wrong, and what to do about it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ValidationError(DaskKubernetesError, ValueError):
    """An argument, or a field of a manifest, has a value that cannot be used. Nothing has been sent to Kubernetes."""


class ClusterExistsError(DaskKubernetesError, ValueError):
    """A cluster of that name is there already, and ``create_mode`` forbids to connect to it."""


class ClusterNotFoundError(DaskKubernetesError, ValueError):
    """No cluster has that name, and ``create_mode`` forbids to create one."""


class WorkerGroupNotFoundError(DaskKubernetesError, ValueError):
    """The cluster has no worker group of that name."""


class ResourceTimeoutError(DaskKubernetesError, TimeoutError):
    """Something in Kubernetes did not become what it should within ``resource_timeout``."""


class OperatorNotRunningError(ResourceTimeoutError):
    """No operator took up the cluster: none runs, or it does not look after this namespace."""


class SchedulerStartupError(DaskKubernetesError):
    """The scheduler failed to start; the message has what Kubernetes says about its Pod."""


class CrashLoopBackOffError(SchedulerStartupError):
    """A container ends again and again; the message has the last lines of its log."""


class ImagePullError(SchedulerStartupError):
    """An image cannot be pulled."""


class UnschedulableError(SchedulerStartupError):
    """No node takes the Pod; the message has what the scheduler of Kubernetes says."""


class SchedulerConnectionError(DaskKubernetesError, ConnectionError):
    """The scheduler runs, and cannot be reached from here, or was lost."""


class CredentialsError(DaskKubernetesError, ValueError):
    """No usable credentials: no kubeconfig, no such context, or a command for credentials that fails."""


class ApiError(DaskKubernetesError, RuntimeError):
    """The API server refused a request.

    Attributes:
        status: HTTP status code; 0 when there was no answer.
        reason: the API server's word for it, such as ``Forbidden``; empty when there was no answer.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class ApiUnreachableError(ApiError, ConnectionError):
    """The API server did not answer."""


class UnauthorizedError(ApiError):
    """The API server does not accept the credentials (401)."""


class ForbiddenError(ApiError):
    """The credentials may not do this (403); the message names the verb and the resource that are missing."""


class QuotaExceededError(ForbiddenError):
    """A ResourceQuota of the namespace is used up (403)."""


class NotFoundError(ApiError):
    """The API server has no such object (404)."""


class NotInstalledError(NotFoundError):
    """The API server does not know the kinds of the operator: its CRDs are not installed (404)."""


class ConflictError(ApiError):
    """The object exists already, or was changed by somebody else meanwhile (409)."""


class InvalidObjectError(ApiError, ValueError):
    """The API server found the object invalid (400 or 422); the message names the fields."""
