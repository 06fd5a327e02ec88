"""Floating-point samples that are scaled integers: the gain and offset that give every sample back, bit for bit.

Most float recordings are a converter's codes times a gain, in microvolts or as parts of full scale. Found again, the
codes are coded like any others. A channel of which one sample does not come back exactly is left to a general method.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikey.errors import DataError
from spikey.recording.levels import Levels, read_levels
from spikey.wire import Cursor

SCALED = 3  # the kind of levels
SINGLE, SHIFTED = 1, 2  # bits of the form
SAMPLED = 1 << 13  # values that a gain is looked for in
LARGEST = 1 << 31  # integers are less than that in magnitude
EVEN = 0.2  # of a step: what a value may be off an even grid while the gain is roughly known
DIVISORS = 8  # of the smallest step seen that may be the real one
PROBES = 64
ROUNDS = 4
CENTRES = sorted(2**k for k in range(7, 24))  # codes at which unsigned converters have their zero


@dataclass(frozen=True)
class Scale:
    """value = gain * integer + offset, computed in float64, or in float32 where `single`, then rounded to the type."""

    gain: float
    offset: float = 0.0
    single: bool = False

    def values(self, integers: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The values (frames,) of integers (frames,).

        >>> Scale(0.195, single=True).values(np.array([-2, 0, 1]), np.dtype("float32")).tolist()
        [-0.38999998569488525, 0.0, 0.19499999284744263]
        """
        kind: Any = np.float32 if self.single else np.float64
        with np.errstate(all="ignore"):
            values = integers.astype(kind) * kind(self.gain)
            if self.offset:
                values += kind(self.offset)
            return values.astype(dtype)

    def nearest(self, values: np.ndarray) -> np.ndarray | None:
        """The integers, float64 (frames,), that give the nearest values; None where they are too large."""
        with np.errstate(all="ignore"):
            found = np.rint((values.astype(np.float64) - self.offset) / self.gain)
            found += 0.0  # no negative zeros: integers have none
            return found if bool((np.abs(found) < LARGEST).all()) else None


@dataclass(frozen=True)
class Scaled:
    """The levels of a floating-point channel: those of its integers, and their scale."""

    scale: Scale
    inner: Levels
    kind = SCALED

    @property
    def codes(self) -> int:
        """Size of the alphabet."""
        return self.inner.codes

    @property
    def low_bits(self) -> int:
        """Bits of each sample that are kept beside its code."""
        return self.inner.low_bits

    def words(self) -> str:
        """The map, for a person."""
        scale = self.scale
        shift = f" {'+' if scale.offset > 0 else '-'} {abs(scale.offset):.9g}" if scale.offset else ""
        return f"{self.inner.words()}, times {scale.gain:.9g}{shift}"

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        """The values (frames,) of codes within the alphabet."""
        return self.scale.values(self.inner.to_values(codes, low, np.dtype(np.int64)), dtype)

    def write(self) -> bytes:
        """As bytes, after the kind."""
        scale = self.scale
        form = SINGLE * scale.single | SHIFTED * bool(scale.offset)
        numbers = struct.pack("<d", scale.gain) + (struct.pack("<d", scale.offset) if scale.offset else b"")
        return bytes([form]) + numbers + bytes([self.inner.kind]) + self.inner.write()


def read_any_levels(kind: int, cursor: Cursor) -> Levels | Scaled:
    """Read what `Levels.write` or `Scaled.write` wrote; DataError when it cannot be."""
    if kind != SCALED:
        return read_levels(kind, cursor)
    form = cursor.byte()
    gain = struct.unpack("<d", cursor.take(8))[0]
    offset = struct.unpack("<d", cursor.take(8))[0] if form & SHIFTED else 0.0
    if form > SINGLE | SHIFTED or not np.isfinite([gain, offset]).all():
        raise DataError(f"{cursor.what}: scales a channel in a way that this version does not know")
    return Scaled(Scale(gain, offset, bool(form & SINGLE)), read_levels(cursor.byte(), cursor))


