"""The kernel's OOM lines, from text to typed records. Pure: no pandas, no Docker, no QEMU, nothing printed."""
