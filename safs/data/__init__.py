"""Datasets by name, each split held as one tensor on the training device."""
