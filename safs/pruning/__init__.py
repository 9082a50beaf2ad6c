"""Pruning: choose which weights of a dense network to remove. One file per method, `registry` knows them by name."""

from safs.pruning.registry import METHODS, prune

__all__ = ["METHODS", "prune"]
