"""Rows on disk: written whole or not at all, each with where it came from, and read back in a well-mixed order."""
