"""Long short-term memory (Hochreiter and Schmidhuber, 1997; gates as in PyTorch) in integers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.model.fixed_point import ACTIVATION_BITS, GATE_BITS, SIGMOID, TANGENT, Z_BITS
from spikey.model.network import OUTPUT_MAX, SUM_BITS, dot, infer, output, padded
from spikey.model.trained import Model

CELL_BITS = 16  # of cells, within 16
CELL_MAX = 16 << CELL_BITS
TABLE_BITS = 8  # of a table's argument
TABLE_HALF = len(SIGMOID) // 2


class Lstm(NamedTuple):
    """Weights and state.

    first int16 (4 * hidden, columns), rest int16 (layers - 1, 4 * hidden, columns), bias int32 (layers, 4 * hidden):
    of the input, forget, cell and output gates; a column is what a layer sees, then its own units.
    head_inputs, head_units int16 (2, columns), head_bias int32 (2,): the head sees the inputs and the last layer.
    seen int16 (columns of first,), joined int16 (columns of rest,), sums int32 (4 * hidden,): room.
    units int16 (lanes, layers, padded hidden), in 1/256; cells int32 (lanes, layers, hidden), in 1/65536.
    """

    first: np.ndarray
    rest: np.ndarray
    bias: np.ndarray
    head_inputs: np.ndarray
    head_units: np.ndarray
    head_bias: np.ndarray
    seen: np.ndarray
    joined: np.ndarray
    sums: np.ndarray
    units: np.ndarray
    cells: np.ndarray
    sigmoid: np.ndarray
    tangent: np.ndarray


def lstm(model: Model, lanes: int) -> Lstm:
    """The network of a model of type lstm, its state at zero."""
    built, tensors = model.architecture, model.tensors
    first = padded(tensors["layer0.weight"])
    rest = [padded(tensors[f"layer{i}.weight"]) for i in range(1, built.layers)]
    joined = rest[0].shape[1] if rest else 0
    head = tensors["head.weight"]
    head_units = padded(head[:, built.inputs :])
    return Lstm(
        first,
        np.stack(rest) if rest else np.zeros((0, 4 * built.hidden, 0), dtype=np.int16),
        np.stack([tensors[f"layer{i}.bias"] for i in range(built.layers)]),
        padded(head[:, : built.inputs]),
        head_units,
        tensors["head.bias"],
        np.zeros(first.shape[1], dtype=np.int16),
        np.zeros(joined, dtype=np.int16),
        np.zeros(4 * built.hidden, dtype=np.int32),
        np.zeros((lanes, built.layers, head_units.shape[1]), dtype=np.int16),
        np.zeros((lanes, built.layers, built.hidden), dtype=np.int32),
        SIGMOID,
        TANGENT,
    )


@infer.register(Lstm, inline=False)
def _infer_lstm(network, inputs, outputs):
    for lane in range(inputs.shape[0]):
        _advance(network, lane, inputs[lane])
        units = network.units[lane, network.units.shape[1] - 1]
        for k in range(2):
            total = dot(network.head_units[k], units) + network.head_bias[k]
            row = network.head_inputs[k]
            for i in range(inputs.shape[1]):
                total += np.int32(row[i]) * np.int32(inputs[lane, i])
            outputs[lane, k] = output(total)


@inlined
def _advance(network, lane, inputs):
    """One step of all layers of one lane."""
    seen, joined, sums = network.seen, network.joined, network.sums
    hidden, width = network.cells.shape[2], inputs.shape[0]
    for i in range(width):
        seen[i] = inputs[i]
    for layer in range(network.units.shape[1]):
        units, bias = network.units[lane, layer], network.bias[layer]
        if layer == 0:
            for i in range(hidden):
                seen[width + i] = units[i]
            for j in range(4 * hidden):
                sums[j] = dot(network.first[j], seen) + bias[j]
        else:
            below = network.units[lane, layer - 1]
            for i in range(hidden):
                joined[i] = below[i]
                joined[hidden + i] = units[i]
            for j in range(4 * hidden):
                sums[j] = dot(network.rest[layer - 1, j], joined) + bias[j]
        cells = network.cells[lane, layer]
        for j in range(hidden):
            cell = cell_of(
                network.sigmoid,
                network.tangent,
                np.int64(cells[j]),
                np.int64(sums[j]),
                np.int64(sums[hidden + j]),
                np.int64(sums[2 * hidden + j]),
            )
            cells[j] = cell
            units[j] = unit_of(network.sigmoid, network.tangent, cell, np.int64(sums[3 * hidden + j]))


@inlined
def _table(table, argument, bits):
    """A table's entry for an argument in 2^-bits."""
    index = (argument >> (bits - TABLE_BITS)) + TABLE_HALF
    return np.int64(table[np.uint64(min(max(index, 0), 2 * TABLE_HALF - 1))])


