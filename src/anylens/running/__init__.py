"""Taps and runs: read and edit points while the user's own code calls the model."""
