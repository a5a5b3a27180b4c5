"""Prices, and what things cost by them: pure arithmetic."""
