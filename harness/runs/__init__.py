"""Runs on disk: their record, their tables and summary, reports, exports, the history of earlier runs."""
