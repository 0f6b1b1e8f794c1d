"""What the pytest plugin is made of: engines of kernels, containers with limits, what the OOM killer did, measured trials."""
