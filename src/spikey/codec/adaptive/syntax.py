"""The adaptive engines' payload syntax: method, a description of each channel, low bits, and the coder's streams.

The streams are one a lane, or with a trained network one a channel. Parsing checks all that an encoder guarantees, so
that kernels, which run without bounds checks, get nothing that they cannot take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spikey.base.errors import DataError
from spikey.base.limits import allowed
from spikey.base.wire import Cursor, varint
from spikey.codec.adaptive.plan import Plan, work_of
from spikey.codec.method import MOST_COMPANIONS, MOST_REFERENCES, Method
from spikey.codec.registry import PREDICTORS
from spikey.codec.survey import Channel
from spikey.levels.advancing import Advancing
from spikey.levels.registry import read_levels
from spikey.levels.scaled import Scaled

if TYPE_CHECKING:
    from spikey.codec.payload import Lookup, Payload
    from spikey.model.calibration import Calibration
    from spikey.model.trained import Model

SLACK = 128  # bytes that a stream may be longer than its share of the samples' bytes
CALIBRATED, REFERRING = 8, 16  # bits of a channel's first byte, above the number of its level map
UNUSED = 0b10110000  # bits of a payload's first byte, zero in all that this version writes
LONGEST_CODE = 4  # bytes a sample of a stream of one channel, at most


@dataclass
class Parsed(Plan):
    """A payload taken apart; its codes are zeros until they are decoded."""

    streams: list[bytes] = field(default_factory=list)


def write(plan: Plan, streams: list[bytes]) -> bytes:
    """The payload of a block."""
    sizes = (varint(len(stream)) for stream in streams[:-1])
    return b"".join([_method(plan), *map(_channel, plan.channels), *sizes, *plan.lows, *streams])


def _method(plan: Plan) -> bytes:
    """Two bytes; the second counts the companions where there may be some, and lanes where there may be several."""
    method = plan.method
    record = PREDICTORS[method.predictor]
    first = record.number | method.delta << 6
    return bytes([first, plan.companions if record.companions else method.lanes])


def _channel(channel: Channel) -> bytes:
    flags = channel.levels.number | CALIBRATED * channel.calibrated | REFERRING * bool(channel.references)
    out = bytes([flags]) + channel.levels.write() + bytes([channel.initial])
    if channel.references:
        out += bytes([len(channel.references)]) + b"".join(map(varint, channel.references))
    return out


def _read_channel(cursor: Cursor, index: int) -> Channel:
    flags = cursor.byte()
    if flags >= 32:
        raise DataError(f"{cursor.what}: describes a channel in a way that this version does not support")
    channel = Channel(read_levels(flags & 7, cursor), bool(flags & CALIBRATED), cursor.byte())
    if flags & REFERRING:
        channel.references = [cursor.varint(max(index - 1, 0)) for _ in range(cursor.byte())]
        if not 0 < len(channel.references) <= MOST_REFERENCES or index == 0:
            raise DataError(f"{cursor.what}: a channel has impossible references to others")
    return channel


def _read_method(cursor: Cursor, find_model: Callable[[], Model | None]) -> tuple[Method, int]:
    """The method, and how many channels of other recordings come first."""
    first, second = cursor.byte(), cursor.byte()
    record = PREDICTORS.numbered(first & 15)
    if record is None or first & UNUSED:
        raise DataError(f"{cursor.what}: is coded by a method that this version does not support")
    known, lanes = (second, 1) if record.companions else (0, second)
    if not 1 <= lanes <= record.lanes:
        raise DataError(f"{cursor.what}: is coded by a method that this version does not support")
    if known > MOST_COMPANIONS:
        raise DataError(f"{cursor.what}: is coded with more companions than possible")
    model = find_model() if record.trained else None
    if record.trained and model is None:
        raise DataError(f"{cursor.what}: needs a model, but the file has no model id")
    return Method(record.name, bool(first >> 6 & 1), lanes, model=model), known


def parse(payload: Payload, lookup: Lookup) -> Parsed:
    """Take a payload apart; DataError for what no encoder writes."""
    frames, count, what = payload.frames, payload.count, payload.what
    size = frames * count * payload.dtype.itemsize
    if len(payload.data) > size:
        raise DataError(f"{what}: has a payload of {len(payload.data)} bytes, which is more than its samples have")
    cursor = Cursor(payload.data, what)
    method, known = _read_method(cursor, lookup.model)
    channels = [_read_channel(cursor, index) for index in range(known + count)]
    _check_channels(channels, known, payload.dtype, what)
    lanes, longest = method.lanes, size // method.lanes
    if method.model is not None:
        if method.model.architecture.delta != method.delta or any(c.references for c in channels):
            raise DataError(f"{what}: is coded in a way that does not fit its model")
        lanes, longest = count, LONGEST_CODE * frames
    sizes = [cursor.varint(len(payload.data)) for _ in range(lanes - 1)]
    lows = [cursor.take((frames * c.levels.low_bits + 7) // 8) if c.levels.low_bits else b"" for c in channels]
    streams = [cursor.take(size) for size in sizes] + [cursor.rest()]
    # The coder pads all streams to the longest.
    if max(map(len, streams)) > longest + SLACK:
        raise DataError(f"{what}: has a stream that is longer than its samples can need")
    allowed.check_work(work_of(method, channels[known:], frames), what)
    calibration = _calibration(channels, lookup, what)
    codes = np.zeros((known + count, frames), dtype=np.int32)
    return Parsed(method, calibration, channels, codes, lows, size, known, streams)


def _check_channels(channels: list[Channel], known: int, dtype: np.dtype, what: str) -> None:
    own = [channel.levels for channel in channels[known:] if not isinstance(channel.levels, Advancing)]
    if any(isinstance(levels, Scaled) != (dtype.kind == "f") for levels in own):
        raise DataError(f"{what}: describes a channel of samples of another type")
    others = channels[:known]
    if any(isinstance(c.levels, Scaled) or c.levels.placed or c.levels.low_bits or c.references for c in others):
        raise DataError(f"{what}: describes a channel of another recording in an impossible way")


def _calibration(channels: Iterable[Channel], lookup: Lookup, what: str) -> Calibration | None:
    alphabets = [channel.levels.alphabet for channel in channels if channel.calibrated]
    if not alphabets:
        return None
    calibration = lookup.calibration()
    if calibration is None:
        raise DataError(f"{what}: needs a calibration, but the file has no calibration id")
    wrong = next((alphabet for alphabet in alphabets if alphabet not in (1, calibration.alphabet)), None)
    if wrong is not None:
        raise DataError(f"{what}: a channel of {wrong} codes has a calibration of {calibration.alphabet}")
    return calibration


def companions_in(payload: bytes | memoryview) -> int:
    """How many channels of other recordings a payload is coded with."""
    record = PREDICTORS.numbered(payload[0] & 15) if len(payload) > 1 else None
    return payload[1] if record is not None and record.companions else 0


def channels_in(payload: bytes | memoryview, count: int, what: str = "the block") -> list[Channel]:
    """The descriptions of the channels in a payload of `count` channels, after those of companions."""
    cursor = Cursor(payload, what)
    cursor.take(2)
    return [_read_channel(cursor, index) for index in range(companions_in(payload) + count)]
