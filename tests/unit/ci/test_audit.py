"""The audit log: whose requests are in it, how large it gets, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ci import audit, cluster, nodes
from ci.cache import Cache
from ci.console import Failure
from ci.nodes import Node

pytestmark = pytest.mark.unit

IMAGE = "kindest/node:v1.36.4@sha256:0"


def config(cache: Cache, user: Path | None = None) -> Any:
    return yaml.safe_load(cluster.write_kind_config("test", IMAGE, user, cache).read_text())


def api_server(cache: Cache) -> dict[str, Any]:
    patches = [yaml.safe_load(patch) for patch in config(cache)["kubeadmConfigPatches"]]
    (patch,) = [patch for patch in patches if patch["kind"] == "ClusterConfiguration"]
    return dict(patch["apiServer"])


def test_the_api_server_is_given_the_policy_by_way_of_the_node(cache: Cache) -> None:
    (node,) = config(cache)["nodes"]
    (mount,) = node["extraMounts"]
    assert mount["readOnly"]
    assert Path(mount["hostPath"]).read_text() == audit.POLICY.read_text()
    assert Path(mount["hostPath"]).is_relative_to(cache.root), "it stays there when the checkout goes"
    volumes = {volume["hostPath"]: volume["mountPath"] for volume in api_server(cache)["extraVolumes"]}
    flag = api_server(cache)["extraArgs"]["audit-policy-file"]
    assert volumes[mount["containerPath"]] == flag


def test_the_log_is_on_the_node_and_does_not_fill_it(cache: Cache) -> None:
    flags = api_server(cache)["extraArgs"]
    volumes = {volume["mountPath"]: volume["hostPath"] for volume in api_server(cache)["extraVolumes"]}
    folder = str(Path(flags["audit-log-path"]).parent)
    assert volumes[folder] == folder
    assert int(flags["audit-log-maxsize"]) * (int(flags["audit-log-maxbackup"]) + 1) <= 40


def test_a_cluster_of_the_users_own_configuration_is_left_alone(cache: Cache, tmp_path: Path) -> None:
    user = tmp_path / "kind.yaml"
    user.write_text("kind: Cluster\nnodes:\n- role: control-plane\n")
    assert config(cache, user)["nodes"] == [{"role": "control-plane"}]
    assert "audit" not in str(config(cache, user))


def test_nothing_of_what_is_in_a_request_is_logged() -> None:
    policy = yaml.safe_load(audit.POLICY.read_text())
    assert {rule["level"] for rule in policy["rules"]} == {"Metadata", "None"}
    assert policy["omitStages"] == ["RequestReceived"]


class Engine:
    """An engine whose node answers as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes = [Node("test-control-plane", IMAGE, True, 0)]
        self.answer = (0, "", "")
        monkeypatch.setattr(nodes, "of_cluster", lambda _: self.nodes)
        monkeypatch.setattr(audit, "output", lambda *_, **__: self.answer)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Engine:
    return Engine(monkeypatch)


def test_a_line_that_is_still_being_written_is_left_out(docker: Engine) -> None:
    docker.answer = (0, '{"verb": "list"}\n{"verb": "watch"}\n{"ver', "")
    assert [event["verb"] for event in audit.read("test")] == ["list", "watch"]


def test_a_cluster_without_a_log_is_a_sentence(docker: Engine) -> None:
    docker.answer = (1, "", "cat: no such file")
    with pytest.raises(Failure, match="the cluster test keeps no audit log"):
        list(audit.read("test"))


def test_no_cluster_is_a_sentence(docker: Engine) -> None:
    docker.nodes = []
    with pytest.raises(Failure, match="there is no cluster named test"):
        list(audit.read("test"))
