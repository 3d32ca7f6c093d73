"""A release, step by step: ``python -m scripts.release VERB``; docs/releasing.md has the order.

Each verb can be run again. What is published under a version is never replaced by something else.
"""
