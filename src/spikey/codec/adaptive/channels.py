"""Adaptive predictors: the loop over each channel of a block in turn; the same function encodes and decodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spikey.codec.adaptive.blocks import decode_with, encode_with
from spikey.codec.adaptive.blocks import facts as facts
from spikey.codec.adaptive.loop import run
from spikey.codec.adaptive.plan import Plan
from spikey.codec.adaptive.syntax import Parsed
from spikey.codec.method import Method
from spikey.codec.payload import EncodedBlock, Lookup, Payload
from spikey.codec.registry import PREDICTORS, Start, Started
from spikey.codec.survey import Block, Channel
from spikey.coding.range_coder import finish, range_decoder, range_encoder
from spikey.model.density import density_of
from spikey.model.lpc import SEGMENT

COMPANION_ORDER = 32  # of linear prediction, as in predictor max
ROOM = 64  # bytes that a stream may take beyond its share of the samples


def encode(blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]) -> list[EncodedBlock | None]:
    """The blocks coded with one method; None where that is not possible or not smaller."""
    return encode_with(_code, blocks, method, beside)


def decode(payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
    """The samples of payloads."""
    return decode_with(_fill, payloads, lookup)


def _code(plans: Sequence[Plan]) -> list[list[bytes]]:
    """The streams of each plan, one a lane; none where they would be larger than its samples."""
    return [_encode(plan) for plan in plans]


def _encode(plan: Plan) -> list[bytes]:
    capacity = plan.size // plan.method.lanes + ROOM
    encoder = range_encoder(plan.method.lanes, capacity)
    _run(encoder, plan)
    return finish(encoder) if int(encoder.at.max()) <= capacity else []


def _fill(blocks: Sequence[Parsed]) -> None:
    """Fill in the codes of blocks."""
    for block in blocks:
        _run(range_decoder(block.streams), block)


def _run(coder: Any, plan: Plan) -> None:
    """Run the loop over each channel; the codes are read or written as the coder asks."""
    frames = plan.codes.shape[1]
    referred = {index for channel in plan.channels for index in channel.references}
    residuals: dict[int, np.ndarray] = {}
    for index, channel in enumerate(plan.channels):
        theirs = index < plan.companions
        if theirs and index not in referred:
            continue
        if channel.levels.alphabet == 1 or frames == 0:
            residuals[index] = np.zeros(frames, dtype=np.int32)
            continue
        others = [residuals[j] for j in channel.references] if channel.references or index in referred else None
        started = _started(plan, channel, frames, others, theirs)
        if others is not None:
            residuals[index] = started.residual
        run(
            _observer() if theirs else coder,
            started.predictor,
            started.density,
            started.scale,
            plan.codes[index],
            SEGMENT,
        )


def _started(plan: Plan, channel: Channel, frames: int, others: list[np.ndarray] | None, theirs: bool) -> Started:
    calibration = plan.calibration if channel.calibrated else None
    start = Start(plan.method, channel.levels.alphabet, channel.initial, frames, calibration, others)
    if theirs:
        return _start_companion(start)
    begin = PREDICTORS[plan.method.predictor].start
    assert begin is not None
    return begin(start)


def _observer() -> Any:
    from spikey.coding.observers import replay

    return replay()


def _start_companion(channel: Start) -> Started:
    """Of another recording, whose codes are known, only the errors are wanted."""
    from spikey.model.cross import crossed
    from spikey.model.lpc import lpc
    from spikey.model.scale import deviation, scale

    alphabet, calibration = channel.alphabet, channel.calibration
    prior = None if calibration is None else calibration.prior
    spread = deviation(channel.initial)
    base = lpc(COMPANION_ORDER, 1, channel.frames, alphabet, delta=channel.method.delta, prior=prior, scale=spread)
    predictor = crossed(base, [], channel.frames, 1)
    density = density_of(alphabet, calibration)
    return Started(predictor, density, scale(1, alphabet, channel.initial), predictor.residual)
