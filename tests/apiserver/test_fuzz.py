"""What the schema accepts the API server accepts, and keeps, and the controller can read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dask_kubernetes_operator.spec import parse_autoscaler, parse_cluster, parse_job, parse_worker_group
from scripts.render import crds
from tests.apiserver.conftest import ROOT
from tests.apiserver.objects_from_schema import NAMES, objects
from tests.apiserver.server import ApiServer
from tests.apiserver.test_admission import create, lost

pytestmark = pytest.mark.apiserver

SCHEMAS: dict[str, Any] = {
    crd.kind: crd.resource["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]  # type: ignore
    for crd in crds.load(ROOT)
}
TCP_COMM = {"name": "tcp-comm", "port": 8786}


def obey(node: Any) -> Any:
    """What the rules in CEL ask for, wherever they apply."""
    if isinstance(node, list):
        return [obey(member) for member in node]
    if not isinstance(node, dict):
        return node
    node = {key: obey(value) for key, value in node.items()}
    if node.get("containers") == []:
        node["containers"] = [{"name": "only"}]
    if isinstance(node.get("service"), dict):
        service = node["service"]
        service["ports"] = [TCP_COMM, *(port for port in service.get("ports", []) if port["port"] != 8786)]
        if service.get("type") == "ExternalName":
            service["type"] = "ClusterIP"
    if isinstance(node.get("job"), dict):
        node["job"].setdefault("spec", {"containers": [{"name": "only"}]})
    if "minimum" in node and "maximum" in node:
        node["minimum"], node["maximum"] = sorted((node["minimum"], node["maximum"]))
    if "idleAction" in node:
        node.setdefault("idleTimeout", 60)
    if "rolling" in node:
        node["type"] = "Rolling"
    if "job" in node:
        node["cluster"]["spec"].pop("suspend", None)
    return node


def resources(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    head = {"apiVersion": st.just("kubernetes.dask.org/v1"), "kind": st.just(kind)}
    metadata = st.fixed_dictionaries({"name": NAMES})
    return st.fixed_dictionaries({**head, "metadata": metadata, "spec": objects(SCHEMAS[kind]).map(obey)})


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(data=st.data())
def test_what_the_schema_accepts_the_api_server_accepts_and_keeps(
    server: ApiServer, kind: str, data: st.DataObject
) -> None:
    resource = data.draw(resources(kind))
    answer = create(server, resource)
    assert answer.status == 201, answer.message
    assert answer.warnings == ()
    assert lost(resource["spec"], answer.body["spec"]) == []
    parse_as_the_controller_does(answer.body)


def parse_as_the_controller_does(body: dict[str, Any]) -> None:
    spec = body["spec"]
    match body["kind"]:
        case "DaskCluster":
            cluster = parse_cluster(body)
            assert cluster.worker.replicas == spec["worker"]["replicas"]
            assert cluster.suspend == spec.get("suspend", False)
        case "DaskWorkerGroup":
            group = parse_worker_group(body)
            assert group.worker.replicas == spec["worker"]["replicas"]
            assert (group.update_strategy is None) == ("updateStrategy" not in spec)
        case "DaskJob":
            job = parse_job(body)
            assert job.runner.pod_spec == spec["job"]["spec"]
            assert job.ttl_seconds_after_finished == spec.get("ttlSecondsAfterFinished")
        case "DaskAutoscaler":
            autoscaler = parse_autoscaler(body)
            assert (autoscaler.minimum, autoscaler.maximum) == (spec["minimum"], spec["maximum"])
            assert (autoscaler.target_duration_seconds is None) == ("targetDuration" not in spec)
        case kind:
            raise NotImplementedError(kind)
