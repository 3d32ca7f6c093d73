"""Fixtures of the chart's tests: each test that takes ``helm`` runs with Helm 3 and with Helm 4."""

from __future__ import annotations

import pytest

from tests.render.chart.helm import HELMS, OF_A_CLUSTER, Helm, Object, find_helm, render


@pytest.fixture(scope="session", params=HELMS)
def helm(request: pytest.FixtureRequest) -> Helm:
    """One of the two Helms."""
    return find_helm(request.param)


@pytest.fixture(scope="session")
def defaults(helm: Helm) -> list[Object]:
    """What the chart renders when nothing is set, without the custom resource definitions."""
    return render(helm=helm)


@pytest.fixture(scope="session")
def defaults_with_crds(helm: Helm) -> list[Object]:
    """What the chart renders when nothing is set."""
    return render(helm=helm, crds=True)


@pytest.fixture(scope="session")
def defaults_with_tests(helm: Helm) -> list[Object]:
    """What Helm installs into a cluster when nothing is set, without the custom resource definitions."""
    return render(helm=helm, api_versions=OF_A_CLUSTER)


@pytest.fixture(scope="session")
def namespaced(helm: Helm) -> list[Object]:
    """What the documented install into a single namespace renders, without the custom resource definitions."""
    values = {"rbac": {"cluster": False}, "kopfArgs": ["--namespace=dask-operator"]}
    return render(values, helm=helm)
