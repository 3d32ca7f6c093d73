"""What the operator that was here before has left on the objects."""

from __future__ import annotations

from ...resources import DASK_AUTOSCALERS, DASK_CLUSTERS
from ..actions import Patch
from ..observed import Observed
from .draft import Draft

# kopf's own, for its timers and daemons. With nobody there to take it away the object could never be deleted.
_FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"


def release(draft: Draft, observed: Observed) -> None:
    """Take the finalizer away that the public operator has put on clusters and autoscalers."""
    clusters = (observed.cluster,) if observed.cluster else ()
    for resource, objects in ((DASK_CLUSTERS, clusters), (DASK_AUTOSCALERS, observed.autoscalers)):
        for one in objects:
            meta = one.body["metadata"]
            finalizers = meta.get("finalizers") or ()
            if _FINALIZER in finalizers:
                left = [finalizer for finalizer in finalizers if finalizer != _FINALIZER]
                # A list is replaced as a whole: only if it is still the one that was seen.
                seen = {"uid": one.uid, "resourceVersion": meta["resourceVersion"]}
                draft.actions.append(Patch(resource, one.name, {"metadata": {**seen, "finalizers": left}}))
