"""A request becomes a run on disk: checks, artifacts, places, schedule, blocks, trials; resumed, or on a cluster."""
