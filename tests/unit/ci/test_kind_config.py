"""kind's configuration: what a host needs, added to what a user asked for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml

from ci.console import Failure
from ci.kind_config import host_ports, node_count, render, required

pytestmark = pytest.mark.unit

USER = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
# a comment
networking:
    # another
    apiServerPort: 6443
kubeadmConfigPatches:
- |
  kind: ClusterConfiguration
  clusterName: theirs
nodes:
- role: control-plane
  extraPortMappings:
  - containerPort: 80
    hostPort: 8080
"""
EVERYTHING = required(own_image=True, cgroup_v1=True, lacks_sys_resource=True)


def config(*, user: str = "", own_image: bool = False, cgroup_v1: bool = False, lacks: bool = False) -> Any:
    sections = required(own_image=own_image, cgroup_v1=cgroup_v1, lacks_sys_resource=lacks)
    return yaml.safe_load(render(sections, user))


def test_an_ordinary_host_needs_nothing() -> None:
    assert config() == {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4"}


@pytest.mark.parametrize(("own_image", "cgroup_v1", "lacks"), list(itertools.product([False, True], repeat=3)))
def test_each_limit_of_a_host_brings_its_own_setting(own_image: bool, cgroup_v1: bool, lacks: bool) -> None:
    found = config(own_image=own_image, cgroup_v1=cgroup_v1, lacks=lacks)
    assert found.get("networking") == ({"disableDefaultCNI": True} if own_image else None)
    assert found.get("featureGates") == ({"KubeletInUserNamespace": True} if lacks else None)
    patches = [yaml.safe_load(patch) for patch in found.get("kubeadmConfigPatches", [])]
    kubelet = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "failCgroupV1": False}
    assert patches == ([kubelet] if cgroup_v1 else [])


def test_what_the_user_asked_for_is_kept() -> None:
    before, after = yaml.safe_load(USER), yaml.safe_load(render(EVERYTHING, USER))
    assert after["networking"] == {"apiServerPort": 6443, "disableDefaultCNI": True}
    assert after["nodes"] == before["nodes"]
    assert before["kubeadmConfigPatches"][0] in after["kubeadmConfigPatches"]
    assert len(after["kubeadmConfigPatches"]) == 2


def test_what_the_user_says_already_is_not_said_twice() -> None:
    user = "kind: Cluster\nnetworking:\n  disableDefaultCNI: true # theirs\n"
    assert render(required(own_image=True, cgroup_v1=False, lacks_sys_resource=False), user) == user


@pytest.mark.parametrize(
    ("user", "sentence"),
    [
        ("nodes: []\n", "no line 'kind: Cluster'"),
        ("kind: Pod\n", "no line 'kind: Cluster'"),
        ("kind: Cluster\nnetworking: {ipFamily: ipv4}\n", "'networking' .* one entry to a line"),
        ("kind: Cluster\nnetworking:\n  disableDefaultCNI: false\n", "needs disableDefaultCNI: true .* says false"),
    ],
)
def test_what_cannot_be_added_to_is_a_sentence(user: str, sentence: str) -> None:
    with pytest.raises(Failure, match=sentence):
        render(EVERYTHING, user)


def test_nodes_are_counted() -> None:
    assert node_count("kind: Cluster\n") == 1
    assert node_count(USER) == 1
    assert node_count(USER + "- role: worker\n- role: worker\n") == 3


def test_ports_of_this_host_are_found() -> None:
    assert host_ports(USER) == [("127.0.0.1", 6443), ("0.0.0.0", 8080)]  # noqa: S104
    assert host_ports("kind: Cluster\nnetworking:\n  apiServerPort: 0\n") == []
