"""Problems on their way to workers: each once per node, in Ray's object store, however many trials need it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safs.data.dataset import Data
from safs.data.placement import place
from safs.trial import Problem
from spaces.errors import SafsError, brief

_MOST_PROBLEMS = 8
"""So many networks a worker keeps: pruning methods that train send one per round."""


@dataclass(frozen=True)
class Parcel:
    """A problem in the object store.

    Attributes:
        key: names the problem: the same key is the same problem.
        problem: a reference to all of it but images and labels, pickled.
        images, labels: references to them as arrays, which the processes of a node share.
    """

    key: str
    problem: Any
    images: Any
    labels: Any


class Sender:
    """Packs problems; those with the same data share it."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[Tensor, Any]] = {}

    def pack(self, problem: Problem) -> Parcel:
        """Put a problem, whose tensors are on the CPU, into the object store.

        Raises:
            SafsError: if the network cannot be pickled.
        """
        import ray
        from ray import cloudpickle

        data = problem.data
        assert data.device.type == "cpu", "problems are sent from the CPU"
        bare = replace(data, images=data.images[:1], labels=data.labels[:1])
        try:
            pickled = cloudpickle.dumps(replace(problem, data=_detached(bare)))
        except Exception as error:
            raise SafsError(
                f"The network cannot be pickled, and so not be sent to Ray's workers: {brief(error)}"
            ) from error
        reference = ray.put(pickled)
        return Parcel(reference.hex(), reference, self._put(data.images), self._put(data.labels))

    def _put(self, tensor: Tensor) -> Any:
        import ray

        if id(tensor) not in self._sent:
            self._sent[id(tensor)] = tensor, ray.put(tensor.numpy())  # the tensor is held, so that its id stays its own
        return self._sent[id(tensor)][1]


class Receiver:
    """Unpacks problems on a device, each once."""

    def __init__(self, device: str, share: float) -> None:
        self._device = torch.device(device)
        self._share = share
        self._data: dict[Any, Data] = {}
        self._problems: dict[str, Problem] = {}

    def unpack(self, parcel: Parcel) -> Problem:
        """Return the problem, fetched from the node's object store if this process has not seen it yet."""
        import ray
        from ray import cloudpickle

        if parcel.key not in self._problems:
            problem: Problem = cloudpickle.loads(ray.get(parcel.problem))
            where = parcel.images.hex(), parcel.labels.hex(), problem.data.augmentation, problem.data.streamed
            if where not in self._data:
                images, labels = _shared(parcel.images), _shared(parcel.labels)
                whole = replace(problem.data, images=images, labels=labels, streamed=False)
                self._data[where] = self._placed(whole, host=problem.data.streamed)
            while len(self._problems) >= _MOST_PROBLEMS:
                del self._problems[next(iter(self._problems))]
            self._problems[parcel.key] = replace(
                problem,
                model=problem.model.to(self._device),
                mask=_on(problem.mask, self._device),
                data=self._data[where],
            )
        return self._problems[parcel.key]

    def _placed(self, data: Data, *, host: bool) -> Data:
        """Return data where trainings on the device look for it; on a CPU they are in the shared memory already."""
        if self._device.type == "cpu":
            return replace(data, streamed=host)
        return place(data, self._device, "host" if host else "auto", self._share)


def _detached(data: Data) -> Data:
    """Return data whose tensors own their memory: pickling a view would pickle all that it is a view of."""
    return replace(data, images=data.images.clone(), labels=data.labels.clone())


def _shared(reference: Any) -> Tensor:
    """Return an array of the object store as a tensor, not copied; nothing that trains writes to it."""
    import ray

    array: np.ndarray[Any, Any] = ray.get(reference)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(array)


def _on(mask: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in mask.items()}
