"""Kernels: from a spec to a bzImage in the cache."""
