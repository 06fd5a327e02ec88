"""The bytes of a block that the refined engine coded: descriptions of levels, numbers, low bits, one stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint
from spikey.codec.payload import NUMBER, Payload
from spikey.codec.refined.numbers import SETTINGS, Settings, read_numbers
from spikey.codec.refined.state import CENTRE, COLUMNS, CONSTANT, KIND, LEVEL
from spikey.codec.registry import PREDICTORS
from spikey.codec.wide.descriptions import (
    needs_numbers,
    read_descriptions,
    read_low,
    write_descriptions,
)
from spikey.codec.wide.tables import Description

SEVERAL = 128  # bit of a payload's first byte: descriptions that are calibrated contain which converter they have


@dataclass
class Parsed:
    """A payload taken apart.

    descriptions: levels and converters. settings: of the predictions. order: the channels in coding order; rows int64
    (channels, COLUMNS): what each of them is. lows: of each of them packed low bits, or floats that have no levels.
    stream: the samples' codes.
    """

    descriptions: list[Description]
    settings: Settings
    order: np.ndarray
    rows: np.ndarray
    lows: list[bytes | np.ndarray]
    stream: bytes


def write(descriptions: list[Description], numbers: np.ndarray, lows: bytes, stream: bytes) -> bytes:
    """A payload."""
    several = needs_numbers(descriptions)
    front = [bytes([PREDICTORS["refined"].number | SEVERAL * several]), *write_descriptions(descriptions, several)]
    return b"".join([*front, varint(len(numbers)), numbers.tobytes(), lows, stream])


def parse(payload: Payload) -> Parsed:
    """Take a payload apart; DataError for what no encoder writes."""
    what = payload.what
    unknown = DataError(f"{what}: describes a channel in a way that this version does not support")
    if len(payload.data) > payload.frames * payload.count * payload.dtype.itemsize:
        raise DataError(f"{what}: has a payload of {len(payload.data)} bytes, which is more than its samples have")
    cursor = Cursor(payload.data, what)
    flags = cursor.byte()
    if flags & ~(SEVERAL | NUMBER):
        raise DataError(f"{what}: is coded by a method that this version does not support")
    descriptions = read_descriptions(cursor, payload, bool(flags & SEVERAL))
    data = np.frombuffer(cursor.take(cursor.varint(len(payload.data))), np.uint8)
    chosen, order = np.zeros(SETTINGS, np.int64), np.zeros(payload.count, np.int64)
    rows = np.zeros((payload.count, COLUMNS), np.int64)
    if not read_numbers(data, len(descriptions), chosen, order, rows):
        raise unknown
    settings = Settings(*chosen.tolist())
    if not settings.possible():
        raise unknown
    packed = np.array([levels is None for levels, _ in descriptions])[rows[:, LEVEL]]
    if (rows[packed, KIND] != CONSTANT).any():
        raise unknown
    if (rows[:, CENTRE] >= alphabets(descriptions)[rows[:, LEVEL]]).any():
        raise DataError(f"{what}: has a channel with an invalid centre code")
    lows = [read_low(cursor, descriptions[row[LEVEL]][0], payload.frames, payload.dtype) for row in rows]
    return Parsed(descriptions, settings, order, rows, lows, cursor.rest())


def alphabets(descriptions: list[Description]) -> np.ndarray:
    """The number of codes of each description, int64."""
    return np.array([1 if levels is None else levels.alphabet for levels, _ in descriptions], np.int64)
