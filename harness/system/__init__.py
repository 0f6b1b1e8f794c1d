"""This machine: processes, locks, slots for guests, cores and memory, paths, sealed files, the C compiler, apt's lists."""
