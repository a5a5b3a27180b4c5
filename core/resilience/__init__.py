"""Retries and what else keeps a call going when its target does not."""
