"""A Prometheus that a Prometheus Operator looks after, as a person who asks it sees it."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ci import prometheus
from tests.platform import Object, Platform

# By this label of theirs the Prometheus of the tests finds monitors and rules.
SELECTED_BY = {"prometheus": "e2e"}

# The definitions that the tests have brought bear it, those of a Prometheus Operator of the user's do not.
OURS = "dask-operator-e2e"
API_GROUP = "monitoring.coreos.com"

_OPERATOR = "prometheus-operator"
_PROMETHEUS = "watch"
_PORT = 9090
_TIMEOUT_SECONDS = 10
_LOG_LINES = 100


@dataclass(frozen=True)
class Monitoring:
    """The HTTP API of a Prometheus.

    Attributes:
        platform: where it and its operator are.
        url: where it answers.
    """

    platform: Platform
    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer.

        Raises:
            urllib.error.URLError: it does not answer, or answers with an error.
        """
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Object]:
        """The series that an expression in PromQL gives at the moment: each has a ``metric`` and a ``value``."""
        return list(self.ask("query", query=expression)["result"])

    def targets(self) -> list[Object]:
        """What is scraped."""
        return list(self.ask("targets", state="active")["activeTargets"])

    def alerts(self) -> list[Object]:
        """The rules that are alerts."""
        return [rule for group in self.ask("rules", type="alert")["groups"] for rule in group["rules"]]

    def findings(self) -> Iterator[tuple[str, str]]:
        """What a person would ask for when a test fails, by title."""
        pages: dict[str, Callable[[], str]] = {
            "Prometheus targets": self._targets_page,
            "Prometheus alerts": self._alerts_page,
            "Prometheus log": lambda: self._log(f"prometheus={_PROMETHEUS}", "prometheus"),
            "Prometheus Operator log": lambda: self._log(f"app={_OPERATOR}", _OPERATOR),
        }
        for title, read in pages.items():
            try:
                yield title, read()
            except (OSError, AssertionError) as error:
                yield title, str(error)

    def _targets_page(self) -> str:
        return "\n".join(
            f"{target['health']} {target['scrapeUrl']} {target['labels']} {target['lastError']}"
            for target in self.targets()
        )

    def _alerts_page(self) -> str:
        return "\n".join(f"{alert['state']} {alert['name']} {alert.get('lastError', '')}" for alert in self.alerts())

    def _log(self, selector: str, container: str) -> str:
        return self.platform.kubectl("logs", "-l", selector, "-c", container, f"--tail={_LOG_LINES}")


@contextmanager
def definitions(platform: Platform) -> Iterator[None]:
    """The custom resource definitions of the Prometheus Operator.

    Raises:
        AssertionError: the cluster has some that were not brought by a test, and are not to be touched.
    """
    whose = (
        f"-o=jsonpath={{range .items[?(@.spec.group=='{API_GROUP}')]}}{{.metadata.labels.brought-by}}{{'\\n'}}{{end}}"
    )
    owners = platform.kubectl("get", "customresourcedefinitions", whose).splitlines()
    assert set(owners) <= {OURS}, "the cluster has a Prometheus Operator of its own"
    files = [part for file in prometheus.crds() for part in ("-f", str(file))]
    try:
        # Server-side, because what kubectl would write down of the largest ones is too large for an annotation.
        platform.kubectl("apply", "--server-side", *files)
        platform.kubectl("label", "--overwrite", *files, f"brought-by={OURS}")
        platform.kubectl("wait", "--for=condition=Established", *files)
        yield
    finally:
        platform.kubectl("delete", "--ignore-not-found", *files)


@contextmanager
def running(platform: Platform, images: prometheus.Images) -> Iterator[None]:
    """A Prometheus Operator, and a Prometheus that it is asked for, both on their way."""
    objects = [*_operator(platform.namespace, images.operator), *_prometheus(platform.namespace, images)]
    # In this order each is there when it is needed. The names of what is in no namespace have the test's in them.
    try:
        platform.apply(*objects)
        yield
    finally:
        platform.kubectl(
            "delete", "--ignore-not-found", "--wait=false", "-f", "-", input=json.dumps(_listed(objects))
        )


def wait_until_ready(platform: Platform) -> None:
    """Wait until the Prometheus answers."""
    platform.wait("condition=Available", f"prometheus.{API_GROUP}/{_PROMETHEUS}")


@contextmanager
def asked(platform: Platform) -> Iterator[Monitoring]:
    """The HTTP API of the Prometheus."""
    with platform.forwarded(f"pod/prometheus-{_PROMETHEUS}-0", _PORT) as port:
        monitoring = Monitoring(platform, f"http://127.0.0.1:{port}")
        try:
            yield monitoring
        except AssertionError as error:
            # Of what uses it before a test has begun nothing else is told.
            for title, text in monitoring.findings():
                error.add_note(f"--- {title} ---\n{text}")
            raise


def _operator(namespace: str, image: str) -> list[Object]:
    arguments = [
        f"--prometheus-instance-namespaces={namespace}",
        "--kubelet-endpoints=false",
        f"--prometheus-config-reloader={image}",
        "--config-reloader-cpu-request=0",
        "--config-reloader-cpu-limit=0",
        "--config-reloader-memory-request=0",
        "--config-reloader-memory-limit=0",
    ]
    container = {"name": _OPERATOR, "image": image, "command": ["/bin/operator"], "args": arguments}
    labels = {"app": _OPERATOR}
    return [
        *_account(namespace, _OPERATOR, "cluster-admin"),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": _OPERATOR, "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"serviceAccountName": _OPERATOR, "containers": [container]},
                },
            },
        },
    ]


def _prometheus(namespace: str, images: prometheus.Images) -> list[Object]:
    selected = {"matchLabels": SELECTED_BY}
    return [
        *_account(namespace, _PROMETHEUS, "view"),
        {
            "apiVersion": f"{API_GROUP}/v1",
            "kind": "Prometheus",
            "metadata": {"name": _PROMETHEUS, "namespace": namespace},
            "spec": {
                "image": images.prometheus,
                "version": f"v{images.version}",  # the flags differ from one to another
                "imagePullPolicy": "IfNotPresent",
                "serviceAccountName": _PROMETHEUS,
                "evaluationInterval": "2s",
                "terminationGracePeriodSeconds": 5,
                **{
                    f"{kind}{where}": what
                    for kind in ("serviceMonitor", "podMonitor", "rule")
                    for where, what in (("Selector", selected), ("NamespaceSelector", {}))
                },
            },
        },
    ]


def _account(namespace: str, name: str, role: str) -> list[Object]:
    """A service account that has a role everywhere: monitors say in which namespaces to look, and may say all."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{namespace}-{name}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    ]


def _listed(objects: list[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": objects}
