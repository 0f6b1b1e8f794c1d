"""Images FROM scratch, and running containers whose output is followed in a thread. The Docker API is the only interface."""
