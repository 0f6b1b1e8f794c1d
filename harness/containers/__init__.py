"""Images FROM scratch, and containers that run with their output on a thread of ours. The Docker API is the only way in."""
