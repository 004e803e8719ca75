"""Procedural worlds: samples drawn from factors that are known exactly."""
