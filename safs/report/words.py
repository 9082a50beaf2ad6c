"""What the rows, phases and hyperparameters are called, for somebody who never read the paper."""

from __future__ import annotations

from collections.abc import Mapping

TITLES: Mapping[str, str] = {
    "dense": "Dense",
    "pruned": "Pruned, not retrained",
    "vanilla": "Vanilla fine-tuning",
    "srelu": "SReLU everywhere",
    "best_single": "Best single operator",
    "stage1": "Stage 1 only",
    "stage2": "Stage 2 only",
    "safs": "SAFS",
}
EXPLANATIONS: Mapping[str, str] = {
    "dense": "The network before any weight was removed: what pruning started from.",
    "pruned": "Right after the weights were removed, before any further training.",
    "vanilla": "Fine-tuned the usual way: original activations, default training protocol. The reference.",
    "srelu": "SReLU at every site: a bent line whose four parameters per channel are learned.",
    "best_single": "The one operator that did best when it stands at every site; default protocol, no search.",
    "stage1": "The operators that the search chose for each site; default protocol, no scaling factors.",
    "stage2": "Original operators, with learned α and β and the best training protocol found for them.",
    "safs": "Both stages: chosen operators, learned α and β, the best training protocol found for them.",
}
PHASES: Mapping[str, str] = {
    "dense": "Training the dense network",
    "prune": "Pruning: rounds of training",
    "uniform": "Every operator at all sites",
    "stage1": "Stage 1: search for operators",
    "finalists": "Stage 1: its best, at full length",
    "safs": "Stage 2: tuning, chosen operators",
    "stage2": "Stage 2: tuning, original operators",
    "final": "Final rows, every seed",
}
REASONS: Mapping[str, str] = {
    "NAN": "the numbers overflowed",
    "OOM": "out of memory",
    "TIMEOUT": "took too long",
    "LOST": "worker lost",
    "ERROR": "error in the program",
}
SETTINGS: Mapping[str, str] = {
    "optimizer": "Optimiser",
    "lr": "Learning rate of the weights",
    "schedule": "Learning-rate schedule",
    "restart_period": "Epochs between restarts of the learning rate",
    "momentum": "Momentum",
    "weight_decay": "Weight decay",
    "scale_lr": "Learning rate of α and β, × that of the weights",
    "epochs": "Epochs",
    "batch_size": "Batch size",
}
COSTS: Mapping[str, str] = {"train_loss": "training loss", "validation_loss": "validation loss"}
