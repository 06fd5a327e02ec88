"""Floating-point samples that are scaled integers: the gain and offset that reproduce every sample, bit for bit.

Most float recordings are ADC codes times a gain, in microvolts or as parts of full scale. Once recovered, the
codes are coded like any others. Samples that are not restored exactly, such as NaN where a recording was blanked, are
stored one by one; a channel with too many of them is left to a general method.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint
from spikey.levels.contract import LEVEL_MAPS, LevelMap, Levels, Values

SINGLE, SHIFTED, PATCHED = 1, 2, 4  # bits of the form
PATCH_BYTES = 10  # of a short patch
MOST_PATCHED = 8  # bytes of samples for each byte of patches, at least
SAMPLED = 1 << 13  # values that a gain is looked for in
LARGEST = 1 << 31  # integers are less than that in magnitude
EVEN = 0.2  # of a step: tolerance of a value against an even grid while the gain is approximate
DIVISORS = 8  # fractions of the smallest observed step that may be the real one
PROBES = 64
ROUNDS = 4
CENTRES = [2**k for k in range(7, 24)]  # codes at which unsigned converters have their zero
USUAL_CENTRE = 1 << 15
PARTS = 4


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

    def nearest(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The integers, float64 (frames,), that give the nearest values, and where those are the same bit for bit."""
        with np.errstate(all="ignore"):
            found = np.rint((values.astype(np.float64) - self.offset) / self.gain)
            found += 0.0  # no negative zeros: integers have none
            return found, (np.abs(found) < LARGEST) & (_bits(self.values(found, values.dtype)) == _bits(values))


class Patch(NamedTuple):
    """A run of equal samples that the scale does not reproduce: its first frame, its length, a sample's bits."""

    first: int
    frames: int
    bits: int


