"""On how many networks of torchvision and timm SAFS finds and replaces every activation call.

    python -m benchmarks.coverage                     # all 80 of torchvision, 150 of timm drawn by a seed
    python -m benchmarks.coverage --only timm/vgg16   # some

For each network, untrained, at the smallest input that it takes: the sites and gates found are, by name and operator,
the activation calls noted while it runs (`benchmarks.counting`); with its own operators put back its outputs are
bit-equal; with a mixed assignment it runs forward and backward in training. Networks of more parameters than
`--limit` million are built without storage, on the meta device: shapes stand for numbers there. Every network has a
process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torchvision import models

from benchmarks.counting import activation_calls
from safs.models.registry import make_model, usual_input_shape
from safs.sites import Sites, find_sites
from safs.surgery import apply_assignment
from spaces.errors import SafsError
from spaces.operators import PAPER_OPERATORS

SIZES = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 320, 384)
MIXED = tuple(name for name in PAPER_OPERATORS if name != "symexp")
"""Untrained networks of many layers overflow with symexp."""
CALLED = {
    "swish": ("sigmoid",),
    "quick_gelu": ("sigmoid",),
    "gelu": ("erf",),
    "gelu_tanh": ("gelu", "tanh"),
    "hardswish": ("relu6", "hardsigmoid"),
    "hardsigmoid": ("relu6",),
    "relu": ("threshold",),
}
"""What a call is noted as where an operator depends on its arguments, or is written out over several calls."""


@dataclass(frozen=True)
class Outcome:
    """What was found of one network; `failure` says what is wrong, if anything is."""

    name: str
    failure: str = ""
    detail: str = ""


def main() -> None:
    """Check every network, then print the table, the failures and the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="draws timm's names")
    parser.add_argument("--timm", type=int, default=150, help="how many of timm's names")
    parser.add_argument("--limit", type=float, default=100, help="parameters, in millions, to be built with numbers")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for a network")
    parser.add_argument("--only", nargs="*", help="check these names only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torchvision = [f"torchvision/{name}" for name in models.list_models(module=models)]
    sample = random.Random(options.seed).sample(sorted(timm.list_models()), options.timm)
    names = options.only or [*torchvision, *(f"timm/{name}" for name in sorted(sample))]
    print(f"seed {options.seed}, timm {timm.__version__}, torch {torch.__version__}, {len(names)} networks", flush=True)
    outcomes = []
    for name in names:
        begun = time.perf_counter()
        outcomes.append(_in_a_process(name, options.limit * 1e6, options.timeout))
        seconds = time.perf_counter() - begun
        print(f"{name:<55} {outcomes[-1].failure or 'ok':<8} {outcomes[-1].detail} ({seconds:.0f} s)", flush=True)
    print()
    for outcome in outcomes:
        if outcome.failure:
            print(f"FAILED {outcome.name}: {outcome.failure}")
    for package in ("torchvision", "timm"):
        own = [outcome for outcome in outcomes if outcome.name.startswith(f"{package}/")]
        passed = sum(not outcome.failure for outcome in own)
        if own:
            print(f"{package}: {passed} of {len(own)}, {100 * passed / len(own):.1f} %")


def _in_a_process(name: str, limit: float, timeout: float) -> Outcome:
    """Check a network in a fork of this process, so that torch is loaded once and memory is given back."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, name, limit))
    process.start()
    sender.close()
    try:
        outcome: Outcome = receiver.recv() if receiver.poll(timeout) else Outcome(name, f"took over {timeout:.0f} s")
    except EOFError:
        process.join()
        outcome = Outcome(name, f"the process ended with {process.exitcode}")
    process.kill()
    process.join()
    return outcome


def _send(sender: Connection, name: str, limit: float) -> None:
    warnings.simplefilter("ignore")
    try:
        sender.send(check(name, limit))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with this network goes to the list of failures
        text = str(error).strip().splitlines()
        sender.send(Outcome(name, f"{type(error).__name__}: {text[0] if text else ''}"))


def check(name: str, limit: float) -> Outcome:
    """Return what is found of a network."""
    model = _make_on_meta(name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shape = _smallest_input(model.eval(), usual_input_shape(name) or (3, 224, 224))
    with_numbers = parameters <= limit
    if with_numbers:
        model = _make(name)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, *shape, generator=generator).to("cpu" if with_numbers else "meta")
    calls = activation_calls(model, x)
    sites = find_sites(model, shape)
    way = f"{sites.traced}, {len(sites)} sites, {len(sites.gates)} gates"
    numbers = "" if with_numbers else ", without numbers"
    detail = f"{parameters / 1e6:.1f} M, {'×'.join(map(str, shape))}, {way}{numbers}"
    return Outcome(name, _failure(model, sites, x, calls), detail)


def _make(name: str) -> nn.Module:
    quick = {"init_weights": False} if name in ("torchvision/googlenet", "torchvision/inception_v3") else {}
    return make_model(name, quick, seed=0)


def _make_on_meta(name: str) -> nn.Module:
    try:
        with torch.device("meta"):
            return _make(name)
    except SafsError:  # RegNet computes its widths by tensors
        return _make(name).to("meta")


def _smallest_input(model: nn.Module, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the smallest square image that a network on the meta device takes, up to its usual one."""
    channels, height, width = usual
    for size in (size for size in SIZES if size < min(height, width)):
        try:
            with torch.no_grad():
                model(torch.empty(2, channels, size, size, device="meta"))
        except Exception:  # noqa: BLE001  # whatever a forward pass may raise: too small
            continue
        return channels, size, size
    return usual


def _failure(model: nn.Module, sites: Sites, x: Tensor, calls: Sequence[tuple[str, str]]) -> str:
    """Return what is wrong, or nothing."""
    if sites.fixed:
        return f"{len(sites.fixed)} calls cannot be replaced: {sites.fixed[0].name}: {sites.fixed[0].reason}"
    different = difference(sites, calls)
    if different:
        return different
    if not len(sites):
        return ""
    with torch.no_grad():
        expected, got = (_outputs(m.eval()(x)) for m in (model, apply_assignment(model, sites.original, sites=sites)))
    if not _equal(expected, got):
        return "other outputs with its own operators"
    names = random.Random(0).choices(MIXED, k=len(sites))
    network = apply_assignment(model, names, sites=sites, learn=True).to(x.device).train()
    total = sum(output.float().square().mean() for output in _outputs(network(x)) if output.is_floating_point())
    assert isinstance(total, Tensor)
    total.backward()
    still = [name for name, p in network.named_parameters() if name.startswith("safs_activations") and p.grad is None]
    return f"no gradient for {still[0]}" if still else ""


def difference(sites: Sites, calls: Sequence[tuple[str, str]]) -> str:
    """Return which names and operators were found or noted, but not both, or nothing."""
    found = Counter((one.name.partition("#")[0], one.operator) for one in (*sites, *sites.gates))
    noted = Counter(calls)
    extra, missing = found - noted, noted - found
    for name, operator in list(extra.elements()):
        within = name.rpartition(".")[0]
        called = [one for one in +missing if one[0].startswith(within) and one[1] in CALLED.get(operator, ())]
        if called:
            extra.subtract([(name, operator)])
            missing.subtract([min(called, key=lambda one: one[0].count("."))])  # the nearest to the caller
    return "; ".join(
        f"{some.total()} of {len(calls)} calls {what}, first {' as '.join(next(iter(some)))}"
        for some, what in ((+extra, "not noted"), (+missing, "not found"))
        if some
    )


def _outputs(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _equal(expected: Sequence[Tensor], got: Sequence[Tensor]) -> bool:
    if len(expected) != len(got):
        return False
    pairs = zip(expected, got, strict=True)
    return all(a.shape == b.shape and (a.is_meta or torch.equal(a, b)) for a, b in pairs)


if __name__ == "__main__":
    main()
