"""Code widths from counts: wider where a code occurred more often than expected, as far as that is certain."""

from __future__ import annotations

import numpy as np

from spikey.model.compact import STEPS, differing
from spikey.model.fixed_point import UNIT

WINDOW = 256  # codes over which widths average what they did before: patterns of converters have such a period
LEAST_WEIGHT = 1e-3  # of a code, over the largest
NARROWEST, WIDEST = 1 / UNIT, 8.0  # LSB
ALIKE = 1e-4  # variance of quotients below which widths are taken to be the usual ones
CODE_BITS = 4.0  # that a code's difference takes, about


def smoothed(widths: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of widths (codes,) around each code, by how much of the signal lies there: what is slower than a
    converter's pattern is the signal's business.
    """
    weights = weights + LEAST_WEIGHT * max(float(weights.max()), 1.0)
    return np.asarray(_around(widths * weights) / _around(weights))


def _around(values: np.ndarray) -> np.ndarray:
    """Sums of the WINDOW values around each, of which the outermost two count half."""
    half = WINDOW // 2
    sums = np.concatenate([[0.0], np.cumsum(np.pad(values, half))])
    whole, inner = sums[2 * half + 1 :] - sums[: -2 * half - 1], sums[2 * half : -1] - sums[1 : -2 * half]
    return np.asarray((whole + inner) / 2)


def strength_of(observed: np.ndarray, expected: np.ndarray) -> float:
    """How many samples the usual widths count as: by how much more counts differ from what these let expect than chance
    would have them. Any shapes of the same size.
    """
    excess = float(((observed - expected) ** 2 - observed).sum() / max(float((expected**2).sum()), 1.0))
    return 1 / max(excess, ALIKE)


def updated(
    widths: np.ndarray, usual: np.ndarray, observed: np.ndarray, expected: np.ndarray, strength: float | None = None
) -> np.ndarray:
    """Better widths float64 (codes,), in LSB, than `widths`, with which so many samples were expected, near the usual
    ones where samples are few.
    """
    per_lsb = expected / widths
    if strength is None:
        strength = strength_of(observed, per_lsb * usual)
    found = np.clip((observed + strength) / (per_lsb + strength / usual), NARROWEST, WIDEST)
    return np.asarray(np.clip(found * smoothed(usual, per_lsb) / smoothed(found, per_lsb), NARROWEST, WIDEST))


def edges_from(widths: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Edges float64 (codes + 1,) in LSB of codes of these widths, placed so that codes lie where they ideally would,
    on average with the weights.
    """
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    middles = (edges[:-1] + edges[1:]) / 2 - np.arange(len(widths))
    return np.asarray(edges - (middles @ weights) / max(float(weights.sum()), 1e-9))


def differences_of(
    widths: np.ndarray, usual: np.ndarray, observed: np.ndarray, per_lsb: np.ndarray, factor: float
) -> np.ndarray:
    """What to store of widths (codes,), in LSB: eighths of an octave from the usual ones, integers in 1/64 LSB; int8.

    None for codes of which it would not pay. observed: samples of each code; per_lsb: what is expected of them for each
    LSB. factor: the recording has so many times as many.
    """
    found = np.rint(STEPS * np.log2(widths * UNIT / usual)).clip(-127, 127).astype(np.int8)
    now, before = differing(usual, found) / UNIT, usual / UNIT
    gain = observed * np.log2(now / before) - (now - before) * per_lsb / np.log(2)
    found[gain * factor < CODE_BITS] = 0
    return np.asarray(found)
