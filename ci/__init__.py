"""A Kubernetes cluster on this machine, with or without an image registry in reach: ``python3 -m ci --help``."""
