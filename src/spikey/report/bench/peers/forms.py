"""Samples as dense codes or as one-byte differences, with all that it takes to have the samples back.

A general codec does far better on these: the recordings of many devices use few of the values that their type allows.
"""

from __future__ import annotations

import numpy as np

from spikey.base.wire import Cursor
from spikey.levels.contract import Levels
from spikey.levels.registry import find_levels, read_integer_levels
from spikey.recording.layout import pack, unpack
from spikey.report.bench.peers.contract import DoesNotApply, Shape
from spikey.report.bench.recordings import Loaded

ESCAPE = 255  # of a one-byte difference: the next value of a list of wide ones


def to_codes(recording: Loaded) -> tuple[bytes, list[np.ndarray]]:
    """The maps of all channels as bytes, and each channel's codes (frames,): int16 where they fit, else int32.

    Raises DoesNotApply where a channel uses more than 2^20 values.
    """
    head, channels = [], []
    for channel in np.ascontiguousarray(recording.samples.T):
        levels = find_levels(channel)
        if levels.low_bits:
            raise DoesNotApply("only for channels of at most 2^20 different values")
        codes = levels.to_codes(channel)[0]
        head.append(bytes([levels.number]) + levels.write())
        channels.append(codes.astype(np.int16) if levels.alphabet <= 1 << 15 else codes)
    return b"".join(head), channels


def read_maps(data: bytes, shape: Shape) -> tuple[list[Levels], bytes]:
    """The maps at the beginning of `data`, and what follows them."""
    cursor = Cursor(data, "maps of codes")
    maps = []
    for _ in range(shape.layout.channels):
        maps.append(read_integer_levels(cursor.byte(), cursor))
    return maps, cursor.rest()


def type_of(levels: Levels) -> np.dtype:
    """The type in which `to_codes` gives a channel's codes."""
    return np.dtype(np.int16 if levels.alphabet <= 1 << 15 else np.int32)


def from_codes(maps: list[Levels], channels: list[np.ndarray], shape: Shape) -> bytes:
    """The bytes of the samples."""
    kind = shape.layout.memory_dtype
    values = [levels.to_values(codes, None, kind) for levels, codes in zip(maps, channels, strict=True)]
    return pack(np.stack(values, axis=1), shape.layout)


def to_centred(recording: Loaded) -> tuple[bytes, np.ndarray]:
    """The maps, and codes (frames, channels) around zero, where audio coders expect a signal to be."""
    head, channels = to_codes(recording)
    maps, _ = read_maps(head, Shape(recording.layout, recording.frames))
    return head, np.stack(
        [codes - _middle(levels, codes) for codes, levels in zip(channels, maps, strict=True)], axis=1
    )


def from_centred(maps: list[Levels], array: np.ndarray, shape: Shape) -> bytes:
    """The bytes of the samples, of what `to_centred` gave."""
    codes = [column + _middle(levels, array) for column, levels in zip(array.T, maps, strict=True)]
    return from_codes(maps, codes, shape)


def _middle(levels: Levels, codes: np.ndarray) -> np.generic:
    return codes.dtype.type(levels.alphabet // 2)


def to_delta8(recording: Loaded) -> bytes:
    """Maps, then of every channel the differences of its codes, zig-zag, one byte each; wide ones follow behind."""
    head, channels = to_codes(recording)
    parts = [head]
    for codes in channels:
        steps: np.ndarray = np.diff(codes.astype(np.int32), prepend=np.int32(0))
        folded = ((steps << 1) ^ (steps >> 31)).view(np.uint32)
        parts.append(np.minimum(folded, ESCAPE).astype(np.uint8).tobytes())
        parts.append(folded[folded >= ESCAPE].astype("<u4").tobytes())
    return b"".join(parts)


def from_delta8(data: bytes, shape: Shape) -> bytes:
    """The bytes of the samples."""
    maps, rest = read_maps(data, shape)
    channels, at = [], 0
    for _ in maps:
        folded = np.frombuffer(rest, np.uint8, shape.frames, at).astype(np.uint32)
        at += shape.frames
        escaped = np.flatnonzero(folded == ESCAPE)
        folded[escaped] = np.frombuffer(rest, "<u4", len(escaped), at)
        at += 4 * len(escaped)
        steps = (folded >> 1).view(np.int32) ^ -(folded & 1).view(np.int32)
        channels.append(np.cumsum(steps, dtype=np.int32))
    return from_codes(maps, channels, shape)


def interleaved(data: bytes, shape: Shape) -> np.ndarray:
    """Samples (frames, channels) of their bytes."""
    return unpack(data, shape.layout)


def joined(parts: list[bytes]) -> bytes:
    """Several strings of bytes as one that `parted` takes apart."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def parted(data: bytes) -> list[bytes]:
    """What `joined` was given."""
    at, parts = 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return parts
