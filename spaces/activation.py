"""y = α·f(β·x): the module that stands at an activation site (Section 4.1 of the SAFS paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from spaces.errors import SafsError
from spaces.operators import Operator
from spaces.scaled_relu import scaled_relu

Value = float | Sequence[float]
"""One number for the whole site, or one for each of its channels."""


class Activation(nn.Module):
    """The unary operator of one site with its scaling factors.

    A factor that is 1 and not trained costs nothing: it is no parameter and nothing is multiplied by it.

    Args:
        operator: the unary operator f.
        alpha, beta: the factors: one number, or one per channel.
        constants: values of the operator's constants (one number, or one per channel) where they differ from
            the table's.
        learn: whether α, β and the constants are trainable parameters (stage 2). The constants of an adaptive
            operator (SReLU, PReLU) always are.
        channels: the number of channels, the size of dimension `channel_dim` of the input; needed only where
            something is per channel.
        per_channel: learn one α, β and constant per channel instead of one per site. The constants of SReLU are
            per channel in either case, by its definition.
        channel_dim: which dimension of the input holds the channels.

    Shapes: input and output have the same shape; parameters are scalars, or broadcast along `channel_dim`.

    Raises:
        SafsError: if `constants` holds a name that the operator does not have, a list has not one value per
            channel, or something is per channel and `channels` is not given.
    """

    alpha: nn.Parameter | None
    beta: nn.Parameter | None

    def __init__(
        self,
        operator: Operator,
        *,
        alpha: Value = 1.0,
        beta: Value = 1.0,
        constants: Mapping[str, Value] | None = None,
        learn: bool = False,
        channels: int | None = None,
        per_channel: bool = False,
        channel_dim: int = 1,
    ) -> None:
        super().__init__()
        unknown = set(constants or {}) - set(operator.constants)
        if unknown:
            raise SafsError(
                f"Operator {operator.name!r} has the constants {sorted(operator.constants)}, not {sorted(unknown)}."
            )
        if channels is None and (per_channel or operator.per_channel):
            raise SafsError(f"Values per channel of {operator.name!r} need the number of channels.")
        self.operator = operator
        self.channel_dim = channel_dim
        self._channels = channels
        self._plain = dict(operator.constants)
        self._set("alpha", alpha, 1.0, learn, per_channel)
        self._set("beta", beta, 1.0, learn, per_channel)
        for name, start in operator.constants.items():
            value = (constants or {}).get(name, start)
            learned, spread = learn or operator.adaptive, per_channel or operator.per_channel
            self._set(f"constant_{name}", value, start, learned, spread)

    def _set(self, name: str, value: Value, neutral: float, learn: bool, per_channel: bool) -> None:
        """Register `value` as a parameter, or as None where it is neutral and not trained."""
        if not learn and value == neutral:
            self.register_parameter(name, None)
            return
        tensor = torch.as_tensor(value, dtype=torch.get_default_dtype())
        channels = self._channels
        if tensor.ndim and channels is not None and len(tensor) != channels:
            raise SafsError(f"{name} needs one value for each of {channels} channels, but got {len(tensor)}.")
        if tensor.ndim == 0 and per_channel and channels is not None:
            tensor = tensor.expand(channels)
        self.register_parameter(name, nn.Parameter(tensor.clone(), requires_grad=learn))

    def _shaped(self, parameter: Tensor, x: Tensor) -> Tensor:
        """Return `parameter` in a shape that broadcasts along the channels of `x`."""
        if parameter.ndim == 0:
            return parameter
        return parameter.reshape([-1 if i == self.channel_dim % x.ndim else 1 for i in range(x.ndim)])

    def _constant(self, name: str) -> Tensor | None:
        parameter: Tensor | None = getattr(self, f"constant_{name}")
        return parameter

    def _constants(self, x: Tensor) -> dict[str, Tensor | float]:
        values: dict[str, Tensor | float] = dict(self._plain)
        for name in self._plain:
            parameter = self._constant(name)
            if parameter is not None:
                values[name] = self._shaped(parameter, x)
        return values

    def forward(self, x: Tensor) -> Tensor:
        """Return α·f(β·x)."""
        if (
            self.operator.name == "relu"
            and (self.alpha is not None and self.alpha.ndim == 0)
            and (self.beta is not None and self.beta.ndim == 0)
        ):
            return scaled_relu(x, self.alpha, self.beta)
        z = x if self.beta is None else self._shaped(self.beta, x) * x
        y = self.operator.function(z, **self._constants(x))
        return y if self.alpha is None else self._shaped(self.alpha, x) * y

    def extra_repr(self) -> str:
        """Return the operator's name, for printing the module."""
        return self.operator.name

    def describe(self) -> dict[str, object]:
        """Return operator, α, β and constants as JSON values: numbers, or lists where they are per channel."""
        return {
            "operator": self.operator.name,
            "alpha": _json(self.alpha, 1.0),
            "beta": _json(self.beta, 1.0),
            "constants": {name: _json(self._constant(name), start) for name, start in self._plain.items()},
        }


def _json(parameter: Tensor | None, default: float) -> float | list[float]:
    if parameter is None:
        return default
    value: float | list[float] = parameter.detach().cpu().tolist()
    return value
