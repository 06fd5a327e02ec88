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
LOOKED, STRETCH = 16, 4096  # channels and frames by which a filter is found
LEAST = 1.0  # mean difference between frames of channels that are looked at
PHASED = 4  # channels by which phases are followed
CHANGE = 48  # right predictions by which another phase must be better
SURE = 0.6  # of an error that rounding may leave
JUDGED = 4096  # frames of each channel by which it is decided whether it is interpolated
FITTED_CHANNELS, TRIED, STRETCHES = 64, 16, 8
HALF = 0.5  # of a channel's predictions that must be right


@dataclass(frozen=True)
class Found:
    """How a block is interpolated. channels: those that are, int64. Samples are offset + step * the filter's numbers."""

    pattern: Pattern
    filter: Filter
    channels: np.ndarray
    offset: int
    step: int


def glance(samples: np.ndarray) -> int:
    """The factors, as bits, by which samples (frames, channels) seem interpolated, from a few of them."""
    frames, count = samples.shape
    if frames < FEWEST:
        return 0
    channels = np.unique(np.linspace(0, count - 1, min(count, GLANCED)).astype(np.int64))
    length = min(LENGTH, frames)
    errors = np.empty(4)
    for eighths in (4, 2, 6):
        first = (frames - length) * eighths // 8
        window = np.ascontiguousarray(samples[first : first + length, channels].T, np.float64)
        found = int(kernels.glance(window, GLANCED_SIDE, LEAST, errors))
        if found >= 0:
            return found
    return 0


def detect(samples: np.ndarray) -> Found | None:
    """How integers (frames, channels) are interpolated; None where they are not."""
    factors = glance(samples)
    if not factors:
        return None
    frames, count = samples.shape
    length = min(STRETCH, frames)
    first = (frames - length) // 2
    channels = np.unique(np.linspace(0, count - 1, min(count, LOOKED)).astype(np.int64))
    stretch = samples[first : first + length, channels].T.astype(np.int64)
    moving = np.abs(np.diff(stretch)).mean(axis=1) >= LEAST
    channels, stretch = channels[moving], stretch[moving]
    for factor in (4, 3, 2):
        if factors >> factor & 1:
            found = _first_look(stretch, factor)
            if found is not None:
                step, phase, chosen, taps = found
                return _whole(samples, factor, step, (first + phase) % factor, channels[chosen], taps)
    return None


def _first_look(stretch: np.ndarray, factor: int) -> tuple[int, int, np.ndarray, np.ndarray] | None:
    """Of some channels int64 (channels, frames): their step, the phase, which channels are interpolated, and filters."""
    if not len(stretch):
        return None
    step = int(max(np.gcd.reduce((stretch - stretch[:, :1]).ravel()), 1))
    numbers = (stretch - stretch[:, :1]) // step
    side = min(16, numbers.shape[1] // (12 * factor))
    if side < 1:
        return None
    errors = np.empty((len(numbers), factor))
    for channel, out in zip(numbers, errors, strict=True):
        kernels.phase_errors(channel.astype(np.float64), factor, side, out)
    order = np.sort(errors, axis=1)
    seeming = np.flatnonzero((order[:, 0] < 0.14) | (order[:, 0] < 0.35 * order[:, 1]))
    if not len(seeming):
        return None
    phase = int(np.bincount(errors[seeming].argmin(axis=1)).argmax())
    chosen = seeming[errors[seeming].argmin(axis=1) == phase]
    pattern = Pattern(numbers.shape[1], factor, ((0, phase),))
    for more in (side, 2 * side):
        rows = Rows(list(numbers[chosen]), pattern, more)
        taps = rows.fit()
        if taps is None:
            break
        right = np.array([(np.abs(error) < SURE).mean() for error in rows.errors(taps)])
        if (right > HALF).any():
            return step, phase, chosen[right > HALF], taps
    return None


def _whole(
    samples: np.ndarray, factor: int, step: int, phase: int, channels: np.ndarray, taps: np.ndarray
) -> Found | None:
    """The filter of a whole block, from what a stretch gave of some channels."""
    frames, count = samples.shape
    known = samples[:, channels].T.astype(np.int64)
    step = int(max(np.gcd.reduce((known - known[:, :1]).ravel()), 1))
    offset = int(known[0, 0]) % step
    pattern = _followed((known[:PHASED] - offset) // step, factor, taps)
    some, side = _spread(len(pattern.others), JUDGED), taps.shape[1] // 2
    inside = []
    for channel, column in _numbers(samples, range(count), offset, step):
        rows = Rows([column], pattern, side, some)
        if (np.abs(rows.errors(taps)[0]) < filters.NEAR).mean() > HALF:
            inside.append(channel)
    if not inside:
        return None
    spread = np.unique(np.linspace(0, len(inside) - 1, min(len(inside), FITTED_CHANNELS)).astype(np.int64))
    columns = [column for _, column in _numbers(samples, np.array(inside)[spread].tolist(), offset, step)]
    rows = Rows(columns, pattern, side, _spread(len(pattern.others), filters.FITTED // len(columns)))
    for _ in range(2):
        refined = rows.fit(taps)
        if refined is None:
            return None
        taps = refined
    side = rows.best_side()
    few = columns[:: -(-len(columns) // TRIED)]
    tried = Rows(few, pattern, side, _spread(len(pattern.others), filters.TRIED // len(few)))
    fits, total = [rows.shorter(side), rows.symmetric(side)], len(pattern.others) * len(inside)
    found = filters.quantised(fits, tried, filters.most_weight(samples.dtype), total)
    return None if found is None else _judged(samples, pattern, found, inside, offset, step)


def _judged(
    samples: np.ndarray, pattern: Pattern, found: Filter, inside: list[int], offset: int, step: int
) -> Found | None:
    """What is interpolated: channels of which half the predictions are right, which of others may be less than theirs."""
    channels, low, high = [], [], []
    for channel, column in _numbers(samples, inside, offset, step):
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


def _numbers(samples: np.ndarray, channels: Iterable[int], offset: int, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Of channels on a grid their numbers int64 (frames,)."""
    for channel in channels:
        column = samples[:, channel].astype(np.int64) - offset
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
