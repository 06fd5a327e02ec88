"""What the adaptive engines share: blocks to payloads and payloads to samples, around the streams that they code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from spikey.base.errors import DataError
from spikey.codec.adaptive.plan import Plan, plan
from spikey.codec.adaptive.syntax import Parsed, channels_in, companions_in, parse, write
from spikey.codec.method import Method
from spikey.codec.payload import EncodedBlock, Facts, Lookup, Payload, predictor_in
from spikey.codec.registry import PREDICTORS
from spikey.codec.survey import Block

Code = Callable[[Sequence[Plan]], list[list[bytes]]]  # the streams of each plan; none where they would be too large
Fill = Callable[[Sequence[Parsed]], None]  # fills in the codes of blocks


def encode_with(
    code: Code, blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]
) -> list[EncodedBlock | None]:
    """The blocks coded with one method; None where that is not possible or not smaller than the samples."""
    out: list[EncodedBlock | None] = [None] * len(blocks)
    plans: list[tuple[int, Plan]] = []
    for place, (block, other) in enumerate(zip(blocks, beside, strict=True)):
        beside_it = None if other is None else other.survey
        made = None if block.survey is None else plan(block.survey, method, beside_it)
        if made is not None:
            plans.append((place, made))
    trained = PREDICTORS[method.predictor].trained
    for (place, made), streams in zip(plans, code([made for _, made in plans]), strict=True):
        payload = write(made, streams) if streams else b""
        if streams and len(payload) < made.size:
            out[place] = EncodedBlock(payload, made.calibrated, trained, made.companions)
    return out


def decode_with(fill: Fill, payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
    """The samples (frames, channels) of payloads of one predictor, model and calibration."""
    blocks = [parse(payload, lookup) for payload in payloads]
    for block, payload in zip(blocks, payloads, strict=True):
        if block.companions:
            _take_companions(block, payload)
    fill(blocks)
    return [_samples(block, payload) for block, payload in zip(blocks, payloads, strict=True)]


def facts(payload: Payload, lookup: Lookup) -> Facts:
    """The facts about a payload; DataError where its channels are not described as an encoder does."""
    known = companions_in(payload.data)  # channels of other recordings, which come first
    channels = channels_in(payload.data, payload.count, payload.what)[known:]
    method: dict[str, object] = {
        "predictor": predictor_in(payload.data),
        "coder": "arithmetic",
        "delta_encoding": bool(payload.data[0] >> 6 & 1),
        "lanes": payload.data[1],
    }
    references = [[other - known for other in channel.references if other >= known] for channel in channels]
    return Facts(method, [channel.levels.words() for channel in channels], references)


def _take_companions(block: Parsed, payload: Payload) -> None:
    """Fill in the codes of the other recordings."""
    if payload.companions is None:
        raise DataError(f"{payload.what}: was coded with other recordings, which are not available")
    samples = payload.companions()
    wrong = DataError(f"{payload.what}: was coded with other recordings than the given ones")
    if samples.shape != (payload.frames, block.companions) or samples.dtype.kind not in "iu":
        raise wrong
    for index, channel in enumerate(block.channels[: block.companions]):
        values, levels = np.ascontiguousarray(samples[:, index]), channel.levels
        if not levels.holds(values):
            raise wrong
        block.codes[index] = levels.to_codes(values)[0] % levels.alphabet
        if (levels.to_values(block.codes[index], None, np.dtype(np.int64)) != values).any():
            raise wrong


def _samples(block: Parsed, payload: Payload) -> np.ndarray:
    """The decoded block (frames, channels)."""
    frames, count = payload.frames, payload.count
    samples = np.zeros((frames, count), dtype=payload.dtype)
    lows = block.lows[-count:]
    for index, channel in enumerate(block.channels[block.companions :]):
        bits = channel.levels.low_bits
        low = _low(lows[index], frames, bits) if bits else None
        samples[:, index] = channel.levels.to_values(block.codes[block.companions + index], low, payload.dtype)
    return samples


def _low(packed: bytes, frames: int, bits: int) -> np.ndarray:
    from spikey.codec.low_bits import unpack_bits

    return unpack_bits(packed, frames, bits)
