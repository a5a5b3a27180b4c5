"""Unit tests of core.cost."""
