"""Training speed on LeNet-5 / MNIST, one thread, against a bare PyTorch loop: `python -m benchmarks.training_speed`.

Six ways to train the same network for the same number of steps, run in turn so that a noisy machine slows all of
them alike; each is compared with the mean of the bare loops just before and after it, and the medians are printed.

- bare: `nn.ReLU`, Adam, batches gathered from one tensor, no masks, nothing else.
- bare, fused: the same with the fused Adam that our loop uses.
- stage 1: our loop, ReLU at every site through the surgery, α = β = 1 not trained, masks held.
- stage 2: the same, with α, β trained at every site.
- DataLoader: the bare loop fed by `torch.utils.data.DataLoader` over the same tensor, and over MNIST's images as
  `torchvision.datasets.MNIST` gives them, with `ToTensor` and `Normalize`, as most code on the web does it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from safs.data.dataset import Data
from safs.data.registry import load
from safs.data.roots import data_root
from safs.masks import apply_mask
from safs.models.registry import make_model
from safs.protocol import Protocol
from safs.pruning import prune
from safs.sites import find_sites
from safs.surgery import apply_assignment
from safs.training import train

BATCH = 128
LR = 1e-3


def pictures(examples: int) -> Dataset[tuple[Tensor, int]]:
    """Return MNIST as the usual tutorial reads it: a PIL image per example, transformed when it is asked for."""
    from torchvision import transforms
    from torchvision.datasets import MNIST

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    return Subset(MNIST(str(data_root(None)), train=True, transform=transform), range(examples))


def bare_loop(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, fused: bool | None = None) -> None:
    """Train as a short PyTorch script would."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=fused)
    model.train()
    for images, labels in batches:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def gathered(data: Data) -> Iterable[tuple[Tensor, Tensor]]:
    """Yield shuffled batches gathered from the one tensor."""
    order = torch.randperm(len(data))
    for start in range(0, len(data) // BATCH * BATCH, BATCH):
        batch = order[start : start + BATCH]
        yield data.images[batch], data.labels[batch]


def seconds(run: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Print the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--examples", type=int, default=12800)
    options = parser.parse_args()
    torch.set_num_threads(1)
    everything = load("mnist", "train", root=None, device="cpu")
    data = Data(everything.images[: options.examples].clone(), everything.labels[: options.examples].clone(), 10)
    indices = torch.arange(len(data))
    model = make_model("lenet5", seed=0)
    sites = find_sites(model, (1, 28, 28))
    mask = prune(model, 0.99)
    apply_mask(model, mask)
    protocol = Protocol(epochs=1, batch_size=BATCH, optimizer="adam", lr=LR, schedule="constant")

    def ours(learn: bool) -> None:
        network = apply_assignment(model, sites.original, sites=sites, learn=learn)
        train(network, mask, data, indices, protocol, seed=0)

    tensors, images = TensorDataset(data.images, data.labels), pictures(len(data))
    ways: dict[str, Callable[[], object]] = {
        "bare loop, fused Adam": lambda: bare_loop(make_model("lenet5", seed=0), gathered(data), fused=True),
        "stage 1: masks, α = β = 1": lambda: ours(learn=False),
        "stage 2: masks, α and β trained": lambda: ours(learn=True),
        "bare loop, DataLoader over the tensor": lambda: bare_loop(
            make_model("lenet5", seed=0), DataLoader(tensors, batch_size=BATCH, shuffle=True, drop_last=True)
        ),
        "bare loop, DataLoader over PIL images": lambda: bare_loop(
            make_model("lenet5", seed=0), DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True)
        ),
    }
    bare = lambda: bare_loop(make_model("lenet5", seed=0), gathered(data))  # noqa: E731
    for run in (bare, *ways.values()):
        run()
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    bares = []
    for _ in range(options.rounds):
        for name, run in ways.items():
            before, this, after = seconds(bare), seconds(run), seconds(bare)
            bares += [before, after]
            ratios[name].append(this / ((before + after) / 2))
    steps = len(data) // BATCH
    print(
        f"LeNet-5, MNIST, batch {BATCH}, {steps} steps, one thread, {options.rounds} rounds, torch {torch.__version__}"
    )
    print(f"{'bare loop over the tensor':<40} 1.00x  ({1000 * median(bares) / steps:.2f} ms a step)")
    for name, values in ratios.items():
        print(f"{name:<40} {median(values):.2f}x")
    for loader in ("bare loop, DataLoader over the tensor", "bare loop, DataLoader over PIL images"):
        ahead = median(ratios[loader]) / median(ratios["stage 1: masks, α = β = 1"])
        print(f"stage 1 is {ahead:.2f}x ahead of the {loader}")


if __name__ == "__main__":
    main()