@inlined
def cell_of(sigmoid, tangent, cell, entering, keeping, content):
    """A cell's next value from the sums of its input, forget and cell gates."""
    kept = _table(sigmoid, keeping, SUM_BITS) * cell
    new = _table(sigmoid, entering, SUM_BITS) * _table(tangent, content, SUM_BITS)
    total = (kept + (new << (CELL_BITS - GATE_BITS)) + (1 << (GATE_BITS - 1))) >> GATE_BITS
    return min(max(total, -CELL_MAX), CELL_MAX)


@inlined
def unit_of(sigmoid, tangent, cell, leaving):
    """A unit's value, in 1/256, from its cell and the sum of its output gate."""
    product = _table(sigmoid, leaving, SUM_BITS) * _table(tangent, cell, CELL_BITS)
    down = 2 * GATE_BITS - ACTIVATION_BITS
    return (product + (1 << (down - 1))) >> down


class LstmTogether:
    """The network of a model for many recordings at once, its state at zero."""

    def __init__(self, model: Model, recordings: int):
        built, tensors = model.architecture, model.tensors
        weights = [tensors[f"layer{i}.weight"].astype(np.float32) for i in range(built.layers)]
        self._layers = [
            (
                weight,
                tensors[f"layer{i}.bias"],
                np.zeros((weight.shape[1], recordings), dtype=np.float32),  # what the layer sees, then its own units
                np.zeros((built.hidden, recordings), dtype=np.int32),
            )
            for i, weight in enumerate(weights)
        ]
        self._sums = np.zeros((4 * built.hidden, recordings), dtype=np.float32)
        self._head = tensors["head.weight"].astype(np.float32)
        self._bias = tensors["head.bias"]
        self._seen = np.zeros((built.inputs + built.hidden, recordings), dtype=np.float32)

    def infer(self, inputs: np.ndarray, outputs: np.ndarray) -> None:
        """One step: `spikey.model.network.infer` for inputs int16 (recordings, inputs)."""
        width = inputs.shape[1]
        self._seen[:width] = below = inputs.T
        for weight, bias, column, cells in self._layers:
            column[: len(below)] = below
            np.matmul(weight, column, out=self._sums)
            units = column[len(below) :]
            turn(self._sums, bias, cells, units, SIGMOID, TANGENT)
            below = units
        self._seen[width:] = below
        totals = (self._head @ self._seen).astype(np.int64).T + self._bias
        np.clip(totals >> (SUM_BITS - Z_BITS), -OUTPUT_MAX, OUTPUT_MAX, out=outputs)


@kernel
def turn(sums, bias, cells, units, sigmoid, tangent):
    """One layer's step of many recordings at once, after the matrix product.

    sums float32 (4 * hidden, recordings), whole numbers; bias int32 (4 * hidden,); cells int32 (hidden, recordings)
    and units float32 (hidden, recordings), whole numbers in 1/256, are brought up to date.
    """
    hidden, many = cells.shape
    for j in range(hidden):
        for g in range(many):
            cell = cell_of(
                sigmoid,
                tangent,
                np.int64(cells[j, g]),
                np.int64(np.int32(sums[j, g]) + bias[j]),
                np.int64(np.int32(sums[hidden + j, g]) + bias[hidden + j]),
                np.int64(np.int32(sums[2 * hidden + j, g]) + bias[2 * hidden + j]),
            )
            cells[j, g] = cell
            leaving = np.int64(np.int32(sums[3 * hidden + j, g]) + bias[3 * hidden + j])
            units[j, g] = unit_of(sigmoid, tangent, cell, leaving)
