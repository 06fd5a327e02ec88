"""Filters in fixed point, and how they are fitted: least squares without outliers, then the rounding that fits best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spikey.codec.interpolated import kernels
from spikey.codec.interpolated.kernels import AWAY, EVEN, FLOOR
from spikey.codec.interpolated.pattern import Pattern

MOST_SIDE = 32  # taps on a side
SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32)
MOST_BITS = 40
BITS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 28)
ROUNDS = 6
NEAR = 1.0  # errors beyond this are no rounding
FITTED, TRIED = 1 << 17, 1 << 16  # samples by which filters are fitted and compared
WRONG = 8  # bits that a wrong prediction costs, about
TAP = 16  # bits that another tap costs


@dataclass(frozen=True)
class Filter:
    """Taps int64 (filters, 2 K), in units of 2^-bits, from the farthest sampled frame before to the farthest behind.

    bias: added to the sum before the bits are dropped, by `rule`. low, high: what predictions are clipped to.
    """

    taps: np.ndarray
    bits: int
    bias: int
    rule: int
    low: int = 0
    high: int = 0

    @property
    def side(self) -> int:
        """Taps on a side."""
        return self.taps.shape[1] // 2

    @property
    def symmetric(self) -> bool:
        """Whether later frames count as earlier ones do."""
        return bool((self.taps == self.taps[::-1, ::-1]).all())

    def predict(self, sampled: np.ndarray, pattern: Pattern) -> np.ndarray:
        """The frames between sampled ones, int64."""
        out = np.empty(len(pattern.others), np.int64)
        kernels.predict(
            extended(sampled, self.side), pattern.places, pattern.which, self.taps, self.bits, self.bias, self.rule,
            self.low, self.high, out,
        )  # fmt: skip
        return out


def extended(sampled: np.ndarray, side: int) -> np.ndarray:
    """Sampled frames with the first and the last one repeated."""
    return np.pad(sampled, side, mode="edge")


def most_weight(dtype: np.dtype) -> int:
    """The largest sum of a filter's magnitudes with which sums of products of such samples cannot overflow."""
    return 1 << (60 - 8 * min(dtype.itemsize, 4))


