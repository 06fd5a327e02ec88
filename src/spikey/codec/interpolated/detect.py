"""Whether a recording is interpolated, by which filter, and which of its channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from spikey.codec.interpolated import filters, kernels
from spikey.codec.interpolated.filters import Filter, Rows
from spikey.codec.interpolated.pattern import Pattern, of_path

LENGTH = 512  # frames of a glance
FEWEST = 256  # frames that are worth looking at
GLANCED, GLANCED_SIDE = 8, 8  # channels, taps on a side
RANKS = (0.5, 0.25, 0.75)  # of the channels that are looked at
SMALL, LARGE = 1 << 17, 1 << 20  # samples of blocks that are worth a second and a third glance
LOOKED, STRETCH = 16, 1024  # channels and frames by which a filter is found
FIRST_SIDE = 16  # taps on a side at first
LEAST = 1.0  # mean difference between frames of channels that are looked at
PHASED = 4  # channels by which a first filter is fitted and phases are followed
CHANGE = 48  # right predictions by which another phase must be better
SURE = 0.6  # of an error that rounding may leave
JUDGED = 4096  # frames of each channel by which it is decided whether it is interpolated
FITTED_CHANNELS, TRIED, STRETCHES = 64, 16, 8
FEW = 0.02  # of predictions may be wrong before another rounding is tried
HALF = 0.5  # of a channel's predictions that must be right


@dataclass(frozen=True)
class Found:
    """How a block is interpolated. channels: those that are, int64. Samples are offset + step * what is filtered."""

    pattern: Pattern
    filter: Filter
    channels: np.ndarray
    offset: int
    step: int


def glances(frames: int, count: int) -> int:
    """How many windows are worth a look: few of small blocks, which take little time to encode."""
    return sum(frames * count >= size for size in (0, SMALL, LARGE)) if frames >= FEWEST else 0


def windows(frames: int) -> list[int]:
    """Where windows begin."""
    return [(frames - min(LENGTH, frames)) * eighths // 8 for eighths in (4, 2, 6)]


def glance(samples: np.ndarray, first: int, rank: float = 0.5) -> int:
    """The factors, as bits, by which samples (frames, channels) seem interpolated, from a few of them; -1 where these
    do not move. rank: of the channel that is looked at, by its activity, as a part of all.
    """
    apart = max(samples.shape[1] // GLANCED, 1)
    window = np.ascontiguousarray(samples[first : first + LENGTH, apart // 2 :: apart].T, np.float64)
    return int(kernels.glance(window, GLANCED_SIDE, LEAST, rank, np.empty(4)))


def detect(samples: np.ndarray) -> Found | None:
    """How integers (frames, channels) are interpolated; None where they are not."""
    frames, count = samples.shape
    left = glances(frames, count)
    for place, rank in zip(windows(frames), RANKS, strict=True):
        factors = glance(samples, place, rank) if left else -1
        left -= factors >= 0
        for length in (STRETCH, LENGTH) if factors > 0 else ():
            found = _looked_at(samples, place, length, factors)
            if found is not None:
                return found
    return None


def _looked_at(samples: np.ndarray, place: int, length: int, factors: int) -> Found | None:
    """How a block is interpolated by one of some factors, from a closer look at a stretch around a window."""
    frames, count = samples.shape
    first = min(max(place + (LENGTH - length) // 2, 0), max(frames - length, 0))
    channels = np.unique(np.linspace(0, count - 1, min(count, LOOKED)).astype(np.int64))
    stretch = samples[first : first + length, channels].T.astype(np.int64)
    moving = np.abs(np.diff(stretch)).mean(axis=1) >= LEAST
    channels, stretch = channels[moving], stretch[moving]
    for factor in (4, 3, 2):
        looked = _first_look(stretch, samples.dtype, factor) if factors >> factor & 1 and len(channels) else None
        if looked is not None:
            chosen, taps = looked
            return _whole(samples, factor, channels[chosen], taps)
    return None


def _grid_of(samples: np.ndarray, dtype: np.dtype) -> tuple[int, int]:
    """Offset and step of the grid that integers int64 (channels, frames) are on; near the middle of unsigned types."""
    step = int(max(np.gcd.reduce((samples - samples[:1, :1]).ravel()), 1))
    middle = 1 << (8 * dtype.itemsize - 1) if dtype.kind == "u" else 0
    return middle + (int(samples[0, 0]) - middle) % step, step


def _first_look(stretch: np.ndarray, dtype: np.dtype, factor: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Which of some channels int64 (channels, frames) are interpolated, and filters."""
    offset, step = _grid_of(stretch, dtype)
    numbers = (stretch - offset) // step
    side = min(FIRST_SIDE, numbers.shape[1] // (12 * factor))
    errors = np.empty((len(numbers), factor))
    for channel, out in zip(numbers, errors, strict=True):
        kernels.steady_errors((channel - channel[0]).astype(np.float64), factor, side, np.empty(4), out)
    seeming = np.flatnonzero([kernels.seems(each, 1) for each in errors])
    if not len(seeming):
        return None
    exact = seeming[errors[seeming].min(axis=1) < kernels.ROUNDED]
    seeming = exact if len(exact) else seeming
    phase = int(np.bincount(errors[seeming].argmin(axis=1)).argmax())
    chosen = seeming[errors[seeming].argmin(axis=1) == phase]
    pattern = Pattern(numbers.shape[1], factor, ((0, phase),))
    for more in (side, 2 * side):
        taps = Rows(list(numbers[chosen[:: -(-len(chosen) // PHASED)]]), pattern, more).fit()
        if taps is None:
            break
        errors_of = Rows(list(numbers[chosen]), pattern, more).errors(taps)
        right = np.array([(np.abs(error) < filters.NEAR).mean() for error in errors_of])
        if (right > HALF).any():
            return chosen[right > HALF], taps
    return None


def _whole(samples: np.ndarray, factor: int, channels: np.ndarray, taps: np.ndarray) -> Found | None:
    """The filter of a whole block, from what a stretch gave of some channels."""
    by_channel, count = np.ascontiguousarray(samples.T), samples.shape[1]
    known = by_channel[channels].astype(np.int64)
    offset, step = _grid_of(known, samples.dtype)
    pattern = _followed((known[:PHASED] - offset) // step, factor, taps)
    some, side = _spread(len(pattern.others), JUDGED), taps.shape[1] // 2
    inside = []
    for channel, column in _numbers(by_channel, range(count), offset, step):
        rows = Rows([column], pattern, side, some)
        if (np.abs(rows.errors(taps)[0]) < filters.NEAR).mean() > HALF:
            inside.append(channel)
    if not inside:
        return None
    spread = np.unique(np.linspace(0, len(inside) - 1, min(len(inside), FITTED_CHANNELS)).astype(np.int64))
    columns = [column for _, column in _numbers(by_channel, np.array(inside)[spread].tolist(), offset, step)]
    total, found = len(pattern.others) * len(inside), None
    for cut in (False, True):
        found = min(
            filter(None, (found, _fitted(columns, pattern, taps, cut, total, samples.dtype))), key=_wrong, default=None
        )
        if found is None or _wrong(found) < FEW:
            break
    return None if found is None else _judged(by_channel, pattern, found[0], inside, offset, step)


def _wrong(found: tuple[Filter, float]) -> float:
    return found[1]


def _fitted(
    columns: list[np.ndarray], pattern: Pattern, taps: np.ndarray, cut: bool, total: int, dtype: np.dtype
) -> tuple[Filter, float] | None:
    """The best filter for some channels int64 (frames,), and the share of predictions that are wrong."""
    refined, side = taps, taps.shape[1] // 2
    for samples_of in (filters.FITTED // 8, filters.FITTED):
        rows = Rows(columns, pattern, side, _spread(len(pattern.others), samples_of // len(columns)), cut)
        found = rows.fit(refined)
        if found is None:
            return None
        refined = found
    side = rows.best_side()
    few = columns[:: -(-len(columns) // TRIED)]
    tried = Rows(few, pattern, side, _spread(len(pattern.others), filters.TRIED // len(few)))
    return filters.quantised([rows.shorter(side), rows.symmetric(side)], tried, filters.most_weight(dtype), total)


def _judged(
    by_channel: np.ndarray, pattern: Pattern, found: Filter, inside: list[int], offset: int, step: int
) -> Found | None:
    """The channels of which half the predictions are right; what moves little would cost as little without."""
    channels, low, high = [], [], []
    for channel, column in _numbers(by_channel, inside, offset, step):
        others, sampled = column[pattern.others], column[pattern.sampled]
        lowest, highest = int(others.min()), int(others.max())
        right = (replace(found, low=lowest, high=highest).predict(sampled, pattern) == others).mean()
        if right == 1 or (right > HALF and np.abs(np.diff(sampled)).mean() >= LEAST):
            channels.append(channel)
            low.append(lowest)
            high.append(highest)
    if not channels:
        return None
    return Found(pattern, replace(found, low=min(low), high=max(high)), np.array(channels), offset, step)


def _numbers(
    by_channel: np.ndarray, channels: Iterable[int], offset: int, step: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Of integers (channels, frames) the numbers int64 (frames,) of channels that are on a grid."""
    for channel in channels:
        column = by_channel[channel].astype(np.int64) - offset
        if step == 1:
            yield channel, column
        elif not (column % step).any():
            yield channel, column // step


def _spread(total: int, most: int) -> np.ndarray:
    """At most so many indices, in a few stretches."""
    if total <= most:
        return np.arange(total)
    length = max(most // STRETCHES, 1)
    starts = np.arange(STRETCHES, dtype=np.int64) * (total - length) // (STRETCHES - 1)
    return (starts[:, None] + np.arange(length)).ravel()


def _followed(numbers: np.ndarray, factor: int, taps: np.ndarray) -> Pattern:
    """The pattern by which most frames of numbers int64 (channels, frames) are predicted right."""
    frames = numbers.shape[1]
    scores = np.zeros((frames, factor), np.int64)
    for phase in range(factor):
        pattern = Pattern(frames, factor, ((0, phase),))
        rows = Rows(list(numbers), pattern, taps.shape[1] // 2)
        for errors in rows.errors(taps):
            scores[pattern.others, phase] += np.where(np.abs(errors) < SURE, 1, -1)
    path = np.empty(frames, np.int64)
    kernels.follow(scores, CHANGE, path)
    return of_path(path, factor)