def find_scale(values: np.ndarray) -> tuple[Scale, np.ndarray] | None:
    """The scale of floating-point values (frames,), frames at least 1, and their integers (frames,); None where one
    value would not come back bit for bit.

    The integers are int16 where they fit, so that their levels can be any that a converter's samples have, else int32.

    >>> scale, integers = find_scale(np.arange(-300, 300).astype(np.float32) * np.float32(0.195))
    >>> round(scale.gain, 6), integers[:3]
    (0.195, array([-300, -299, -298], dtype=int16))
    >>> find_scale(np.random.default_rng(0).normal(size=1000)) is None
    True
    """
    if not np.isfinite(values).all():
        return None
    with np.errstate(all="ignore"):  # what overflows fits nothing
        return _find_scale(values)


def _find_scale(values: np.ndarray) -> tuple[Scale, np.ndarray] | None:
    seen = values[:: max(len(values) // SAMPLED, 1)]
    seen = np.unique(np.concatenate([seen, values[[np.argmin(values), np.argmax(values)]]]))
    for _ in range(ROUNDS):
        for scale in _candidates(seen):
            found = scale.nearest(values)
            if found is None:
                continue
            wrong = values[~_same(scale.values(found, values.dtype), values)]
            if not len(wrong):
                small = found.min() >= -32768 and found.max() <= 32767
                return scale, found.astype(np.int16 if small else np.int32)
            break
        else:
            return None
        # The gain is a little off: what it does not give back narrows it down.
        seen = np.unique(np.concatenate([seen, wrong[:SAMPLED]]))
    return None


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two arrays of floats hold the same bits."""
    kind = np.uint32 if one.dtype.itemsize == 4 else np.uint64
    return np.ascontiguousarray(one).view(kind) == np.ascontiguousarray(other).view(kind)


def _candidates(seen: np.ndarray) -> Iterator[Scale]:
    """Scales that give the distinct values `seen` back, the likeliest first."""
    yield from _even(seen)
    # What is even in no such way may be in binary: uneven codes over a power of two, or differences of such.
    wide = seen.astype(np.float64)
    binary = _binary_step(wide)
    if float(np.abs(wide).max()) < LARGEST * binary:
        yield Scale(-binary if np.signbit(wide[wide == 0]).any() else binary)


def _even(seen: np.ndarray) -> Iterator[Scale]:
    """Scales that give distinct values on an even grid back."""
    wide = seen.astype(np.float64)
    if len(seen) == 1:
        yield Scale(float(wide[0])) if wide[0] else Scale(-1.0 if np.signbit(wide[0]) else 1.0)
        return
    step = _rough_step(np.diff(wide))
    ladder = None if step is None else _ladder(wide, step)
    if ladder is None:
        return
    integers, gain, start = ladder
    largest = np.argsort(-np.abs(wide))[: PROBES // 2]
    probes = np.unique(np.concatenate([seen[largest], seen[:: max(len(seen) // PROBES, 1)]]))

    def fits(scale: Scale) -> bool:
        return all(
            found is not None and bool(_same(scale.values(found, part.dtype), part).all())
            for part in (probes, seen)
            for found in [scale.nearest(part)]
        )

    shift = start / gain
    if abs(shift - np.rint(shift)) < EVEN:
        absolute = integers + np.rint(shift)
        # A product of no integer but a negative gain is minus zero.
        sign = -1.0 if np.signbit(seen[wide == 0]).any() else 1.0
        for exact in _gains(seen, absolute):
            if fits(Scale(sign * exact)):
                yield Scale(sign * exact)
    spread = max(float(np.abs(wide).max()), abs(gain) * CENTRES[8])
    error = 4 * spread * float(np.finfo(seen.dtype).eps) / float(integers[-1] - integers[0])
    whole = np.rint(shift)
    for exact in [*_short(gain - error, gain + error), float(np.float32(gain)), gain]:
        for centre in [0, *CENTRES, *(-c for c in CENTRES)]:
            offset = start - exact * (whole + centre)
            blur = 4 * float(np.finfo(seen.dtype).eps) * max(spread, abs(offset))
            offsets = [-exact * centre, *_short(offset - blur, offset + blur), float(offset)]
            for rounded in (True, False):
                for one in offsets:
                    scale = Scale(exact, one, False)
                    if rounded:
                        scale = Scale(float(np.float32(exact)), float(np.float32(one)), True)
                    if scale.offset and fits(scale):
                        yield scale


def _binary_step(values: np.ndarray) -> float:
    """The largest power of two that all finite values (float64) are multiples of; infinite where all are 0."""
    mantissa, exponent = np.frexp(values[values != 0])
    digits = (mantissa * (1 << 53)).astype(np.int64)
    lowest = np.frexp((digits & -digits).astype(np.float64))[1] - 1
    return float(np.ldexp(1.0, int((exponent - 53 + lowest).min()))) if len(digits) else np.inf


def _rough_step(gaps: np.ndarray) -> float | None:
    """The step of a grid that the gaps (>= 0) between neighbouring values are small multiples of; None for no grid."""
    least = float(gaps[gaps > 0].min(initial=np.inf))
    if not 0 < least < np.inf:
        return None
    least = float(np.median(gaps[(gaps > 0) & (gaps < 1.5 * least)]))
    for divisor in range(1, DIVISORS + 1):
        multiples = gaps / (least / divisor)
        multiples = multiples[multiples < 50]
        if (np.abs(multiples - np.rint(multiples)) < EVEN).all():
            return least / divisor
    return None


def _ladder(values: np.ndarray, step: float) -> tuple[np.ndarray, float, float] | None:
    """Integers float64, gain and start with values = start + gain * integers nearly; the reach grows with the accuracy.

    values float64, ascending and distinct.
    """
    middle = int(np.argmin(np.abs(values)))
    away = values - values[middle]
    gain, start, reach = step, 0.0, 20 * step
    farthest = float(np.abs(away).max())
    while True:
        inside = np.abs(away) <= reach
        integers = np.rint((away[inside] - start) / gain)
        if len(integers) > 1 and integers[-1] > integers[0]:
            centred = integers - integers.mean()
            gain = float(centred @ away[inside] / (centred @ centred))
            start = float(away[inside].mean() - gain * integers.mean())
        if (
            not gain > 0
            or not np.isfinite(gain)
            or (np.abs(away[inside] - start - gain * integers) > EVEN * gain).any()
        ):
            return None
        if reach >= farthest:
            return integers, gain, start + float(values[middle])
        reach *= 16


def _gains(seen: np.ndarray, integers: np.ndarray) -> Iterator[float]:
    """Gains whose products with the integers round to the values: all must lie in the same narrow interval."""
    values, number = seen[integers != 0], integers[integers != 0]
    wide = values.astype(np.float64)
    half = np.spacing(np.abs(values)).astype(np.float64) / 2
    ends = np.sort([(wide - half) / number, (wide + half) / number], axis=0)
    low, high = float(ends[0].max()), float(ends[1].min())
    slack = 2 * np.spacing(abs(low))
    middle = (low + high) / 2
    yield from _short(low - slack, high + slack)
    if low - slack <= float(np.float32(middle)) <= high + slack:
        yield float(np.float32(middle))
    yield middle
    yield from (middle + k * np.spacing(middle) for k in (1, -1, 2, -2))


def _short(low: float, high: float) -> Iterator[float]:
    """The decimal number of the fewest digits from `low` to `high`."""
    middle = (low + high) / 2
    for digits in range(1, 17):
        number = float(f"{middle:.{digits}g}")
        if low <= number <= high:
            yield number
            return