class Rows:
    """What filters of `side` taps on a side predict of some channels, int64 (frames,) each, or some frames of it.

    cut: whether frames seem rounded toward zero, so that they were farther from it on average.
    """

    def __init__(
        self,
        columns: Sequence[np.ndarray],
        pattern: Pattern,
        side: int,
        some: np.ndarray | None = None,
        cut: bool = False,
    ):
        self.pattern, self.side = pattern, side
        picked = slice(None) if some is None else some
        self.places, self.which = pattern.places[picked], pattern.which[picked]
        self.whole = [column[pattern.sampled] for column in columns]
        self.sampled = [extended(column, side).astype(np.float64) for column in self.whole]
        self.targets = [column[pattern.others[picked]] for column in columns]
        self.wide = [targets + np.sign(targets) * (cut / 2) for targets in self.targets]

    def errors(self, taps: np.ndarray) -> list[np.ndarray]:
        """What filters float64 leave, of each channel."""
        out = [np.empty(len(self.places)) for _ in self.wide]
        for sampled, wide, into in zip(self.sampled, self.wide, out, strict=True):
            kernels.errors(sampled, self.places, self.which, wide, taps, into)
        return out

    def fit(self, taps: np.ndarray | None = None, rounds: int = ROUNDS) -> np.ndarray | None:
        """Filters float64 (filters, 2 K + 1), the last tap being a constant: least squares, again and again without
        what is far off; None where there are too few frames.
        """
        count, size, farthest = self.pattern.factor - 1, 2 * self.side + 1, np.inf
        if taps is None:
            taps = np.zeros((count, size))
        else:
            rounds, farthest = 1, NEAR
        for _ in range(rounds):
            self.squares, self.products = np.zeros((count, size, size)), np.zeros((count, size))
            self.energy, self.rows = np.zeros(count), np.zeros(count, np.int64)
            for sampled, wide in zip(self.sampled, self.wide, strict=True):
                kernels.accumulate(
                    sampled, self.places, self.which, wide, farthest, taps, self.squares, self.products, self.energy,
                    self.rows,
                )  # fmt: skip
            taps = np.zeros((count, size))
            if (self.rows <= size).any() or not all(
                kernels.solved(self.squares[d], self.products[d], taps[d]) for d in range(count)
            ):
                return None
            if farthest == NEAR:
                break
            typical = max(float(np.median(np.abs(errors))) for errors in self.errors(taps))
            farthest = max(4 * typical, NEAR)
        return taps

    def shorter(self, side: int) -> np.ndarray:
        """The filters of fewer taps that the last fit's sums give."""
        kept = self._kept(side)
        taps = np.zeros((len(self.squares), len(kept)))
        for d, out in enumerate(taps):
            kernels.solved(np.ascontiguousarray(self.squares[d][np.ix_(kept, kept)]), self.products[d][kept], out)
        return taps

    def symmetric(self, side: int) -> np.ndarray:
        """Those that are the same forward and backward."""
        kept = self._kept(side)
        turned = np.concatenate([kept[:-1][::-1], kept[-1:]])
        taps = np.zeros((len(self.squares), len(kept)))
        for d, out in enumerate(taps):
            other = len(taps) - 1 - d
            squares = self.squares[d][np.ix_(kept, kept)] + self.squares[other][np.ix_(turned, turned)]
            kernels.solved(squares, self.products[d][kept] + self.products[other][turned], out)
        return taps

    def _kept(self, side: int) -> np.ndarray:
        return np.append(np.arange(self.side - side, self.side + side), 2 * self.side)

    def best_side(self) -> int:
        """The number of taps on a side by which the last fit's errors are described in the fewest bits."""
        rows, lengths = int(self.rows.sum()), {}
        for side in SIDES:
            if side > self.side:
                break
            kept, taps, total = self._kept(side), self.shorter(side), 0.0
            for d, row in enumerate(taps):
                squares = self.squares[d][np.ix_(kept, kept)]
                total += self.energy[d] - 2 * float((row * self.products[d][kept]).sum())
                total += float((row[:, None] * squares * row).sum())
            lengths[side] = rows / 2 * np.log2(max(total / rows, 1e-3)) + 2 * side * len(taps) * TAP
        return min(lengths, key=lambda side: lengths[side])


def quantised(fits: Sequence[np.ndarray], rows: Rows, weight: int, total: int) -> tuple[Filter, float] | None:
    """The best of some fits, in as few bits and with that rounding which is right most often of some channels, and the
    share of predictions that are wrong.

    weight: the largest sum of magnitudes. total: samples that it will be used for.
    """
    best, least, tried = None, np.inf, max(len(rows.targets) * len(rows.places), 1)
    for taps in fits:
        side = taps.shape[1] // 2
        sampled = [extended(column, side) for column in rows.whole]
        symmetric = np.allclose(taps[:, :-1], taps[::-1, -2::-1], rtol=0, atol=1e-9)
        for bits in BITS:
            whole = np.rint(taps[:, :-1] * 2.0**bits).astype(np.int64)
            if np.abs(whole).sum(axis=1).max() > weight:
                break
            half, constant = (1 << bits) >> 1, round(float(taps[:, -1].mean()) * 2**bits)
            sums = [np.empty(len(rows.places), np.int64) for _ in sampled]
            for one, out in zip(sampled, sums, strict=True):
                kernels.sums(one, rows.places, rows.which, whole, out)
            size = whole.size * (bits - 2) / (2 if symmetric else 1)
            for rule, bias in ((FLOOR, half), (AWAY, half), (EVEN, 0), (FLOOR, 0), (AWAY, 0), (FLOOR, half + constant)):
                right = sum(
                    kernels.exact(each, targets, bits, bias, rule)
                    for each, targets in zip(sums, rows.targets, strict=True)
                )
                wrong = 1 - right / tried
                length = wrong * total * WRONG + size
                if length < least:
                    least, best = length, (trimmed(Filter(whole, bits, bias, rule)), wrong)
    return best


def trimmed(found: Filter) -> Filter:
    """A filter without taps at both ends that are 0."""
    used = np.flatnonzero(found.taps.any(axis=0))
    side = max(found.side - used[0], used[-1] + 1 - found.side) if len(used) else 1
    return replace(found, taps=np.ascontiguousarray(found.taps[:, found.side - side : found.side + side]))
