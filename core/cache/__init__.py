"""Caches: memory first, Redis second, the two as one; what a write made stale is never answered."""
