"""The bytes of an interpolated block: pattern, filter, channels, and up to three payloads of the predictor wide."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.codec.interpolated.detect import Found
from spikey.codec.interpolated.edges import edges_of, read_numbers
from spikey.codec.interpolated.filters import MOST_BITS, MOST_SIDE, Filter, most_weight
from spikey.codec.interpolated.integers import difference_type, read_scale, suitable, write_scale
from spikey.codec.interpolated.kernels import EVEN
from spikey.codec.interpolated.pattern import Pattern
from spikey.codec.payload import NUMBER, Payload
from spikey.codec.registry import PREDICTORS
from spikey.levels.scaled import Scale

SYMMETRIC, APART, LISTED = 4, 8, 16  # bits above those of the rule
MOST_FACTOR = 4
CHECKSUM_BYTES = 4
FRAMES_A_RUN = 4  # at least, on average


@dataclass(frozen=True)
class Parts:
    """A payload taken apart. scale: of floats.

    contexts: of frames between that are near the ends of runs, -1 of others; None where they are not apart. numbers:
    the filter's errors for them, int32 (channels, frames). channels, others: those that are interpolated, and those
    that are not, int64. sampled, between, rest: payloads of the predictor wide: of the sampled frames of `channels`, of
    their filter's errors for the other ones, None where `numbers` have all, and of `others`, None where there are
    none. right: by name, whether each of these is as its checksum has it.
    """

    pattern: Pattern
    scale: Scale | None
    filter: Filter
    offset: int
    step: int
    contexts: np.ndarray | None
    numbers: np.ndarray | None
    channels: np.ndarray
    others: np.ndarray
    sampled: Payload
    between: Payload | None
    rest: Payload | None
    right: dict[str, bool]


def write(
    found: Found, scale: Scale | None, numbers: bytes | None, listed: bool, others: np.ndarray, payloads: list[bytes]
) -> bytes:
    """A payload. numbers: what `write_numbers` gave, None where it was not used."""
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
        bytes([filtered.rule | SYMMETRIC * symmetric | APART * (numbers is not None) | LISTED * listed]),
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
    if numbers is not None:
        out += [varint(len(numbers)), numbers]
    out += [varint(len(payload)) for payload in payloads[:-1]]
    out += [_checksum(payload) for payload in payloads]
    front = b"".join(out)
    return b"".join([front, _checksum(front), *payloads])


def _checksum(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little")


def parse(payload: Payload) -> Parts:
    """Take a payload apart; DataError for what no encoder writes, but for damage within the payloads in it."""
    what, dtype = payload.what, payload.dtype
    unknown = DataError(f"{what}: is interpolated in a way that this version does not support")
    if len(payload.data) > payload.frames * payload.count * dtype.itemsize:
        raise DataError(f"{what}: has a payload of {len(payload.data)} bytes, which is more than its samples have")
    cursor = Cursor(payload.data, what)
    if cursor.byte() >> 4 or not suitable(dtype):
        raise unknown
    scale = read_scale(cursor) if dtype.kind == "f" else None
    pattern = _read_pattern(cursor, payload.frames)
    found, offset, step, flags = _read_filter(cursor, pattern.factor, dtype)
    apart, listed = bool(flags & APART), bool(flags & LISTED)
    others, expected = [], 0
    for _ in range(cursor.varint(payload.count - 1)):
        others.append(expected + cursor.varint(payload.count))
        expected = others[-1] + 1
    if expected > payload.count:
        raise DataError(f"{what}: has channels beyond its last one")
    left = np.array(others, np.int64)
    channels = np.setdiff1d(np.arange(payload.count), left)
    coded = cursor.take(cursor.varint(len(payload.data))) if apart else b""
    sizes = [cursor.varint(len(payload.data)) for _ in range((not listed) + bool(others))]
    checksums = [cursor.take(CHECKSUM_BYTES) for _ in range(len(sizes) + 1)]
    front = cursor.data[: cursor.at]
    if cursor.take(CHECKSUM_BYTES) != _checksum(front):
        raise DataError(f"{what}: is damaged, its checksum does not match")
    inner = [cursor.take(size) for size in sizes] + [cursor.rest()]
    contexts = numbers = None
    between = len(pattern.others)
    if apart:
        contexts = edges_of(pattern, found.side)
        between -= int((contexts >= 0).sum())
        numbers = read_numbers(coded, len(channels), contexts, listed, what)
    shapes = {"sampled frames": (len(pattern.sampled), len(channels), dtype)}
    if not listed:
        shapes["frames between"] = (between, len(channels), difference_type(dtype))
    if others:
        shapes["other channels"] = (payload.frames, len(left), dtype)
    kinds, right = dict[str, Payload](), dict[str, bool]()
    for (name, shape), data, checksum in zip(shapes.items(), inner, checksums, strict=True):
        if not shape[0] or not data or data[0] & NUMBER != PREDICTORS["wide"].number:
            raise unknown
        kinds[name] = Payload(data, *shape, f"{what}, {name}")
        right[name] = _checksum(data) == checksum
    return Parts(
        pattern, scale, found, offset, step, contexts, numbers, channels, left, kinds["sampled frames"],
        kinds.get("frames between"), kinds.get("other channels"), right,
    )  # fmt: skip


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


def _read_filter(cursor: Cursor, factor: int, dtype: np.dtype) -> tuple[Filter, int, int, int]:
    """A filter, offset and step of the samples that it is for, and the flags of how its errors are stored."""
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
    if (
        flags >= 2 * LISTED
        or flags & (APART | LISTED) == LISTED
        or rule > EVEN
        or np.abs(taps).sum(axis=1).max() > most_weight(dtype)
    ):
        raise DataError(f"{cursor.what}: is interpolated in a way that this version does not support")
    if abs(bias) > 1 << 60 or max(abs(low), abs(high), abs(offset), step) > 2 * most:
        raise DataError(f"{cursor.what}: has a filter of numbers that its samples cannot have")
    return Filter(taps.astype(np.int64), bits, bias, rule, low, high), offset, step, flags
