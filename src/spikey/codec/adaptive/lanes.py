"""Channels coded side by side with one trained network: each has its own state and its own stream.

A few channels run in the compiled loop. From `MANY` on, a large network is evaluated for all of them at once by
single-precision matrix products. Every sum is a whole number below 2^24, so these are exact and the bytes the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikey.base.jit import kernel
from spikey.codec.adaptive.loop import OPENING, run_rows, run_step
from spikey.model.learned import Learned, given, learned_predictor, network_of
from spikey.model.lpc import SEGMENT, prepare, refit
from spikey.model.lstm import LstmTogether
from spikey.model.trained import Model

MANY = 8


def run_together(
    coder: Any,
    model: Model,
    density: Any,
    size: int,
    channels: list[np.ndarray],
    initials: list[int],
    prior: np.ndarray | None,
) -> None:
    """Code channels int32 (frames,) of one alphabet of `size`, a lane of `coder` each; lengths may differ."""
    lengths = np.array([len(channel) for channel in channels], dtype=np.int64)
    codes = np.zeros((len(channels), int(lengths.max(initial=0))), dtype=np.int32)
    for row, channel in zip(codes, channels, strict=True):
        row[: len(channel)] = channel
    steps = codes.shape[1]
    if model.architecture.type == "lstm" and len(channels) >= MANY:
        state = learned_predictor(model.architecture, given(), steps, size, initials, prior=prior)
        _run_stepwise(coder, state, LstmTogether(model, len(channels)), density, codes, lengths)
    else:
        network = network_of(model, len(channels))
        state = learned_predictor(model.architecture, network, steps, size, initials, prior=prior)
        run_rows(coder, state, density, state, codes, lengths, OPENING, SEGMENT)
    for row, channel in zip(codes, channels, strict=True):
        channel[:] = row[: len(channel)]


def _run_stepwise(
    coder: Any, state: Learned, network: LstmTogether, density: Any, codes: np.ndarray, lengths: np.ndarray
) -> None:
    """`run_rows`, with the network between two halves of every step."""
    start, length = 0, OPENING
    while start < codes.shape[1]:
        end = min(start + length, codes.shape[1])
        for t in range(start, end):
            foresee_step(state, t)
            if t > 0:
                network.infer(state.inputs, state.outputs)
            run_step(coder, state, density, state, codes, lengths, t)
        adapt_segment(state, start, end, length == SEGMENT)
        start = end
        length = min(length * 2, SEGMENT)


@kernel
def foresee_step(predictor, t):
    """`prepare` for Python."""
    prepare(predictor, t)


@kernel
def adapt_segment(predictor, first, end, full):
    """`refit` for Python."""
    refit(predictor, first, end, full)
