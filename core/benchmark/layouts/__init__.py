"""Legacy against optimized, side by side: the same conversations, the same calls, one run."""
