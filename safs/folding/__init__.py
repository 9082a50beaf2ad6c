"""Folding: α and β become part of the layers around a site wherever that is exact, so that nothing is paid for them."""

from safs.folding.fold import Folded, Unfolded, fold

__all__ = ["Folded", "Unfolded", "fold"]
