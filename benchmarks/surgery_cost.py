"""What surgery costs where nothing changes: `python -m benchmarks.surgery_cost [--threads N] [--device auto|cpu|cuda]`.

Forward and backward of a network that went through `find_sites` and `apply_assignment` with its original operators,
against the network itself, in training and at the input that it is made for. The two run in turn so that a noisy
machine slows both alike; each run of the one is compared with the mean of the other's just before and after it, and
medians are printed, with the range of the middle half of the ratios. Outputs are checked to be bit-equal first.
"""

from __future__ import annotations

import argparse
import time
from statistics import median, quantiles

import torch
from torch import Tensor, nn

from safs.models.registry import make_model, usual_input_shape
from safs.sites import find_sites
from safs.surgery import apply_assignment

NETWORKS = ("torchvision/resnet50", "torchvision/mobilenet_v3_large", "torchvision/vit_b_16")
ASKED = 1.03


def pair(name: str, device: torch.device) -> tuple[nn.Module, nn.Module, tuple[int, ...]]:
    """Return a network, the same with its original operators put back by the surgery, and its input's shape."""
    shape = usual_input_shape(name)
    assert shape is not None
    model = make_model(name, seed=0).to(device)
    sites = find_sites(model, shape)
    return model.train(), apply_assignment(model, sites.original, sites=sites).train(), shape


def check_equal(model: nn.Module, network: nn.Module, x: Tensor) -> None:
    """Raise unless both networks give the same output, bit by bit."""
    with torch.no_grad():
        assert torch.equal(model.eval()(x), network.eval()(x)), "the surgery changed the network"
    model.train()
    network.train()


def seconds(network: nn.Module, x: Tensor, steps: int) -> float:
    """Return how long so many forward and backward passes take."""
    _wait(x.device)
    started = time.perf_counter()
    for _ in range(steps):
        network(x).sum().backward()
        network.zero_grad()
    _wait(x.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Print the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, help="passes a round; 1 on a CPU, 20 on a GPU where not given")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(automatic if options.device == "auto" else options.device)
    steps = options.steps or (20 if device.type == "cuda" else 1)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {options.threads}"
    print(f"{where}; batch {options.batch}, {options.rounds} rounds, torch {torch.__version__}")
    print(f"{'network':<32} {'untouched':>12} {'ratio':>8}   middle half        asked")
    for name in NETWORKS:
        model, network, shape = pair(name, device)
        x = torch.randn(options.batch, *shape, generator=torch.Generator().manual_seed(0)).to(device)
        check_equal(model, network, x)
        seconds(network, x, steps)  # the first pass of each allocates and chooses kernels
        seconds(model, x, steps)
        untouched, ratios = [seconds(model, x, steps)], []
        for _ in range(options.rounds):
            after = seconds(network, x, steps)
            untouched.append(seconds(model, x, steps))
            ratios.append(after / ((untouched[-2] + untouched[-1]) / 2))
        low, _, high = quantiles(ratios)
        each = f"{1000 * median(untouched) / steps:.1f} ms"
        print(f"{name:<32} {each:>12} {median(ratios):7.3f}x   {low:.3f} to {high:.3f}   at most {ASKED}x", flush=True)


if __name__ == "__main__":
    main()
