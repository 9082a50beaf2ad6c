"""Datasets by name, read split by split, held where they can be trained on, and fed to the network in batches."""
