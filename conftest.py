"""Defaults of this repository's tests; what they share stands in tests/conftest.py."""

collect_ignore_glob = ["results/runs/*"]
