"""The optimized engine over tables in memory."""
