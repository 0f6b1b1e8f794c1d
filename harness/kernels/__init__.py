"""From a kernel spec to a bzImage in the cache."""
