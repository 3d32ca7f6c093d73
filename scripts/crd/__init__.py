"""From a CRD as people write it to a CRD as the API server wants it.

`documents` loads, `resolver` puts the referenced schemas in place, `structural` turns them into what an API
server accepts, `patch` applies JSON patches, `invariants` refuses a result that no API server would take.
"""
