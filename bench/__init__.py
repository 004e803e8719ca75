"""Measures the budgets: ratios of two ways to do a thing, timed in turns within one process."""
