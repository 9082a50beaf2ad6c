"""Measurements: each module prints; none asserts a time. Run as `python -m benchmarks.NAME`."""
