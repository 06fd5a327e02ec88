"""Initialises a large LSTM with a trained small one: its weights are copied, the others are added beside them.

After Chen, Goodfellow and Shlens, "Net2Net: accelerating learning via knowledge transfer" (2016). Units of an added
layer pass the layer below through, nearly unchanged. On the recordings of the challenge a large LSTM trained from
nothing ended behind a small one, which sees many more steps in the same time; one that had grown ended before both.
"""

from __future__ import annotations

import math

import torch

from spikey.base.errors import UsageError
from spikey.model.trained import Model
from spikey.training.network import Network
from spikey.training.quantise import restored

OPEN = 5.0  # bias of a gate that lets through, and with a minus of one that does not
SLOPE = 0.5  # of the path through an added layer: small, so that it is nearly straight
TYPICAL = 0.6  # magnitude of a unit within which it should be


@torch.no_grad()
def grow(small: Model, network: Network) -> None:
    """Initialise `network` with the weights of `small`; UsageError where the one does not fit into the other."""
    old, new = small.architecture, network.architecture
    alike = (old.type, old.alone, old.lags, old.delta) == (new.type, new.alone, new.lags, new.delta)
    if new.type != "lstm" or not alike or old.hidden > new.hidden or old.layers > new.layers:
        raise UsageError(
            f"training.start_from: {small.name} cannot grow to this network; both must be LSTMs that see the same, and "
            f"the model, of {old.layers} x {old.hidden} units, no larger"
        )
    known = dict(restored(small).named_parameters())
    for name, parameter in network.named_parameters():
        layer = int(name[-1]) if name.startswith("lstm") else -1
        if layer < 0:
            continue
        for gate in range(4):
            rows = parameter[gate * new.hidden : gate * new.hidden + old.hidden]
            rows.zero_()
            if layer < old.layers:
                copied = known[name][gate * old.hidden : (gate + 1) * old.hidden]
                rows[tuple(slice(size) for size in copied.shape)] = copied
            elif "bias_ih" in name:
                rows.fill_((OPEN, -OPEN, 0.0, OPEN)[gate])
            elif "weight_ih" in name and gate == 2:
                rows[:, : old.hidden] = SLOPE * torch.eye(old.hidden)
    inputs = new.inputs
    network.head.weight.zero_()
    network.head.weight[:, :inputs] = known["head.weight"][:, :inputs]
    passed = _passed() ** (new.layers - old.layers)
    network.head.weight[:, inputs : inputs + old.hidden] = known["head.weight"][:, inputs:] / passed
    network.head.bias.copy_(known["head.bias"])


def _passed() -> float:
    """The factor by which an added layer changes a unit."""
    open_gate = 1 / (1 + math.exp(-OPEN))
    units = torch.linspace(-TYPICAL, TYPICAL, 101)
    through = open_gate * torch.tanh(open_gate * torch.tanh(SLOPE * units))
    return float((units * through).sum() / (units * units).sum())
