"""The fraction by which converter codes were multiplied, from the values that occur; all of it in exact integers.

Where values are on a line, their rests, denominator * value - numerator * code, differ by less than the denominator.
Two rests that differ by more bound the fraction; the simplest one within the bounds is tried next.
"""

from __future__ import annotations

from itertools import islice
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikey.levels.rescaled import Rescaled

if TYPE_CHECKING:
    from collections.abc import Iterator

FEWEST = 16  # values; a line through fewer proves nothing and saves almost nothing
LEAST_STEP, MOST_STEP = 2, (1 << 20) - 1  # so that numerators fit
EMPTIEST = 4  # codes of the line for each value that occurs, at most
CUTS = 64
BATCH = 16  # fractions tried together
MOST_FLOORED, MOST_TRUNCATED = 255, 64  # denominators


class Fraction(NamedTuple):
    """numerator / denominator; what bounds others may have no denominator."""

    numerator: int
    denominator: int


def find_rescaled(values: np.ndarray) -> Rescaled | None:
    """The line through all of `values`, int64, distinct and ascending, of the simplest fraction; None for none.

    >>> found = find_rescaled(np.arange(-50, 400) * 625 // 26 - 7)
    >>> found.numerator, found.denominator, found.alphabet, len(found.write())
    (625, 26, 450, 9)
    """
    if len(values) < FEWEST or not LEAST_STEP <= np.diff(values).min() <= MOST_STEP:
        return None
    codes = _codes(values)
    if codes is None or codes[-1] >= EMPTIEST * len(values):
        return None
    gain = _floored_gain(values, codes)
    if gain is not None:
        return _floored(values, codes, gain) if gain.denominator > 1 else None
    gains = _gains(int(values[-1] - values[0]), int(codes[-1]))
    while batch := list(islice(gains, BATCH)):
        found = _truncated(values, codes, batch)
        if found is not None:
            return found
    return None


def through(values: np.ndarray, codes: np.ndarray, gain: Fraction) -> Rescaled | None:
    """The line of this fraction through the values of ascending codes from 0; None where there is none."""
    return _floored(values, codes, gain) or _truncated(values, codes, [gain])


def _codes(values: np.ndarray) -> np.ndarray | None:
    """Codes from 0, int64, of values that are nearly on a line; the reach grows with the accuracy of its slope."""
    gaps = np.diff(values)
    single = gaps[gaps <= gaps.min() + 1]
    gain = float(single.sum()) / len(single)
    away = values - values[len(values) // 2]
    reach, farthest = 4 * gain, int(np.abs(away).max())
    while reach < farthest:
        inside = away[np.abs(away) <= reach]
        steps = float(np.rint(inside[-1] / gain) - np.rint(inside[0] / gain))
        if steps:
            gain = float(inside[-1] - inside[0]) / steps
        reach *= 2
    codes = np.rint(away / gain).astype(np.int64)
    codes -= codes[0]
    return codes if (np.diff(codes) > 0).all() else None


def _floored_gain(values: np.ndarray, codes: np.ndarray) -> Fraction | None:
    """The simplest fraction with which the values are products rounded down; None for none."""
    low, high = Fraction(0, 1), Fraction(1, 0)
    for _ in range(CUTS):
        if low.numerator * high.denominator >= high.numerator * low.denominator:
            return None
        gain = simplest(low, high)
        if gain.denominator > MOST_FLOORED:
            return None
        rests = gain.denominator * values - gain.numerator * codes
        one, other = int(rests.argmax()), int(rests.argmin())
        if rests[one] - rests[other] < gain.denominator:
            return gain
        rise, run = int(values[one] - values[other]) - 1, int(codes[one] - codes[other])
        if run > 0:
            low = Fraction(rise, run)
        else:
            high = Fraction(-rise, -run)
    return None


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction of the smallest denominator between two, 0 <= low < high, and neither of them.

    >>> simplest(Fraction(1, 3), Fraction(1, 2))
    Fraction(numerator=2, denominator=5)
    """
    whole = low.numerator // low.denominator
    if (whole + 1) * high.denominator < high.numerator:
        return Fraction(whole + 1, 1)
    # Both less `whole`, upside down; `high` is at most whole + 1.
    inner = simplest(
        Fraction(high.denominator, high.numerator - whole * high.denominator),
        Fraction(low.denominator, low.numerator - whole * low.denominator),
    )
    return Fraction(whole * inner.numerator + inner.denominator, inner.numerator)


def _floored(values: np.ndarray, codes: np.ndarray, gain: Fraction) -> Rescaled | None:
    """The line of a fraction whose values are rounded down, if there is one."""
    rests = gain.denominator * values - gain.numerator * codes
    start = int(rests.max())
    if start - int(rests.min()) >= gain.denominator:
        return None
    offset, phase = divmod(start, gain.denominator)
    return Rescaled(gain.denominator, gain.numerator, int(codes[-1]) + 1, 0, phase, offset)


def _gains(rise: int, run: int) -> Iterator[Fraction]:
    """Fractions with which products may rise by this much in so many codes, rounded toward zero; simple ones first."""
    for denominator in range(2, MOST_TRUNCATED + 1):
        for numerator in range((rise - 2) * denominator // run + 1, -(-(rise + 2) * denominator // run)):
            if gcd(numerator, denominator) == 1:
                yield Fraction(numerator, denominator)


def _truncated(values: np.ndarray, codes: np.ndarray, gains: list[Fraction]) -> Rescaled | None:
    """The line of the first fraction, of several, whose values are rounded toward one among them; else None.

    With B the rest of that value, which is exact, rests before it are from B to B + denominator - 1, and those after it
    from B - denominator + 1 to B.
    """
    numerators, denominators = (np.array(column, np.int64)[:, None] for column in zip(*gains, strict=True))
    rests = denominators * values - numerators * codes
    (before_low, before_high), (after_low, after_high) = _extremes(rests), _extremes(rests[:, ::-1])
    lowest = np.maximum(after_high[:, -2::-1], before_high[:, :-1] - denominators + 1)
    highest = np.minimum(before_low[:, :-1], after_low[:, -2::-1] + denominators - 1)
    for row, split in np.argwhere(lowest <= highest).tolist():
        gain = gains[row]
        for zero in range(int(codes[split]) + 1, int(codes[split + 1]) + 1):
            start = gain.numerator * zero
            offset = -(-(int(lowest[row, split]) + start) // gain.denominator)
            if offset * gain.denominator - start <= highest[row, split]:
                return Rescaled(gain.denominator, gain.numerator, int(codes[-1]) + 1, zero, 0, offset)
    return None


def _extremes(rests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest up to each column."""
    return np.minimum.accumulate(rests, axis=1), np.maximum.accumulate(rests, axis=1)
