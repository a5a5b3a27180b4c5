"""Models behind small protocols: embedders."""
