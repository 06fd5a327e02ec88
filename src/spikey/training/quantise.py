"""From a network in floating point to the integers of the codec, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from spikey.model.fixed_point import ACTIVATION_BITS, NETWORK_BITS
from spikey.model.trained import EXACT, Architecture, Model, reach_of
from spikey.training.network import Network

WEIGHT_ONE = 1 << NETWORK_BITS
BIAS_ONE = 1 << NETWORK_BITS + ACTIVATION_BITS
LARGEST_WEIGHT = (1 << 15) - 1
ROOM = 0.95  # of what a row's sum may reach that training uses, for rounding and the steps until the next `keep_inside`


def _names(architecture: Architecture, name: str) -> tuple[list[str], list[str]]:
    """The network's parameters whose columns make up a weight tensor, and those that add up to its bias."""
    if name == "head.weight":
        return ["head.weight"], ["head.bias"]
    layer = name.removeprefix("layer").removesuffix(".weight")
    if architecture.type == "lstm":
        return [f"lstm.weight_{kind}_l{layer}" for kind in ("ih", "hh")], [
            f"lstm.bias_{kind}_l{layer}" for kind in ("ih", "hh")
        ]
    return [f"dense.{layer}.weight"], [f"dense.{layer}.bias"]


def _weights(architecture: Architecture) -> list[str]:
    return [name for name in architecture.shapes() if name.endswith("weight")]


@torch.no_grad()
def keep_inside(network: Network) -> None:
    """Shrink the rows that the integer arithmetic has no room for, in place."""
    parameters = dict(network.named_parameters())
    for name in _weights(network.architecture):
        weights, biases = _names(network.architecture, name)
        reach = torch.from_numpy(reach_of(network.architecture, name)).to(parameters[weights[0]].device)
        largest = torch.cat([parameters[part].abs() for part in weights], dim=1)
        sums = WEIGHT_ONE * (largest @ reach.to(largest.dtype))
        sums += BIAS_ONE * sum(parameters[part].abs() for part in biases)
        factor = torch.minimum(ROOM * EXACT / sums, ROOM * LARGEST_WEIGHT / WEIGHT_ONE / largest.amax(dim=1))
        factor = torch.nan_to_num(factor, nan=1.0).clamp(max=1)
        for part in weights:
            parameters[part].mul_(factor[:, None])
        for part in biases:
            parameters[part].mul_(factor)


@torch.no_grad()
def quantise(network: Network, metadata: dict[str, Any] | None = None, say: Callable[[str], None] = print) -> Model:
    """The network in the codec's integers, rounded to nearest. Rows too large for them are shrunk, with a note."""
    parameters = {name: value.detach().cpu().double().numpy() for name, value in network.named_parameters()}
    tensors: dict[str, np.ndarray] = {}
    for name in _weights(network.architecture):
        weights, biases = _names(network.architecture, name)
        weight = np.concatenate([parameters[part] for part in weights], axis=1) * WEIGHT_ONE
        bias = np.sum([parameters[part] for part in biases], axis=0) * BIAS_ONE
        reach = reach_of(network.architecture, name)
        sums = np.abs(weight) @ reach + np.abs(bias) + 1
        room = EXACT - 2 - reach.sum() / 2  # rounding adds up to half of each column's reach
        factor = np.minimum(1, np.minimum(room / sums, LARGEST_WEIGHT / np.maximum(np.abs(weight).max(axis=1), 1)))
        if (factor < 1).any():
            say(f"{name}: {int((factor < 1).sum())} of {len(factor)} rows are too large for the codec and were shrunk")
        tensors[name] = np.rint(weight * factor[:, None]).astype(np.int16)
        tensors[name.replace("weight", "bias")] = np.rint(bias * factor).astype(np.int32)
    return Model(network.architecture, tensors, metadata or {})


@torch.no_grad()
def restored(model: Model) -> Network:
    """The network in floating point that has a model's rounded weights."""
    network = Network(model.architecture)
    parameters = dict(network.named_parameters())
    for name in _weights(model.architecture):
        weights, biases = _names(model.architecture, name)
        sizes = [parameters[part].shape[1] for part in weights]
        columns = torch.from_numpy(model.tensors[name] / WEIGHT_ONE).float()
        for part, values in zip(weights, columns.split(sizes, dim=1), strict=True):
            parameters[part].copy_(values)
        bias = torch.from_numpy(model.tensors[name.replace("weight", "bias")] / BIAS_ONE).float()
        for index, part in enumerate(biases):
            parameters[part].copy_(bias if index == 0 else torch.zeros_like(bias))
    return network
