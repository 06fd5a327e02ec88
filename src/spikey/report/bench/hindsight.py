"""Linear prediction of one channel from its past and from all of the channels that are coded earlier, in hindsight.

By the chain rule the entropy of all channels is the sum of that of each, given its own past and, of the channels before
it, everything: their past, present and future. How channels are ordered makes no difference to that sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ORDER = 32  # past frames of the channel itself
BESIDE = 1  # frames on either side of now, of every channel coded earlier
NEAR, REACH = 4, 16  # the earlier channels most like this one, and frames on either side of them
FEW = ORDER + 4 * (2 * BESIDE + 1)  # columns of the smaller predictor: past frames, and four channels
LEAST = 6  # frames for each weight: of short recordings the earlier channels least like this one are left out
RIDGE = 1e-9  # of the mean power, so that silence can be solved for
AROUND, LIMIT = 64, 2.0  # frames of the local scale that errors are weighted by, and how many of it an error counts for
ROUNDED = 1 / 12  # variance of rounding to codes, so that silence does not outweigh everything
ROWS = 4096  # frames held as a matrix at a time

Column = tuple[np.ndarray, int]  # a channel, and how many frames before now


def by_likeness(positions: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """The numbers of the earlier channels, float64 (channels, frames), those first whose changes are most like its."""
    changes = np.diff(earlier)
    size = np.sqrt(np.einsum("ct,ct->c", changes, changes))
    return np.argsort(-np.abs(changes @ np.diff(positions)) / np.maximum(size, RIDGE), kind="stable")


def residual(positions: np.ndarray, earlier: np.ndarray) -> tuple[np.ndarray, slice]:
    """What the least-squares predictor leaves of a channel, and the frames of that: those with all that it looks at.

    positions: float64 (frames,); earlier: (channels, frames), those coded before it. Frames count for one over the
    square of the local scale, within Huber's limit, since the noise costs the bits and not a few artifacts; the scale
    is that of the errors of a smaller predictor. Errors are scaled to what the predictor would leave of frames without
    end: the fit makes them too small, by the share of weights among frames.
    """
    wanted = positions - positions.mean()
    most = len(wanted) // LEAST
    columns = _columns(wanted, earlier[by_likeness(positions, earlier)[:most]], most)
    lags = [lag for _, lag in columns] or [0]
    kept = slice(max(*lags, 0), len(wanted) + min(*lags, 0))
    errors = wanted[kept]
    for some in (columns[:FEW], columns[:FEW], columns) if columns else ():
        fit = _fitted(wanted, some, kept, _weights(errors))
        errors = np.concatenate([wanted[rows] - fit @ block for rows, block in _blocks(some, kept)])
    free = max(len(errors) - len(columns) - 1, 1)
    return errors * (len(errors) / free) ** 0.5, kept


def _columns(wanted: np.ndarray, others: np.ndarray, most: int) -> list[Column]:
    """What the predictor looks at, what matters most first, at most so much."""
    found: list[Column] = [(wanted, lag) for lag in range(1, ORDER + 1)]
    others = others - others.mean(axis=1, keepdims=True)
    found += [(other, lag) for other in others for lag in range(-BESIDE, BESIDE + 1)]
    for other in others[:NEAR]:
        found += [(other, sign * lag) for lag in range(BESIDE + 1, REACH + 1) for sign in (1, -1)]
    return found[:most]


def _blocks(columns: list[Column], kept: slice) -> Iterator[tuple[slice, np.ndarray]]:
    """Frames, and of these every column: float64 (columns, frames)."""
    for first in range(kept.start, kept.stop, ROWS):
        last = min(first + ROWS, kept.stop)
        yield slice(first, last), np.stack([values[first - lag : last - lag] for values, lag in columns])


def _weights(errors: np.ndarray) -> np.ndarray:
    """What the square root of each frame's square counts for, float64 (frames,)."""
    scale = np.sqrt(smoothed(errors * errors, AROUND) + ROUNDED)
    return np.sqrt(np.minimum(1, LIMIT * scale / np.maximum(np.abs(errors), 1e-9))) / scale


def _fitted(wanted: np.ndarray, columns: list[Column], kept: slice, weights: np.ndarray) -> np.ndarray:
    """The factors of the columns, float64."""
    products = np.zeros((len(columns), len(columns)))
    targets = np.zeros(len(columns))
    for rows, block in _blocks(columns, kept):
        counted = weights[rows.start - kept.start : rows.stop - kept.start]
        block *= counted
        products += block @ block.T
        targets += block @ (counted * wanted[rows])
    products[np.diag_indices_from(products)] += RIDGE * np.trace(products) / len(products) + RIDGE
    return np.linalg.solve(products, targets)


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Means over `window` values around each, of fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - window // 2, 0), np.minimum(at + (window + 1) // 2, len(values))
    return (sums[last] - sums[first]) / (last - first)
