"""Sources of the compiled reader, and how they are built."""
