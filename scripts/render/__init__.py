"""``python -m scripts.render <verb> [--check]``: everything that is rendered instead of written twice."""
