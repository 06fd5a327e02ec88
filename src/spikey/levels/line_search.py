"""Finds the line that a channel advances on, if it does; the quick test that rules out others costs almost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from spikey.levels.line import LONGEST, MOST_RUNS, MOST_STEP, ONE, PRODUCT, QUOTIENT, STEPS, Line, Run, to_numbers
from spikey.levels.scaled import shortest

FEWEST = 64  # frames that a line pays for
GLANCE = 33  # values at each of three places
FRAMES_A_RUN = 256  # a jump takes 10 to 18 bytes
STRAIGHT = 16  # times that what is off a line must span less than the numbers themselves
MOST_OFF = 1 << 31


class Found(NamedTuple):
    """A line, and how far each value is off it, int64 (frames,)."""

    line: Line
    off: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether nothing is off the line."""
        return not self.off.any()


def find_line(values: np.ndarray, least_span: int = 0) -> Found | None:
    """The line of integers or floats (frames,), where these advance evenly, and by so much in all, as bits; else None.

    >>> times = 1234.5 + np.arange(1000) / 30000
    >>> found = find_line(times)
    >>> found.line.words(), found.exact
    ('advancing by 1 / 30000 a frame', True)
    >>> find_line(np.random.default_rng(0).normal(size=1000)) is None
    True
    """
    if not FEWEST <= len(values) <= LONGEST:
        return None
    places = 0, len(values) // 2, len(values) - GLANCE
    if not all(_advances(values[at : at + GLANCE]) for at in places):
        return None
    numbers = to_numbers(values)
    span = int(numbers.max()) - int(numbers.min())
    if span < least_span:
        return None
    found = _stepped(numbers)
    if values.dtype.kind == "f" and (found is None or not found.exact):
        with np.errstate(all="ignore"):  # what overflows fits nothing
            found = min(filter(None, (found, _scaled(values))), key=_farthest, default=None)
    if found is None or _farthest(found) * STRAIGHT > span or _farthest(found) >= MOST_OFF:
        return None
    return found


def _farthest(found: Found) -> int:
    return max(-int(found.off.min()), int(found.off.max()))


