"""Tooling of the repository: what is rendered instead of written twice."""
