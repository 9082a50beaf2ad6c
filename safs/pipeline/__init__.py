"""The two-stage optimiser, step by step: prepare, stage 1, stage 2, final rows, assessment on the test data."""
