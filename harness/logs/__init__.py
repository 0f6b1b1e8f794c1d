"""Kernel logs from anywhere: opened, filtered, parsed to tables, followed as they are written."""
