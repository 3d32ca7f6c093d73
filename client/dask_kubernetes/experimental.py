"""Where code of 2022 finds KubeCluster, which was experimental then."""

from .operator.kubecluster import KubeCluster

__all__ = ["KubeCluster"]