@dataclass(frozen=True)
class Scaled(Levels):
    """The levels of a floating-point channel: those of its integers, the scale, and exceptions."""

    number: ClassVar[int] = 3
    scale: Scale
    inner: Levels
    patches: tuple[Patch, ...] = ()

    @property
    def alphabet(self) -> int:  # type: ignore[override]
        """Size of the alphabet."""
        return self.inner.alphabet

    @property
    def low_bits(self) -> int:  # type: ignore[override]
        """Bits of each sample that are stored beside its code."""
        return self.inner.low_bits

    def words(self) -> str:
        """The map, for a person."""
        scale = self.scale
        shift = f" {'+' if scale.offset > 0 else '-'} {abs(scale.offset):.9g}" if scale.offset else ""
        but = f", but for {sum(patch.frames for patch in self.patches)} samples" if self.patches else ""
        return f"{self.inner.words()}, times {scale.gain:.9g}{shift}{but}"

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Of the integers, as `find_scale` gives them."""
        return self.inner.to_codes(values)

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        """The values (frames,) of codes within the alphabet; DataError where patches lie elsewhere."""
        values = self.scale.values(self.inner.to_values(codes, low, np.dtype(np.int64)), dtype)
        bits = _bits(values)
        for patch in self.patches:
            if patch.first + patch.frames > len(values) or patch.bits >> 8 * dtype.itemsize:
                raise DataError("a channel patches samples that it does not have")
            bits[patch.first : patch.first + patch.frames] = patch.bits
        return values

    def write(self) -> bytes:
        """As bytes, after the kind."""
        scale = self.scale
        form = SINGLE * scale.single | SHIFTED * bool(scale.offset) | PATCHED * bool(self.patches)
        out = bytes([form]) + struct.pack("<d", scale.gain)
        if scale.offset:
            out += struct.pack("<d", scale.offset)
        if self.patches:
            out += varint(len(self.patches))
            end = 0
            for patch in self.patches:
                out += varint(patch.first - end) + varint(patch.frames - 1) + struct.pack("<Q", patch.bits)
                end = patch.first + patch.frames
        return out + bytes([self.inner.number]) + self.inner.write()


def _read(cursor: Cursor) -> Levels:
    form = cursor.byte()
    gain = struct.unpack("<d", cursor.take(8))[0]
    offset = struct.unpack("<d", cursor.take(8))[0] if form & SHIFTED else 0.0
    if form > SINGLE | SHIFTED | PATCHED or not np.isfinite([gain, offset]).all():
        raise DataError(f"{cursor.what}: scales a channel in a way that this version does not support")
    patches, end = [], 0
    for _ in range(cursor.varint() if form & PATCHED else 0):
        first = end + cursor.varint()
        end = first + cursor.varint() + 1
        patches.append(Patch(first, end - first, struct.unpack("<Q", cursor.take(8))[0]))
    number = cursor.byte()
    record = None if number == Scaled.number else LEVEL_MAPS.numbered(number)
    if record is None:
        raise DataError(f"{cursor.what}: uses levels of kind {number}, which this version does not support")
    return Scaled(Scale(gain, offset, bool(form & SINGLE)), record.read(cursor), tuple(patches))


def _find(values: Values) -> Levels | None:
    return None  # integers are not scaled; `find_scale` is for floats


LEVEL_MAPS.register(LevelMap(name="scaled", number=3, rank=3, read=_read, find=_find))


class Found(NamedTuple):
    """The scale of a channel, its integers (frames,), and the samples that the scale does not give."""

    scale: Scale
    integers: np.ndarray
    patches: tuple[Patch, ...]


def find_scale(values: np.ndarray) -> Found | None:
    """The scale of floating-point values (frames,), frames at least 1; None if it reproduces too few.

    The integers are int16 where they fit, so that their levels can be any that a converter's samples have, else int32.
    Where a sample is patched the integer before it is repeated.

    >>> found = find_scale(np.arange(-300, 300).astype(np.float32) * np.float32(0.195))
    >>> round(found.scale.gain, 6), found.integers[:3]
    (0.195, array([-300, -299, -298], dtype=int16))
    >>> find_scale(np.random.default_rng(0).normal(size=1000)) is None
    True
    """
    with np.errstate(all="ignore"):  # what overflows fits nothing
        finite = values[np.isfinite(values)]
        if not len(finite):
            return _patched(Scale(1.0), values, *Scale(1.0).nearest(values))
        samples = list(_samples(finite))
        tries = [*((seen, _even) for seen in samples), (samples[0], _binary)]
        return next((found for seen, kind in tries for found in [_refined(values, seen, kind)] if found), None)


def _samples(finite: np.ndarray) -> Iterator[np.ndarray]:
    """Distinct values to look for a scale in: of the whole channel, then of parts, which may have no exceptions."""
    zero = finite == 0
    if (np.signbit(finite) & zero).any() and (~np.signbit(finite) & zero).any():
        finite = finite[~(np.signbit(finite) & zero)]
    yield np.unique(
        np.concatenate([finite[:: max(len(finite) // SAMPLED, 1)], finite[[np.argmin(finite), np.argmax(finite)]]])
    )
    for first in range(0, len(finite), max(len(finite) // PARTS, PROBES)):
        yield np.unique(finite[first : first + SAMPLED])


def _refined(values: np.ndarray, seen: np.ndarray, candidates: Callable[[np.ndarray], Iterator[Scale]]) -> Found | None:
    """The first candidate for the distinct values `seen`, refined to reproduce as many of all values as possible."""
    best = None
    for _ in range(ROUNDS):
        scale = next(candidates(seen), None)
        if scale is None:
            break
        found, right = scale.nearest(values)
        best = _patched(scale, values, found, right) or best
        if right.all():
            break
        # The gain may be inexact: values that it nearly reproduces narrow it down.
        wrong = values[~right & (np.abs(found) < LARGEST)]
        off = np.abs(scale.values(scale.nearest(wrong)[0], values.dtype) - wrong)
        near = wrong[off <= 4 * np.finfo(values.dtype).eps * (np.abs(wrong) + abs(scale.offset))]
        more = np.unique(np.concatenate([seen, near[:SAMPLED]]))
        if len(more) == len(seen):
            break
        seen = more
    return best


def _patched(scale: Scale, values: np.ndarray, integers: np.ndarray, right: np.ndarray) -> Found | None:
    """A scale with patches for values that it does not reproduce; None if there would be too many."""
    patches: tuple[Patch, ...] = ()
    if not right.all():
        places, bits = np.flatnonzero(~right), _bits(values)[~right]
        starts = np.flatnonzero(np.concatenate([[True], (np.diff(places) != 1) | (bits[1:] != bits[:-1])]))
        if len(starts) * PATCH_BYTES * MOST_PATCHED > values.nbytes:
            return None
        counts = np.diff(np.append(starts, len(places)))
        patches = tuple(map(Patch, places[starts].tolist(), counts.tolist(), bits[starts].tolist()))
        before = np.maximum.accumulate(np.where(right, np.arange(len(values)), int(np.argmax(right))))
        integers = integers[before] if right.any() else np.zeros(len(values))
    small = integers.min() >= -32768 and integers.max() <= 32767
    return Found(scale, integers.astype(np.int16 if small else np.int32), patches)


def _bits(values: np.ndarray) -> np.ndarray:
    """Floats as unsigned integers, without a copy where they are contiguous."""
    return np.ascontiguousarray(values).view(np.dtype(f"u{values.dtype.itemsize}"))


def _binary(seen: np.ndarray) -> Iterator[Scale]:
    """The scale of a power of two that reproduces the distinct values `seen`, if any, for any spacing:
    codes with DNL as parts of full scale, and differences of codes.
    """
    wide = seen.astype(np.float64)
    binary = _binary_step(wide)
    if float(np.abs(wide).max()) < LARGEST * binary:
        yield Scale(-binary if np.signbit(wide[wide == 0]).any() else binary)


def _even(seen: np.ndarray) -> Iterator[Scale]:
    """Scales that reproduce the distinct values `seen` if they are on an even grid, the likeliest first."""
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
        return bool(scale.nearest(probes)[1].all()) and bool(scale.nearest(seen)[1].all())

    shift = start / gain
    if abs(shift - np.rint(shift)) < EVEN:
        absolute = integers + np.rint(shift)
        # A product of no integer but a negative gain is minus zero.
        sign = -1.0 if np.signbit(seen[wide == 0]).any() else 1.0
        yield from filter(fits, (Scale(sign * exact) for exact in _gains(seen, absolute)))
    yield from filter(fits, _shifted(seen, integers, gain, start))


def _shifted(seen: np.ndarray, integers: np.ndarray, gain: float, start: float) -> Iterator[Scale]:
    """Scales with an offset, near values = start + gain * integers."""
    rounding = float(np.finfo(seen.dtype).eps)
    spread = max(float(np.abs(seen).max()), gain * USUAL_CENTRE)
    if np.abs(seen - start - gain * integers).max() > rounding * spread:
        return  # uneven by more than rounding
    error = 4 * rounding * spread / float(integers[-1] - integers[0])
    whole = np.rint(start / gain)
    for exact in [*shortest(gain - error, gain + error), float(np.float32(gain)), gain]:
        for centre in [0, *CENTRES, *(-c for c in CENTRES)]:
            offset = float(start - exact * (whole + centre))
            blur = 4 * rounding * max(spread, abs(offset))
            for one in [-exact * centre, *shortest(offset - blur, offset + blur), offset]:
                if one:
                    yield Scale(float(np.float32(exact)), float(np.float32(one)), True)
                    yield Scale(exact, one)


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
            # No sums, whose rounding depends on the machine: the bytes written should not.
            gain = float((away[inside][-1] - away[inside][0]) / (integers[-1] - integers[0]))
            start = float(np.median(away[inside] - gain * integers))
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
    yield from shortest(low - slack, high + slack)
    if low - slack <= float(np.float32(middle)) <= high + slack:
        yield float(np.float32(middle))
    yield middle
    yield from (middle + k * np.spacing(middle) for k in (1, -1, 2, -2))


def shortest(low: float, high: float) -> Iterator[float]:
    """The decimal number of the fewest digits from `low` to `high`, or nothing where doubles are too coarse for one."""
    middle = (low + high) / 2
    for digits in range(1, 17):
        number = float(f"{middle:.{digits}g}")
        if low <= number <= high:
            yield number
            return
