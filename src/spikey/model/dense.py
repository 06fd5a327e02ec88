"""Dense layers of clipped rectifiers: a `fixed_input_nn`, which remembers nothing but what it is shown."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.model.fixed_point import ACTIVATION_MAX, NETWORK_BITS
from spikey.model.network import dot, infer, output, padded
from spikey.model.trained import Model


class Dense(NamedTuple):
    """Weights and room for the units.

    first int16 (hidden, columns), rest int16 (layers - 1, hidden, columns), bias int32 (layers, hidden): the layers.
    head_inputs, head_units int16 (2, columns), head_bias int32 (2,): the head sees the inputs and the last layer.
    seen int16 (columns,), units int16 (layers, columns): padded with zeros.
    """

    first: np.ndarray
    rest: np.ndarray
    bias: np.ndarray
    head_inputs: np.ndarray
    head_units: np.ndarray
    head_bias: np.ndarray
    seen: np.ndarray
    units: np.ndarray


def dense(model: Model) -> Dense:
    """The network of a model of type fixed_input_nn."""
    built, tensors = model.architecture, model.tensors
    rest = [padded(tensors[f"layer{i}.weight"]) for i in range(1, built.layers)]
    head = tensors["head.weight"]
    head_units = padded(head[:, built.inputs :])
    first = padded(tensors["layer0.weight"])
    return Dense(
        first,
        np.stack(rest) if rest else np.zeros((0, built.hidden, head_units.shape[1]), dtype=np.int16),
        np.stack([tensors[f"layer{i}.bias"] for i in range(built.layers)]),
        padded(head[:, : built.inputs]),
        head_units,
        tensors["head.bias"],
        np.zeros(first.shape[1], dtype=np.int16),
        np.zeros((built.layers, head_units.shape[1]), dtype=np.int16),
    )


@infer.register(Dense, inline=False)
def _infer_dense(network, inputs, outputs):
    seen, units = network.seen, network.units
    hidden, layers = network.first.shape[0], units.shape[0]
    half = np.int32(1 << (NETWORK_BITS - 1))
    for lane in range(inputs.shape[0]):
        for i in range(inputs.shape[1]):
            seen[i] = inputs[lane, i]
        for j in range(hidden):
            total = np.int32(dot(network.first[j], seen) + network.bias[0, j])
            units[0, j] = min(max(np.int32(total + half) >> NETWORK_BITS, 0), ACTIVATION_MAX)
        for layer in range(1, layers):
            for j in range(hidden):
                total = np.int32(dot(network.rest[layer - 1, j], units[layer - 1]) + network.bias[layer, j])
                units[layer, j] = min(max(np.int32(total + half) >> NETWORK_BITS, 0), ACTIVATION_MAX)
        for k in range(2):
            total = dot(network.head_inputs[k], seen) + dot(network.head_units[k], units[layers - 1])
            outputs[lane, k] = output(total + network.head_bias[k])
