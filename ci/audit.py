"""The audit log of a cluster's API server: what service accounts asked for, and what they were refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ci import nodes
from ci.console import Failure
from ci.process import output

POLICY = Path(__file__).with_name("audit-policy.yaml")

_FOLDER = "/var/log/kubernetes"
_POLICY_IN_NODE = "/etc/kubernetes/audit-policy.yaml"
_READ_SECONDS = 60.0

# The API server keeps two files of at most 20 MB, of which the older one has the name that sorts first. The flags are
# a map, not the list that newer versions of kubeadm have: kind makes the one of the other where no version is named.
_API_SERVER = f"""\
kind: ClusterConfiguration
apiServer:
  extraArgs:
    audit-policy-file: {_POLICY_IN_NODE}
    audit-log-path: {_FOLDER}/audit.log
    audit-log-maxsize: "20"
    audit-log-maxbackup: "1"
  extraVolumes:
    - name: audit-policy
      hostPath: {_POLICY_IN_NODE}
      mountPath: {_POLICY_IN_NODE}
      readOnly: true
      pathType: File
    - name: audit-log
      hostPath: {_FOLDER}
      mountPath: {_FOLDER}
      pathType: DirectoryOrCreate
"""


def sections(policy: Path) -> dict[str, list[str]]:
    """What a kind configuration needs for it, as lines of its top-level keys.

    :param policy: a file that stays where it is for as long as the cluster is there.
    """
    return {
        "nodes": [
            "- role: control-plane",
            "  extraMounts:",
            f"    - hostPath: {json.dumps(str(policy))}",
            f"      containerPath: {_POLICY_IN_NODE}",
            "      readOnly: true",
        ],
        "kubeadmConfigPatches": ["- |", *(f"  {line}" for line in _API_SERVER.splitlines())],
    }


def read(cluster: str) -> Iterator[dict[str, Any]]:
    """The events of the audit log of a cluster, the oldest first, as audit.k8s.io/v1 has them.

    :raises Failure: there is no such cluster, or its API server keeps no log.
    """
    containers = nodes.of_cluster(cluster)
    if not containers:
        raise Failure(f"there is no cluster named {cluster}; make it with: python3 -m ci cluster up --name {cluster}")
    command = ["docker", "exec", containers[0].container, "sh", "-c", f"cat {_FOLDER}/audit*.log"]
    status, text, _ = output(command, timeout_seconds=_READ_SECONDS)
    if status:
        raise Failure(
            f"the cluster {cluster} keeps no audit log, as one made of a configuration of your own, or before there"
            f" was one; remove it with: python3 -m ci cluster down --name {cluster}"
        )
    for line in text.splitlines(keepends=True):
        # A last line without its end is still being written.
        if line.endswith("\n"):
            yield json.loads(line)
