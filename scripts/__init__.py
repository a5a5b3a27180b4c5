"""A main each, over core."""
