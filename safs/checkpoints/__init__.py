"""Checkpoints in: from a file that somebody's tool wrote to weights and boolean masks. Nothing is unpickled.

A file goes through these steps; each is a module that knows nothing of the later ones:

1. `archive`, `pickles`, `calls`, `claims`: what the file says it holds is checked against its size and, unless the user
   trusts it, against what a state dict is made of, before anything is allocated.
2. `reading`: the file is read, once, and hashed.
3. `unwrap`: which of its entries are the weights, and which a mask.
4. `parts`: its names become those of a network, and pairs such as `weight_orig`, `weight_mask` weights and masks.
5. `fit`: whether the weights are the network's.
6. `loading`: all of it, and what came of it.
"""

from safs.checkpoints.fit import check_fits
from safs.checkpoints.loading import Checkpoint, Loaded, load, load_into, read_checkpoint, read_mask
from safs.checkpoints.writing import save_checkpoint

__all__ = [
    "Checkpoint",
    "Loaded",
    "check_fits",
    "load",
    "load_into",
    "read_checkpoint",
    "read_mask",
    "save_checkpoint",
]