def _advances(values: np.ndarray) -> bool:
    """Whether most of a few values are nearly as far from one to the next."""
    with np.errstate(all="ignore"):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return False
        steps = np.diff(values.astype(np.float64) if values.dtype.kind == "f" else to_numbers(values))
        usual = _middle(steps)
        near = abs(usual) / 4 if values.dtype.kind == "f" else max(abs(int(usual)) // 4, 1)
        return bool(usual) and int((np.abs(steps - usual) <= near).sum()) * 4 >= 3 * len(steps)


def _middle(steps: np.ndarray) -> Any:
    """The median, one that occurs."""
    return np.partition(steps, len(steps) // 2)[len(steps) // 2]


def _firsts(jumps: np.ndarray) -> list[int] | None:
    """Where runs begin, given which steps (frames - 1,) are jumps; None where there are too many."""
    places = np.flatnonzero(jumps) + 1
    few = len(places) < MOST_RUNS and len(places) <= max(len(jumps) // FRAMES_A_RUN, 4)
    return [0, *places.tolist()] if few else None


def _longest(firsts: list[int], frames: int) -> tuple[int, int]:
    """Beginning and end of the longest run."""
    return max(zip(firsts, [*firsts[1:], frames], strict=True), key=lambda ends: ends[1] - ends[0])


def _stepped(numbers: np.ndarray) -> Found | None:
    """A line of whole steps; where these keep changing, of the mean step and its fraction."""
    steps = np.diff(numbers)
    usual = int(_middle(steps))
    if abs(usual) > MOST_STEP // 4:
        return None
    runs, fraction = _even_runs(numbers, steps), 0
    if runs is None:
        away = np.abs(steps - usual)
        usually = int(np.partition(away, len(away) * 9 // 10)[len(away) * 9 // 10])
        firsts = _firsts(away > 4 * usually + 4)
        if firsts is None:
            return None
        begin, end = _longest(firsts, len(numbers))
        count = max(end - begin - 1, 1)
        step, rest = divmod(int(numbers[end - 1]) - int(numbers[begin]), count)
        fraction = min((rest * ONE + count // 2) // count, ONE - 1)
        runs = [Run(first, int(numbers[first]), step) for first in firsts]
    line = Line(tuple(runs), STEPS, fraction)
    return Found(line, numbers - line.numbers(len(numbers), numbers.dtype))


def _even_runs(numbers: np.ndarray, steps: np.ndarray) -> list[Run] | None:
    """Runs, each of equal steps; None where there would be too many, or a step too large."""
    changes = np.flatnonzero(steps[1:] != steps[:-1]) + 1  # steps that differ from those before them
    if len(changes) > 2 * max(len(steps) // FRAMES_A_RUN, 8):
        return None
    runs: list[Run] = []
    first = 0
    for end in [*changes.tolist(), len(steps)]:
        if end <= first:  # the step after a jump differs from the jump
            continue
        step = int(steps[first])
        if abs(step) > MOST_STEP // 4 or len(runs) == MOST_RUNS:
            return None
        runs.append(Run(first, int(numbers[first]), step))
        first = end + 1
    if first < len(numbers):  # a last frame after a jump
        runs.append(Run(first, int(numbers[first]), runs[-1].step if runs else 0))
    return runs if len(runs) <= MOST_RUNS else None


def _scaled(values: np.ndarray) -> Found | None:
    """A line of counts times or over a scale: the one that the fewest values are off, and by little."""
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        return None
    steps = np.diff(wide)
    usual = float(_middle(steps))
    firsts = _firsts(np.abs(steps - usual) > abs(usual) / 2)
    if firsts is None:
        return None
    begin, end = _longest(firsts, len(values))
    if end - begin < GLANCE:
        return None
    best = None
    for line in _candidates(wide[begin:end], values.dtype):
        found = _off(line, values[begin:end])
        if best is None or _farthest(found) < _farthest(best):
            best = found
        if found.exact:
            break
    if best is None:
        return None
    runs = []
    for first, last in zip(firsts, [*firsts[1:], len(values)], strict=True):
        lines = [replace(best.line, runs=(run,)) for run in _starts(best.line, float(wide[first]))]
        run = min((_off(line, values[first:last]) for line in lines), key=_farthest).line.runs[0]
        runs.append(run._replace(first=first))
    return _off(replace(best.line, runs=tuple(runs)), values)


def _off(line: Line, values: np.ndarray) -> Found:
    return Found(line, to_numbers(values) - line.numbers(len(values), values.dtype))


def _candidates(values: np.ndarray, dtype: np.dtype) -> Iterator[Line]:
    """Lines near values (float64) of one run, the likeliest first."""
    step = float((values[-1] - values[0]) / (len(values) - 1))
    blur = 2 * float(np.spacing(np.abs(values).max().astype(dtype))) / (len(values) - 1)
    if not step or not np.isfinite([step, 1 / step]).all() or blur >= abs(step) / 2:
        return
    rates = [float(np.rint(1 / step)), *shortest(*sorted((1 / (step - blur), 1 / (step + blur)))), 1 / step]
    near = (step + k * float(np.spacing(step)) for k in (0, -1, 1, -2, 2))
    periods = [*shortest(step - blur, step + blur), *(1 / rate for rate in rates[:-1] if rate), *near]
    scales = [*((QUOTIENT, rate) for rate in rates), *((PRODUCT, period) for period in periods)]
    for form, scale in scales:
        if scale and np.isfinite(scale):
            line = Line((), form, scale=scale)
            yield from (replace(line, runs=(run,)) for run in _starts(line, float(values[0])))


def _starts(line: Line, value: float) -> Iterator[Run]:
    """Runs of a line that begin at about this value: with a count, and with an offset."""
    with np.errstate(all="ignore"):
        count = float(np.rint(value * line.scale if line.form == QUOTIENT else value / line.scale))
    if abs(count) < 1 << 53:
        yield Run(0, int(count))
    yield Run(0, 0, offset=value)
