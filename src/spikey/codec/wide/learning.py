"""Code widths as they are learnt: a census with the widths of now, better ones from its counts, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from spikey.codec.wide.census import Counts, Sample, take_census
from spikey.codec.wide.converters import by_converter
from spikey.codec.wide.describe import Described
from spikey.codec.wide.fit import MARGIN
from spikey.codec.wide.grids import Grid
from spikey.codec.wide.order import groups_of
from spikey.codec.wide.tables import Tables, join, make_table
from spikey.codec.wide.widths import differences_of, edges_from, strength_of, updated
from spikey.model.compact import differing
from spikey.model.fixed_point import UNIT

FITTED, LEAST_FITTED = 2048, 512  # frames by which weights are chosen, at most; and at least where channels are many
ALL_FITTED = 1 << 18  # samples of all channels
STRETCHES = 8
MOST_COUNTED = 1 << 21  # codes of all classes
TOGETHER = 32  # channels that are counted together where there are too many codes


class Learning:
    """Widths of all converters float64 (converters, codes), in LSB, learnt from recordings of one device.

    common: what the converters have in common. usual int64 (codes,), 1/64 LSB: what widths are taken to be where
    samples are few. channels, classes: places of channels, and which of the counts are theirs.
    """

    def __init__(self, grids: Sequence[Grid], usual: np.ndarray):
        self.levels = grids[0].levels
        self.usual = usual
        self.common = usual / UNIT
        self.widths = self.before = self.common[None]
        self.channels = np.unique(np.concatenate([grid.channels for grid in grids]))
        self.classes = _classes(self.channels, self.levels.alphabet)
        self.converters = np.zeros(len(self.channels), np.int64)
        self.of_class = np.zeros(int(self.classes.max()) + 1, np.int64)
        self.places = [np.searchsorted(self.channels, grid.channels) for grid in grids]
        self.samples = [sample_of(grid, self.classes[places]) for grid, places in zip(grids, self.places, strict=True)]
        self.seen = sum((np.bincount(grid.codes.ravel(), minlength=len(usual)) for grid in grids), np.zeros(len(usual)))

    def count(self) -> Counts:
        """Count the samples with the widths as they are."""
        table = join([make_table(edges_from(widths, self.seen)) for widths in self.widths])
        assert isinstance(table, Tables)
        found = []
        for sample, places in zip(self.samples, self.places, strict=True):
            described = sample.described
            described.descriptions = [(self.levels, converter + 1) for converter in range(len(self.widths))]
            described.levels = self.converters[places]
            found.append(take_census(sample, table, len(self.of_class), self.levels.alphabet))
        return reduce(lambda one, other: Counts(*(a + b for a, b in zip(one, other, strict=True))), found)

    def assign(self, converters: np.ndarray) -> None:
        """Let channels have these converters, which begin with what they have in common."""
        self.converters = converters
        self.of_class[self.classes] = converters
        self.widths = np.repeat(self.common[None], int(converters.max()) + 1, axis=0)

    def learn(self, observed: np.ndarray, expected: np.ndarray) -> None:
        """Better widths from counts (classes, codes)."""
        observed, expected = by_converter(observed, self.of_class), by_converter(expected, self.of_class)
        per_lsb = expected / self.widths
        self.before = self.widths
        usual = self.usual / UNIT
        self.common = updated(self.common, usual, observed.sum(axis=0), per_lsb.sum(axis=0) * self.common)
        if len(self.widths) == 1:
            self.widths = self.common[None]
            return
        strength = strength_of(observed, per_lsb * self.common)
        every = zip(self.widths, observed, expected, strict=True)
        self.widths = np.stack([updated(own, self.common, seen, likely, strength) for own, seen, likely in every])

    def differences(self, counts: Counts, factor: float) -> tuple[list[np.ndarray], list[int]]:
        """What `make_compact` takes: differences from the usual widths, and first edges.

        counts: what the widths were learnt from. factor: the recording has so many times as many samples.
        """
        observed = by_converter(counts.observed.sum(axis=0), self.of_class)
        per_lsb = by_converter(counts.expected.sum(axis=0), self.of_class) / self.before
        rows = [differences_of(self.common, self.usual, observed.sum(axis=0), per_lsb.sum(axis=0), factor)]
        common = differing(self.usual, rows[0])
        tables = [common]
        if len(self.widths) > 1:
            every = zip(self.widths, observed, per_lsb, strict=True)
            rows += [differences_of(own, common, seen, likely, factor) for own, seen, likely in every]
            tables = [differing(common, row) for row in rows[1:]]
        return rows, [int(np.rint(edges_from(table / UNIT, self.seen)[0] * UNIT)) for table in tables]


def sample_of(grid: Grid, classes: np.ndarray) -> Sample:
    """A grid's codes for a census, with weights from some of the lanes."""
    frames, count = grid.codes.shape
    zeros, ones = np.zeros(count, np.int64), np.ones(count, np.int64)
    described = Described(grid.codes, zeros, ones, zeros, [(grid.levels, 1)], {}, True, np.zeros(count, bool))
    each = frames // grid.lanes
    many = min(grid.lanes, STRETCHES)
    fitted = min(max(ALL_FITTED // count, LEAST_FITTED), FITTED)
    length = max(min(each - MARGIN - 2, fitted // many) // 8 * 8, 8)
    starts = np.arange(many, dtype=np.int64) * (grid.lanes // many) * each + MARGIN
    return Sample(described, groups_of(grid.codes), grid.lanes, (starts, length), classes)


def _classes(channels: np.ndarray, alphabet: int) -> np.ndarray:
    """Which channels are counted together."""
    if len(channels) * alphabet <= MOST_COUNTED:
        return np.arange(len(channels))
    blocks = np.unique(channels // TOGETHER, return_inverse=True)[1]
    return blocks if (blocks.max() + 1) * alphabet <= MOST_COUNTED else np.zeros(len(channels), np.int64)
