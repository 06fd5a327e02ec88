"""Trained networks in integers: what they have in common.

Inputs and units are int16 in 1/256, weights int16 in 1/512, sums int32 in 1/131072 and below 2^24, so that the same
sums come out of integer vector instructions and of single-precision matrix products, in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import generic, inlined
from spikey.model.fixed_point import ACTIVATION_BITS, NETWORK_BITS, Z_BITS

SUM_BITS = ACTIVATION_BITS + NETWORK_BITS
OUTPUT_MAX = 4 << Z_BITS
VECTOR = 64  # columns are padded to a whole number of these


def padded(weight: np.ndarray) -> np.ndarray:
    """Weights int16 (rows, columns) with zero columns up to a multiple of VECTOR."""
    columns = -(-weight.shape[1] // VECTOR) * VECTOR
    out = np.zeros((weight.shape[0], columns), dtype=np.int16)
    out[:, : weight.shape[1]] = weight
    return out


@generic
def infer(network, inputs, outputs):
    """From inputs int16 (lanes, inputs) to outputs int64 (lanes, 2): octaves and shares, in 1/65536 and within 4."""


class Given(NamedTuple):
    """A network whose outputs are written by someone else before they are needed; `nothing` (1,) is not used."""

    nothing: np.ndarray


@infer.register(Given)
def _infer_given(network, inputs, outputs):
    pass


@inlined
def dot(row, column):
    """Sum of products of int16 vectors, int32."""
    total = np.int32(0)
    for i in range(row.shape[0]):
        total = np.int32(total + np.int32(np.int32(row[i]) * np.int32(column[i])))
    return total


@inlined
def output(total):
    """An output from a sum of the head."""
    return min(max(np.int64(total) >> (SUM_BITS - Z_BITS), -OUTPUT_MAX), OUTPUT_MAX)
