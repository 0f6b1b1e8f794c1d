"""Raw evidence of a trial: written as it arrives, read back by pure functions."""
