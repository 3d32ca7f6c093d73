"""Where code for the classic KubeCluster finds ``make_pod_spec``. The classic KubeCluster itself is no more."""

from .operator.specs import make_pod_spec

__all__ = ["make_pod_spec"]
