"""Raw evidence of a trial: captured as it comes, read back by pure functions."""
