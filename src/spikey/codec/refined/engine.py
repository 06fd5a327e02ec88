"""The refined engine: blocks to payloads and back, all channels of a block one after another, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spikey.base.workers import each
from spikey.codec.method import Method
from spikey.codec.payload import EncodedBlock, Facts, Lookup, Payload
from spikey.codec.refined import state
from spikey.codec.refined.loop import code_channels
from spikey.codec.refined.numbers import Settings, write_numbers
from spikey.codec.refined.payload import alphabets, parse, write
from spikey.codec.refined.plan import order_of
from spikey.codec.refined.state import CENTRE, COLUMNS, CONSTANT, KIND, LEVEL, MOVING, NEAR, PAST, REF0
from spikey.codec.survey import Block
from spikey.codec.wide.describe import Described, describe
from spikey.codec.wide.descriptions import restored
from spikey.codec.wide.tables import Tables, tables_for, tables_in
from spikey.coding.range_coder import finish, range_decoder, range_encoder

ROOM = 64  # bytes that a stream may take beyond its samples
SMALL = 4  # references up to which a method is for speed
SETTINGS = Settings(own=4, reach=3, trust=8, window=15, share=2)
QUICK = Settings(own=2, reach=2, trust=8, window=15, share=2)


def encode(blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]) -> list[EncodedBlock | None]:
    """Blocks coded by this engine; None where that is not possible or not smaller than the samples."""
    coded: list[EncodedBlock | None] = [None] * len(blocks)

    def put(place: int) -> None:
        coded[place] = _encode(blocks[place], method)

    each(put, range(len(blocks)))
    return coded


def _encode(block: Block, method: Method) -> EncodedBlock | None:
    described = describe(block)
    if described is None:
        return None
    settings = QUICK if method.references <= SMALL else SETTINGS
    table = tables_for(described.descriptions, block.calibration, "the block")
    order, near = order_of(described.codes, ~described.constant, method.references)
    codes = codes_of(described, order)
    rows = _rows(described, order, near, codes)
    capacity = block.samples.nbytes
    coder = range_encoder(1, capacity)
    _run(coder, rows, table, alphabets(described.descriptions), codes, settings)
    if int(coder.at[0]) > capacity:
        return None
    numbers = np.zeros(256 + 64 * len(order), np.uint8)
    numbers = numbers[: write_numbers(np.array(settings, np.int64), order, rows, numbers)]
    lows = b"".join(described.lows.get(int(channel), b"") for channel in order)
    payload = write(described.descriptions, numbers, lows, finish(coder)[0])
    return EncodedBlock(payload, calibrated=table is not None) if len(payload) < capacity else None


def codes_of(described: Described, order: np.ndarray) -> np.ndarray:
    """The codes int32 (channels, frames) of channels in coding order."""
    codes = np.empty((len(order), len(described.codes)), np.int32)
    for place, channel in enumerate(order):
        column = described.codes[:, channel].astype(np.int64) - described.offsets[channel]
        codes[place] = column // described.steps[channel]
    return codes


def _rows(described: Described, order: np.ndarray, near: list[np.ndarray], codes: np.ndarray) -> np.ndarray:
    """What each channel is, in coding order; its references are nearest in number first."""
    rows = np.zeros((len(order), COLUMNS), np.int64)
    place_of = np.empty(len(order), np.int64)
    place_of[order] = np.arange(len(order))
    for row, channel, others, own in zip(rows, order, near, codes, strict=True):
        row[LEVEL] = described.levels[channel]
        if described.constant[channel]:
            row[KIND], row[CENTRE] = CONSTANT, own[0] if len(own) else 0
            continue
        row[KIND], row[CENTRE] = MOVING, int(np.floor(own.mean() + 0.5))
        nearest = np.lexsort((others > channel, np.abs(others - channel)))
        row[NEAR], row[REF0 : REF0 + len(others)] = len(others), place_of[others[nearest]]
    return rows


def _run(
    coder: Any, rows: np.ndarray, table: Tables | None, sizes: np.ndarray, codes: np.ndarray, settings: Settings
) -> None:
    """Code all channels; the codes are read or written as the coder asks."""
    count, frames = codes.shape
    positions = np.zeros((count, frames + 2 * PAST), np.float32)
    errors = np.zeros((count, frames + 2 * PAST), np.float32)
    activity = np.zeros((count, frames + 2), np.uint8)
    if frames:
        code_channels(
            coder, state.constants(), state.learned(), state.work(), rows, table, sizes, codes, positions, errors,
            activity, settings.values(),
        )  # fmt: skip


def decode(payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
    """The samples (frames, channels) of payloads."""
    samples = [np.empty((payload.frames, payload.count), payload.dtype) for payload in payloads]

    def put(place: int) -> None:
        _decode(payloads[place], lookup, samples[place])

    each(put, range(len(payloads)))
    return samples


def _decode(payload: Payload, lookup: Lookup, samples: np.ndarray) -> None:
    parsed = parse(payload)
    codes = np.empty((payload.count, payload.frames), np.int32)
    codes[:] = parsed.rows[:, CENTRE, None]
    sizes = alphabets(parsed.descriptions)
    _run(
        range_decoder([parsed.stream]),
        parsed.rows,
        tables_in(parsed.descriptions, lookup, payload.what),
        sizes,
        codes,
        parsed.settings,
    )
    for row, channel, own, low in zip(parsed.rows, parsed.order, codes, parsed.lows, strict=True):
        levels, _ = parsed.descriptions[row[LEVEL]]
        samples[:, channel] = restored(levels, own, low, payload.dtype, payload.what)


def facts(payload: Payload, lookup: Lookup) -> Facts:
    """What a payload contains beside samples."""
    parsed = parse(payload)
    levels, references = [""] * payload.count, [[0]] * payload.count
    for row, channel in zip(parsed.rows, parsed.order.tolist(), strict=True):
        one, _ = parsed.descriptions[row[LEVEL]]
        levels[channel] = "floats, packed" if one is None else one.words()
        references[channel] = parsed.order[row[REF0 : REF0 + row[NEAR]]].tolist()
    method: dict[str, object] = {
        "predictor": "refined",
        "coder": "arithmetic",
        "lanes": 1,
        "converters": sorted({converter for _, converter in parsed.descriptions if converter}),
        "order": parsed.settings.values()[0],
        "reach": parsed.settings.reach,
        "constant": sorted(parsed.order[parsed.rows[:, KIND] == CONSTANT].tolist()),
    }
    return Facts(method, levels, references)
