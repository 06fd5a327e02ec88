"""The networks in floating point, built as the integer ones are, and the code length of their predictions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spikey.model.fixed_point import ACTIVATION_BITS, ACTIVATION_MAX
from spikey.model.table_definitions import COMPONENTS
from spikey.model.trained import Architecture

ACTIVATION_ONE = 1 << ACTIVATION_BITS
LARGEST = ACTIVATION_MAX / ACTIVATION_ONE  # of inputs, dense units and answers
SHAPE = tuple((float(weight), float(width)) for weight, width in COMPONENTS)
LEAST = 2e-6  # mass of a bin however unlikely, so that no sample pulls too hard

State = tuple[Tensor, Tensor] | None


class Network(nn.Module):
    """An LSTM, or dense layers with clipped rectifiers; a linear head sees the last layer and the inputs."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        inputs, hidden, layers = architecture.inputs, architecture.hidden, architecture.layers
        if architecture.type == "lstm":
            self.lstm = nn.LSTM(inputs, hidden, layers)
        else:
            self.dense = nn.ModuleList(nn.Linear(inputs if layer == 0 else hidden, hidden) for layer in range(layers))
        self.head = nn.Linear(inputs + hidden, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, Tensor, State]:
        """Octaves by which the scale changes and shares of it by which the location moves, (time, batch), and a state.

        inputs: integers (time, batch, inputs) in 1/256. state: the state of an LSTM; None at the beginning.
        """
        known = inputs.float() / ACTIVATION_ONE
        if self.architecture.type == "lstm":
            units, state = self.lstm(known, state)
        else:
            units = known
            for layer in self.dense:
                units = layer(units).clamp(0, LARGEST)
        answers = self.head(torch.cat([known, units], dim=-1)).float().clamp(-LARGEST, LARGEST)
        return answers[..., 0], answers[..., 1], state


def cumulative(z: Tensor) -> Tensor:
    """The integral of the density's bell shape."""
    return sum((0.5 * weight * (1 + torch.erf(z / (width * math.sqrt(2)))) for weight, width in SHAPE), z.new_zeros(()))


def bits(octaves: Tensor | float, share: Tensor | float, below: Tensor, above: Tensor) -> Tensor:
    """The code length of each sample in bits.

    below, above: the edges of the actual code, from the base's location in units of the base's scale.

    >>> round(float(bits(0.0, 0.0, torch.tensor(-1000.0), torch.tensor(0.0))), 3)
    1.0
    """
    shrunk = torch.exp2(-torch.as_tensor(octaves, device=below.device))
    mass = cumulative((above - share) * shrunk) - cumulative((below - share) * shrunk)
    return -torch.log2(mass.clamp_min(0) + LEAST)
