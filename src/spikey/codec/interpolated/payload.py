"""The bytes of an interpolated block: pattern, filter, channels, and up to three payloads of the predictor wide."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.codec.interpolated.detect import Found
from spikey.codec.interpolated.edges import edges_of, read_edges
from spikey.codec.interpolated.filters import MOST_BITS, MOST_SIDE, Filter, most_weight
from spikey.codec.interpolated.integers import difference_type, read_scale, suitable, write_scale
from spikey.codec.interpolated.kernels import EVEN
from spikey.codec.interpolated.pattern import Pattern
from spikey.codec.payload import NUMBER, Payload
from spikey.codec.registry import PREDICTORS
from spikey.levels.scaled import Scale

SYMMETRIC, APART = 4, 8  # bits above those of the rule
MOST_FACTOR = 4
CHECKSUM_BYTES = 4
FRAMES_A_RUN = 4  # at least, on average


@dataclass(frozen=True)
class Parts:
    """A payload taken apart. scale: of floats.

    edges: which of the frames between are near the ends of runs, and what the filter leaves of them, int64 (frames,
    channels); None where they are among the others. channels, others: those that are interpolated, and those that are
    not, int64. sampled, between, rest: payloads of the predictor wide: of the sampled frames of `channels`, of what
    their filter leaves of the other ones, and of `others`, None where there are none. right: whether each of these is
    as its checksum has it.
    """

    pattern: Pattern
    scale: Scale | None
    filter: Filter
    offset: int
    step: int
    edges: tuple[np.ndarray, np.ndarray] | None
    channels: np.ndarray
    others: np.ndarray
    sampled: Payload
    between: Payload
    rest: Payload | None
    right: list[bool]


def write(found: Found, scale: Scale | None, edges: bytes | None, others: np.ndarray, payloads: list[bytes]) -> bytes:
    """A payload. edges: what `write_edges` gave, None where it was not used."""
    pattern, filtered = found.pattern, found.filter
    out = [bytes([PREDICTORS["interpolated"].number]), write_scale(scale)]
    out += [varint(pattern.factor - 2), varint(len(pattern.runs) - 1)]
    before = 0
    for place, (first, phase) in enumerate(pattern.runs):
        out.append((varint(first - before - 1) if place else b"") + varint(phase))
        before = first
    symmetric, taps = filtered.symmetric, filtered.taps.ravel()
    out += [
        varint(filtered.side - 1),
        bytes([filtered.rule | SYMMETRIC * symmetric | APART * (edges is not None)]),
        varint(filtered.bits),
    ]
    if filtered.rule != EVEN:
        out.append(varint(zigzag(filtered.bias)))
    out += [varint(zigzag(int(tap))) for tap in (taps[: -(-len(taps) // 2)] if symmetric else taps)]
    out += [varint(zigzag(filtered.low)), varint(filtered.high - filtered.low)]
    out += [varint(zigzag(found.offset)), varint(found.step - 1)]
    out.append(varint(len(others)))
    expected = 0
    for channel in others.tolist():
        out.append(varint(channel - expected))
        expected = channel + 1
    if edges is not None:
        out += [varint(len(edges)), edges]
    out += [varint(len(payload)) for payload in payloads[:-1]]
    out += [_checksum(payload) for payload in payloads]
    front = b"".join(out)
    return b"".join([front, _checksum(front), *payloads])


def _checksum(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little")


def parse(payload: Payload) -> Parts:
    """Take a payload apart; DataError for what no encoder writes, but for damage within the payloads in it."""
    what, dtype = payload.what, payload.dtype
    unknown = DataError(f"{what}: is interpolated in a way that this version does not know")
    if len(payload.data) > payload.frames * payload.count * dtype.itemsize:
        raise DataError(f"{what}: has a payload of {len(payload.data)} bytes, which is more than its samples have")
    cursor = Cursor(payload.data, what)
    if cursor.byte() >> 4 or not suitable(dtype):
        raise unknown
    scale = read_scale(cursor) if dtype.kind == "f" else None
    pattern = _read_pattern(cursor, payload.frames)
    found, offset, step, apart = _read_filter(cursor, pattern.factor, dtype)
    others, expected = [], 0
    for _ in range(cursor.varint(payload.count - 1)):
        others.append(expected + cursor.varint(payload.count))
        expected = others[-1] + 1
    if expected > payload.count:
        raise DataError(f"{what}: has channels beyond its last one")
    left = np.array(others, np.int64)
    channels = np.setdiff1d(np.arange(payload.count), left)
    coded = cursor.take(cursor.varint(len(payload.data))) if apart else b""
    sizes = [cursor.varint(len(payload.data)) for _ in range(2 if others else 1)]
    checksums = [cursor.take(CHECKSUM_BYTES) for _ in range(len(sizes) + 1)]
    front = cursor.data[: cursor.at]
    if cursor.take(CHECKSUM_BYTES) != _checksum(front):
        raise DataError(f"{what}: is damaged, its checksum does not match")
    inner = [cursor.take(size) for size in sizes] + [cursor.rest()]
    edges, left_over = None, len(pattern.others)
    if apart:
        near, contexts = edges_of(pattern, found.side)
        left_over -= len(contexts)
        if not left_over:
            raise unknown
        edges = near, read_edges(coded, len(channels), contexts)
    kinds = [
        Payload(inner[0], len(pattern.sampled), len(channels), dtype, f"{what}, sampled frames"),
        Payload(inner[1], left_over, len(channels), difference_type(dtype), f"{what}, frames between"),
    ]
    if others:
        kinds.append(Payload(inner[2], payload.frames, len(left), dtype, f"{what}, other channels"))
    if any(not one.data or one.data[0] & NUMBER != PREDICTORS["wide"].number for one in kinds):
        raise unknown
    right = [_checksum(one.data) == checksum for one, checksum in zip(kinds, checksums, strict=True)]
    rest = kinds[2] if others else None
    return Parts(pattern, scale, found, offset, step, edges, channels, left, kinds[0], kinds[1], rest, right)


def _read_pattern(cursor: Cursor, frames: int) -> Pattern:
    factor = cursor.varint(MOST_FACTOR - 2) + 2
    runs, first = [], 0
    for place in range(cursor.varint(max(frames // FRAMES_A_RUN - 1, 0)) + 1):
        first += cursor.varint(frames) + 1 if place else 0
        runs.append((first, cursor.varint(factor - 1)))
    if first >= max(frames, 1):
        raise DataError(f"{cursor.what}: has frames beyond its last one")
    pattern = Pattern(frames, factor, tuple(runs))
    if not len(pattern.sampled) or not len(pattern.others):
        raise DataError(f"{cursor.what}: has no frames to interpolate")
    return pattern


def _read_filter(cursor: Cursor, factor: int, dtype: np.dtype) -> tuple[Filter, int, int, bool]:
    """A filter, offset and step of the samples that it is for, and whether frames near ends are apart."""
    side, flags, bits = cursor.varint(MOST_SIDE - 1) + 1, cursor.byte(), cursor.varint(MOST_BITS)
    rule = flags & (SYMMETRIC - 1)
    bias = cursor.signed() if rule != EVEN else 0
    total, symmetric = (factor - 1) * 2 * side, bool(flags & SYMMETRIC)
    some = [cursor.signed() for _ in range(-(-total // 2) if symmetric else total)]
    taps = np.array(some + some[: total // 2][::-1] if symmetric else some, object).reshape(factor - 1, 2 * side)
    low = cursor.signed()
    high = low + cursor.varint()
    offset, step = cursor.signed(), cursor.varint() + 1
    most = 1 << 8 * difference_type(dtype).itemsize
    if flags >= 2 * APART or rule > EVEN or np.abs(taps).sum(axis=1).max() > most_weight(dtype):
        raise DataError(f"{cursor.what}: is interpolated in a way that this version does not know")
    if abs(bias) > 1 << 60 or max(abs(low), abs(high), abs(offset), step) > 2 * most:
        raise DataError(f"{cursor.what}: has a filter of numbers that its samples cannot have")
    return Filter(taps.astype(np.int64), bits, bias, rule, low, high), offset, step, bool(flags & APART)
