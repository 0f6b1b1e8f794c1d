"""What this machine needs for a run (doctor), and what killed processes left on it (cleanup)."""
