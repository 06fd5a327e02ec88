"""Estimates code widths from samples of recordings, by expectation-maximisation on the wide engine's own model.

Samples are counted, each code's width is multiplied by how much more often it occurred than was expected, positions are
computed again, and so on. Every other lane only judges: what is learnt without them must save bits there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spikey.codec.wide.converters import best_wiring, promising
from spikey.codec.wide.grids import Grid
from spikey.codec.wide.learning import Learning
from spikey.model.calibration import Calibration
from spikey.model.compact import make_compact

ROUNDS, MOST_ROUNDS = 3, 6
SETTLED = 0.004  # bits a sample that another round would have to save
NO_PRIOR = np.zeros(1, np.int32)


@dataclass(frozen=True)
class Round:
    """What one round found with the widths it started from: the model's ideal code length, in bits a sample, of the
    samples that no widths are learnt from before the last round.
    """

    number: int
    rounds: int
    bits_per_sample: float


@dataclass(frozen=True)
class Estimate:
    """Widths that were learnt; bits a sample, of samples that had no part in them, with the usual ones, and saved."""

    calibration: Calibration
    plain: float
    saved: float


def estimate(
    grids: Sequence[Grid],
    total: int,
    base: Calibration | None = None,
    shift: int = 0,
    prior: np.ndarray = NO_PRIOR,
    rounds: int = ROUNDS,
    unsure: bool = False,
    single: bool = False,
    progress: Callable[[Round], None] | None = None,
) -> Estimate | None:
    """Learn widths from the codes of recordings in which these channels have `total` samples.

    They stay near those of the base, or even ones, where samples are few. shift: what was added to the values that the
    base is for. unsure: widths are wanted even where they do not promise to save anything; None otherwise. single:
    whether all channels are to have one table.
    """
    usual = grids[0].usual(base, shift)
    assert usual is not None
    learning = Learning(grids, usual)
    half = max(2 * total / sum(grid.codes.size for grid in grids), 1.0)
    counts = learning.count()
    plain = bits = float(counts.bits[1])
    if not unsure and not promising(learning.channels, learning.classes, counts, half):
        return None
    for number in range(1, max(rounds, MOST_ROUNDS)):
        if progress is not None:
            progress(Round(number, rounds + 1, bits))
        if number == 2 and not single:
            learning.assign(best_wiring(learning.channels, learning.classes, counts, half))
        learning.learn(counts.observed[0], counts.expected[0])
        counts = learning.count()
        before, bits = bits, float(counts.bits[1])
        if number >= rounds and before - bits < SETTLED:
            break
    learning.learn(counts.observed.sum(axis=0), counts.expected.sum(axis=0))
    rows, firsts = learning.differences(counts, half / 2)
    offset, step = (0, 0) if grids[0].of_n1 else (learning.levels.offset, learning.levels.step)
    return Estimate(make_compact(rows, firsts, offset, step, base, shift, prior), plain, plain - bits)
