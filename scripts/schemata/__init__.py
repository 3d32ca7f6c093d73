"""Vendored, pruned schemas of Kubernetes, one file for each minor, and what refreshes them.

``k8s-1.NN.json`` holds the definitions that a pod spec and a service spec need and nothing else: no descriptions, no
defaults, no hints for clients. Refer to one as
``python://scripts/schemata/k8s-1.36.json#/definitions/io.k8s.api.core.v1.PodSpec``.

``python -m scripts.schemata refresh`` rewrites them from any of three sources; `closure` makes all three look alike.
"""

from __future__ import annotations

MINORS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
DEFAULT_MINOR = "1.36"
