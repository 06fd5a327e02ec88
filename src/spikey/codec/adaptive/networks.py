"""Trained networks: channels coded side by side with one model, each with its own state and its own stream.

A few channels run in the compiled loop. From `MANY` on, a large network is evaluated for all of them at once by
single-precision matrix products. Every sum is a whole number below 2^24, so these are exact and the bytes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spikey.base.jit import kernel
from spikey.codec.adaptive.blocks import decode_with, encode_with
from spikey.codec.adaptive.blocks import facts as facts
from spikey.codec.adaptive.loop import OPENING, run_rows, run_step
from spikey.codec.adaptive.plan import Plan
from spikey.codec.adaptive.syntax import Parsed
from spikey.codec.method import MOST_TOGETHER, SAMPLES_TOGETHER, Method
from spikey.codec.payload import EncodedBlock, Lookup, Payload
from spikey.codec.survey import Block
from spikey.coding.range_coder import finish, range_decoder, range_encoder
from spikey.model.calibration import Calibration
from spikey.model.density import density_of
from spikey.model.learned import Learned, given, learned_predictor, network_of
from spikey.model.lpc import SEGMENT, prepare, refit
from spikey.model.lstm import LstmTogether
from spikey.model.trained import Model

MANY = 8
ROOM = 64  # bytes that a stream may take beyond its codes
Place = tuple[int, int]  # a block and a channel in it


def encode(blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]) -> list[EncodedBlock | None]:
    """The blocks coded with one method; None where that is not possible or not smaller."""
    return encode_with(_code, blocks, method, beside)


def decode(payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
    """The samples of payloads."""
    return decode_with(_fill, payloads, lookup)


def _code(plans: Sequence[Plan]) -> list[list[bytes]]:
    """The streams of plans of one model, one a channel; none where a channel's would be larger than its codes."""
    if not plans:
        return []
    streams = [[b""] * len(plan.channels) for plan in plans]
    for places, calibration in _alike(plans):
        codes = [plans[block].codes[index] for block, index in places]
        capacity = max(each.nbytes for each in codes) + ROOM
        encoder = range_encoder(len(places), capacity)
        _run(encoder, plans, places, calibration)
        for (block, index), stream, length in zip(places, finish(encoder), encoder.at, strict=True):
            if length > capacity:
                streams[block] = []
            elif streams[block]:
                streams[block][index] = stream
    return streams


def _fill(blocks: Sequence[Parsed]) -> None:
    """Fill in the codes of blocks of one model."""
    for places, calibration in _alike(blocks):
        decoder = range_decoder([blocks[at].streams[index] for at, index in places])
        _run(decoder, blocks, places, calibration)


def _alike(blocks: Sequence[Plan]) -> Iterator[tuple[list[Place], Calibration | None]]:
    """The channels that can run together, and the calibration they use, if any."""
    calibration = next((block.calibration for block in blocks if block.calibration is not None), None)
    groups: dict[tuple[int, bool], list[Place]] = {}
    for at, block in enumerate(blocks):
        for index, channel in enumerate(block.channels):
            if channel.levels.alphabet > 1 and block.codes.shape[1]:
                groups.setdefault((channel.levels.alphabet, channel.calibrated), []).append((at, index))
    for (_, calibrated), places in groups.items():
        longest = max(blocks[at].codes.shape[1] for at, _ in places)
        together = max(min(MOST_TOGETHER, SAMPLES_TOGETHER // longest), 1)
        for first in range(0, len(places), together):
            yield places[first : first + together], calibration if calibrated else None


def _run(coder: Any, blocks: Sequence[Plan], places: list[Place], calibration: Calibration | None) -> None:
    """Run channels of one alphabet side by side."""
    model = blocks[0].method.model
    assert model is not None
    codes = [blocks[at].codes[index] for at, index in places]
    channels = [blocks[at].channels[index] for at, index in places]
    alphabet, prior = channels[0].levels.alphabet, None if calibration is None else calibration.prior
    initials = [channel.initial for channel in channels]
    run_together(coder, model, density_of(alphabet, calibration), alphabet, codes, initials, prior)


def run_together(
    coder: Any,
    model: Model,
    density: Any,
    alphabet: int,
    channels: list[np.ndarray],
    initials: list[int],
    prior: np.ndarray | None,
) -> None:
    """Code channels int32 (frames,) of one alphabet, a lane of `coder` each; lengths may differ."""
    lengths = np.array([len(channel) for channel in channels], dtype=np.int64)
    codes = np.zeros((len(channels), int(lengths.max(initial=0))), dtype=np.int32)
    for row, channel in zip(codes, channels, strict=True):
        row[: len(channel)] = channel
    steps = codes.shape[1]
    if model.architecture.type == "lstm" and len(channels) >= MANY:
        state = learned_predictor(model.architecture, given(), steps, alphabet, initials, prior=prior)
        _run_stepwise(coder, state, LstmTogether(model, len(channels)), density, codes, lengths)
    else:
        network = network_of(model, len(channels))
        state = learned_predictor(model.architecture, network, steps, alphabet, initials, prior=prior)
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
            prepare_step(state, t)
            if t > 0:
                network.infer(state.inputs, state.outputs)
            run_step(coder, state, density, state, codes, lengths, t)
        refit_segment(state, start, end, length == SEGMENT)
        start = end
        length = min(length * 2, SEGMENT)


@kernel
def prepare_step(predictor, t):
    """`prepare` for Python."""
    prepare(predictor, t)


@kernel
def refit_segment(predictor, first, end, full):
    """`refit` for Python."""
    refit(predictor, first, end, full)
