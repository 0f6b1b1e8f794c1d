"""Turns a request into a run on disk: checks, artifacts, places, schedule, blocks, trials; resumed, or on a cluster."""
