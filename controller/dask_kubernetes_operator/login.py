"""The credentials with which the API server is asked."""

from __future__ import annotations

import kopf


def credentials(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Those of the pod's ServiceAccount, or of whoever runs the operator by hand.

    Raises:
        kopf.LoginError: there are neither.
    """
    found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise kopf.LoginError("there is no ServiceAccount and no kubeconfig to reach the API server with")
    return found
