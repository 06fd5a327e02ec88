"""From a recording to the calibration that pays: samples spread over it, a shipped calibration, widths of its own.

Nothing is kept that does not save much more than it takes, on samples that it was not learnt from.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np

from spikey.codec.encode import encode_smallest
from spikey.codec.interpolated.engine import found_in
from spikey.codec.method import Method
from spikey.codec.recognition import NAMED, recognise, unchanged
from spikey.codec.registry import PREDICTORS
from spikey.codec.wide.engine import NARROW_LANES, WIDE_LANES
from spikey.codec.wide.estimate import NO_PRIOR, estimate
from spikey.codec.wide.fit import MARGIN
from spikey.codec.wide.grids import Grid, find_grid
from spikey.coding.packed_bytes import pack_bytes
from spikey.model.calibration import Calibration
from spikey.recording.layout import Layout
from spikey.recording.readable import Readable

ENOUGH = 512  # frames of a lane that pay for wide ones
SHORTEST = 256  # frames of a lane, where a recording is long
FEWEST_SAMPLES = 1 << 16  # of a recording whose own widths may pay
FEWEST_FRAMES = NARROW_LANES * (MARGIN + 24)
MOST_SAMPLES = 3 << 19  # that are looked at
LONG, SHARE = 60.0, 256  # seconds from which fewer are looked at: one in so many
LEAST_SAMPLES = 1 << 18  # but not fewer than that
MOST_FLOATS = 1 << 18
MOST_CHANNELS = 1024
CHANNELS, LOOKED = 8, 1 << 15  # channels and frames that usual correlations are taken from
TRIED = 1 << 18  # samples that slow methods are tried on
SAFETY = 2  # times its own bits that a calibration must save


class Samples(NamedTuple):
    """Samples (frames, channels) from all over a recording, as many stretches as lanes.

    channels: their places in the recording.
    """

    samples: np.ndarray
    lanes: int
    channels: np.ndarray


def read_samples(source: Readable) -> Samples | None:
    """Samples spread over a recording; None where there is none."""
    layout, frames = source.layout, source.frames
    total = frames * layout.channels
    if not total:
        return None
    wanted = min(total, MOST_SAMPLES if layout.memory_dtype.kind != "f" else MOST_FLOATS)
    if layout.rate and frames >= LONG * layout.rate:
        wanted = min(wanted, max(total // SHARE, LEAST_SAMPLES))
    channels = np.arange(0, layout.channels, -(-layout.channels // MOST_CHANNELS))
    each_lane = wanted // len(channels) // WIDE_LANES
    lanes = WIDE_LANES if each_lane >= ENOUGH else NARROW_LANES
    each = max(wanted // len(channels) // lanes, SHORTEST)
    if each * lanes >= frames:
        samples = source.read(0, frames)
        lanes = WIDE_LANES if frames >= WIDE_LANES * ENOUGH else NARROW_LANES
    else:
        starts = [(frames - each) * lane // (lanes - 1) for lane in range(lanes)]
        samples = np.concatenate([source.read(start, each) for start in starts])
    found = Samples(samples if len(channels) == layout.channels else samples[:, channels], lanes, channels)
    return _sampled(found)


def _sampled(found: Samples) -> Samples:
    """The samples without those that a device interpolated, which no converter gave; all of them where none are."""
    each = len(found.samples) // found.lanes
    if found_in(found.samples[:each]) is None:
        return found
    stretches, usable = [], []
    for lane in range(found.lanes):
        stretch = found.samples[lane * each : (lane + 1) * each]
        one = found_in(stretch)
        if one is not None:
            stretches.append(stretch[one.pattern.sampled])
            usable.append(one.channels)
    channels = reduce(np.intersect1d, usable)
    lanes = WIDE_LANES if len(stretches) == WIDE_LANES else NARROW_LANES
    if len(stretches) < lanes or not len(channels):
        return found
    shortest = min(map(len, stretches))
    samples = np.concatenate([stretch[:shortest, channels] for stretch in stretches[:lanes]])
    return Samples(samples, lanes, found.channels[channels])


def find_calibration(found: Samples, total: int, method: Method) -> Calibration | None:
    """The calibration that pays for a recording of `total` samples; None where even widths do.

    A shipped one is given back as it is.
    """
    calibration = _likeliest(found, total, prior=method.predictor != "wide")
    return calibration if calibration is not None and _pays(found, total, method, calibration) else None


def _pays(found: Samples, total: int, method: Method, calibration: Calibration) -> bool:
    """Whether blocks of the samples are as much smaller with a calibration as it takes, several times."""
    if PREDICTORS[method.predictor].companions:
        method = replace(method, predictor="balanced")  # which gains as much by a calibration, and is fast
    tried = found.samples
    if method.predictor != "wide":
        tried = tried[: max(TRIED // tried.shape[1], 2)]
    layout = Layout(tried.shape[1], 0, str(tried.dtype))
    plain, calibrated = (encode_smallest([tried], [layout], method, one)[0] for one in (None, calibration))
    saved = len(plain.payload) - len(calibrated.payload)
    return 8 * saved * total > SAFETY * tried.size * (bits_of(calibration) if calibration.compact else NAMED)


def _likeliest(found: Samples, total: int, prior: bool) -> Calibration | None:
    """The calibration that explains the samples best; prior: whether signals' usual correlations are wanted too."""
    grid = find_grid(found.samples, found.lanes, found.channels)
    if grid is None:
        return None
    usable = total * len(grid.channels) // len(found.channels)
    base, shift, gain = recognise(grid)
    gain *= usable / grid.codes.size
    if gain < NAMED:
        base, shift = None, 0
    if total >= FEWEST_SAMPLES and len(grid.codes) >= FEWEST_FRAMES:
        own = estimate([grid], usable, base, shift, prior_of(grid) if prior else NO_PRIOR)
        if own is not None and own.saved * usable > SAFETY * bits_of(own.calibration):
            return own.calibration
    if base is None or not shift:
        return base
    moved = unchanged(base, shift)
    return moved if gain > SAFETY * bits_of(moved) else None


def bits_of(calibration: Calibration) -> int:
    """Bits that a calibration takes that a file contains."""
    return 8 * len(pack_bytes(calibration.to_bytes(), 1))


def prior_of(grid: Grid) -> np.ndarray:
    """The usual correlations of the channels' signals, for the adaptive engines."""
    from spikey.codec.code_widths import estimate_prior

    channels = [np.ascontiguousarray(column) for column in grid.codes[:LOOKED, :CHANNELS].T]
    return estimate_prior(channels, grid.levels.alphabet)
