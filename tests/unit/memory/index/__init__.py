"""Tests of core.memory.index."""
