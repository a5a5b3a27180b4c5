"""Measurements: each against something else, measured in the same run."""
