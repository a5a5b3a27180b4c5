"""Tests of core.benchmark.layouts."""
