"""A trial: one training of one suggestion, a pure function of its spec (invariant 3)."""

from __future__ import annotations

import contextlib
import copy
import math
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from safs.data.dataset import Data
from safs.data.feed import first
from safs.data.splits import folds
from safs.gradient_flow import GradientFlow
from safs.masks import Mask
from safs.out_of_memory import out_of_memory
from safs.outcome import Reason, Status, TrialOutcome
from safs.peak_memory import PeakMemory
from safs.sites import Sites
from safs.spec import TrialSpec
from safs.storage import StorageError
from safs.surgery import apply_assignment
from safs.training import Callback, NonFiniteLossError, evaluate, train
from spaces.errors import SafsError


@dataclass(frozen=True)
class Problem:
    """What trials are run on: a network with its weights and mask, and the training data. Trials change none of it.

    Attributes:
        model: the network, on the device of the data.
        mask: its masks; empty if it is dense.
        sites: its activation sites.
        data: the training examples.
        threads: CPU threads that a trial uses.
    """

    model: nn.Module
    mask: Mask
    sites: Sites
    data: Data
    threads: int = 1

    def check_logits(self, name: str) -> None:
        """Check that the network called `name` returns one logit for each class.

        Raises:
            SafsError: if it does not.
        """
        with torch.no_grad():
            logits: Any = copy.deepcopy(self.model).eval()(first(self.data, 2))
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != self.data.classes:
            got = tuple(logits.shape[1:]) if isinstance(logits, Tensor) else type(logits).__name__
            raise SafsError(
                f"{name} must return one logit for each of the {self.data.classes} classes of the data, but returns "
                f"{got}; set its arguments (`model.kwargs`, or --kwarg) accordingly."
            )


def run_trial(
    spec: TrialSpec, problem: Problem, callbacks: Sequence[Callback] = ()
) -> tuple[TrialOutcome, dict[str, Tensor] | None]:
    """Train one suggestion and return its outcome, and the trained state dict if the spec asks to keep it.

    A training that fails is an outcome with a reason and a traceback, never an exception and never a score.

    Raises:
        StorageError: if a callback could not write, which says nothing about the suggestion.
    """
    started = time.perf_counter()
    peak = PeakMemory(problem.data.device)
    try:
        with computing(problem):
            outcome, trained = _train_and_score(spec, problem, callbacks)
    except StorageError:
        raise
    except NonFiniteLossError:
        outcome, trained = failed(Reason.NAN), None
    except Exception as error:  # noqa: BLE001 - whatever a network's forward pass may raise: kept, traceback and all
        outcome, trained = failed(Reason.OOM if out_of_memory(error) else Reason.ERROR), None
    return replace(outcome, seconds=time.perf_counter() - started, peak_memory=peak.bytes()), trained


@contextlib.contextmanager
def computing(problem: Problem) -> Iterator[None]:
    """Compute as trials of a problem do: with its number of threads, and deterministically."""
    threads = torch.get_num_threads()
    torch.set_num_threads(problem.threads)
    try:
        with _deterministic(problem.data.labels.device):
            yield
    finally:
        torch.set_num_threads(threads)


def _deterministic(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Let cuDNN choose the same algorithms in every process: by default it may take whichever was fastest."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def failed(reason: Reason) -> TrialOutcome:
    """Return the outcome of a trial that failed with the exception that is being handled."""
    return TrialOutcome(Status.FAILED, reason=reason, traceback=traceback.format_exc())


def _train_and_score(
    spec: TrialSpec, problem: Problem, callbacks: Sequence[Callback]
) -> tuple[TrialOutcome, dict[str, Tensor] | None]:
    data = problem.data
    network = apply_assignment(
        problem.model, spec.assignment, sites=problem.sites, learn=spec.learn, per_channel=spec.per_channel
    ).to(data.device)
    flow = GradientFlow()
    training, validation = _split(spec, data)
    history = train(
        network,
        problem.mask,
        data,
        training,
        spec.protocol,
        seed=spec.seed,
        span=spec.span,
        callbacks=[*callbacks, flow] if spec.keep else callbacks,
    )
    metrics: dict[str, Any] = {"train_loss": history[-1], "history": history}
    if spec.keep:
        metrics["gradient_flow"] = flow.epochs
    if validation is not None:
        score = evaluate(network, data, validation)
        metrics |= {"validation_loss": score.loss, "validation_accuracy": score.accuracy}
        metrics["validation_error"] = 1 - score.accuracy
        if not math.isfinite(score.loss):
            raise NonFiniteLossError(spec.protocol.epochs, None)
    trained: dict[str, Tensor] | None = None
    if spec.keep:
        trained = {name: _stored(tensor) for name, tensor in network.state_dict().items()}
    return TrialOutcome(Status.SUCCEEDED, cost=metrics[spec.cost], metrics=metrics), trained


def _stored(tensor: Tensor) -> Tensor:
    """Return a copy on the CPU, contiguous whatever memory format the network trains in."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _split(spec: TrialSpec, data: Data) -> tuple[Tensor, Tensor | None]:
    """Return the indices to train and to validate on."""
    if spec.folds == 0:
        return torch.arange(len(data.labels), device=data.labels.device), None
    # The split belongs to the study, not to the suggestion: all suggestions of a study share its folds.
    return folds(data.labels, spec.folds, spec.study_seed)[spec.fold]
