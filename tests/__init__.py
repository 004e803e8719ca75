"""Helpers that several tests share import as `tests.<name>`."""
