"""Descriptions of levels as bytes: what the channels of a block that the engines wide and refined code consist of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint
from spikey.codec.low_bits import unpack_bits
from spikey.codec.payload import Payload
from spikey.codec.wide.tables import Description
from spikey.levels.advancing import Advancing
from spikey.levels.contract import Levels
from spikey.levels.registry import read_levels
from spikey.levels.scaled import MOST_PATCHED, PATCH_BYTES, Scaled
from spikey.model.calibration import MOST_CONVERTERS

CALIBRATED = 8  # bit of a description's first byte, above the number of its level map
PACKED = 15  # the first byte of a description of channels that have no levels
REPEATED = 4  # bits below those that count the bytes which the levels begin with as those before do
MOST_REPEATED = 15
FRAMES_A_RUN, FEW_RUNS = 128, 18  # of a line of levels: an encoder writes no more, so that many channels can share one


def pack_channel(values: np.ndarray) -> bytes:
    """Floats (frames,) that have no levels, with their size in front."""
    from spikey.coding.packed_bytes import pack_bytes

    packed = pack_bytes(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(), values.dtype.itemsize)
    return varint(len(packed)) + packed


def read_low(cursor: Cursor, levels: Levels | None, frames: int, dtype: np.dtype) -> bytes | np.ndarray:
    """What of a channel is stored apart from its codes: packed low bits, or, without levels, its floats."""
    if levels is None:
        return _read_channel(cursor, frames, dtype)
    return cursor.take((frames * levels.low_bits + 7) // 8)


def _read_channel(cursor: Cursor, frames: int, dtype: np.dtype) -> np.ndarray:
    """What `pack_channel` wrote."""
    from spikey.coding.packed_bytes import unpack_bytes

    packed = cursor.take(cursor.varint(len(cursor.data)))
    data = unpack_bytes(packed, frames * dtype.itemsize, cursor.what)
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)


def restored(
    levels: Levels | None, codes: np.ndarray, low: bytes | np.ndarray, dtype: np.dtype, what: str
) -> np.ndarray:
    """A channel's samples (frames,) from codes within its alphabet and what `read_low` read.

    Raises DataError for codes that it cannot have.
    """
    if levels is None or isinstance(low, np.ndarray):
        return np.asarray(low)
    bits = unpack_bits(low, len(codes), levels.low_bits) if levels.low_bits else None
    try:
        return levels.to_values(codes, bits, dtype)
    except DataError as error:
        raise DataError(f"{what}: {error}") from None


def needs_numbers(descriptions: Sequence[Description]) -> bool:
    """Whether descriptions that are calibrated contain which converter they have."""
    return any(converter > 1 for _, converter in descriptions)


def write_descriptions(descriptions: Sequence[Description], several: bool) -> list[bytes]:
    """How many descriptions there are, and the descriptions."""
    out, before = [varint(len(descriptions) - 1)], b""
    for levels, converter in descriptions:
        if levels is None:
            out.append(bytes([PACKED]))
            continue
        fields = levels.write()
        repeated = _repeated(fields, before)
        out.append(bytes([levels.number | CALIBRATED * bool(converter) | repeated << REPEATED]))
        if converter and several:
            out.append(varint(converter - 1))
        out.append(fields[repeated:])
        before = fields
    return out


def read_descriptions(cursor: Cursor, payload: Payload, several: bool) -> list[Description]:
    """What `write_descriptions` wrote; DataError for what no encoder writes."""
    descriptions: list[Description] = []
    before = b""
    for _ in range(cursor.varint(payload.count - 1) + 1):
        flags = cursor.byte()
        if flags == PACKED and payload.dtype.kind == "f":
            descriptions.append((None, 0))
            continue
        calibrated = bool(flags & CALIBRATED)
        converter = cursor.varint(MOST_CONVERTERS - 1) + 1 if calibrated and several else int(calibrated)
        fields = _Fields(before, flags >> REPEATED, cursor)
        levels = read_levels(flags & 7, fields)
        if isinstance(levels, Scaled) and payload.dtype.kind != "f":
            raise DataError(f"{cursor.what}: describes a channel of samples of another type")
        _check_work(levels, payload)
        descriptions.append((levels, converter))
        before = fields.all()
    return descriptions


def _repeated(fields: bytes, before: bytes) -> int:
    """How many bytes levels begin with that those before them begin with, as far as that can be written."""
    same = [one == other for one, other in zip(fields[:MOST_REPEATED], before, strict=False)]
    return [*same, False].index(False)


class _Fields(Cursor):
    """Reads levels of which the first bytes are those of the levels before."""

    def __init__(self, before: bytes, repeated: int, cursor: Cursor):
        super().__init__(before[:repeated], cursor.what)
        self._cursor, self._start = cursor, cursor.at
        if repeated > len(before):
            raise DataError(f"{cursor.what}: repeats more of a description than there is")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        repeated = super().take(min(count, len(self.data) - self.at))
        return repeated + self._cursor.take(count - len(repeated))

    def all(self) -> bytes:
        """The bytes of the levels, once these have been read."""
        if self.at < len(self.data):
            raise DataError(f"{self.what}: repeats more of a description than it needs")
        return bytes(self.data) + bytes(self._cursor.data[self._start : self._cursor.at])


def _check_work(levels: Levels, payload: Payload) -> None:
    """DataError for levels that take more time for each channel than an encoder's, as many channels can share them."""
    size = payload.frames * payload.dtype.itemsize
    patches = len(levels.patches) if isinstance(levels, Scaled) else 0
    inner = levels.inner if isinstance(levels, Scaled) else levels
    runs = len(inner.line.runs) if isinstance(inner, Advancing) else 0
    if patches * PATCH_BYTES * MOST_PATCHED > size or runs > max(payload.frames // FRAMES_A_RUN, FEW_RUNS):
        raise DataError(f"{payload.what}: describes a channel of more exceptions than its samples can have")
