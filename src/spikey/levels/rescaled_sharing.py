"""Rescaled levels of several channels with as much in common as they can have: fraction, alphabet, zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spikey.levels.rescaled import MOST_CODES, Rescaled
from spikey.levels.rescaled_search import Fraction, through

MOST_FRACTIONS = 4


def unite(found: Sequence[Rescaled], used: Sequence[np.ndarray]) -> list[tuple[Rescaled, int]]:
    """Levels for each channel, and what to add to its codes; used: the codes that occur, ascending from 0.

    >>> one, other = Rescaled(26, 625, 40, offset=5), Rescaled(26, 625, 50, offset=53, phase=2)
    >>> [(levels.alphabet, levels.offset, add) for levels, add in unite([one, other], [np.arange(40), np.arange(50)])]
    [(52, 5, 0), (52, 5, 2)]
    """
    alike = _of_common_fractions(found, used)
    kinds: dict[tuple[int, int, bool], list[int]] = {}
    for index, one in enumerate(alike):
        kinds.setdefault((one.denominator, one.numerator, one.zero > 0), []).append(index)
    out = [(one, 0) for one in alike]
    for (_, numerator, truncated), members in kinds.items():
        if truncated:
            last = max(alike[i].zero for i in members)
            adds = [last - alike[i].zero for i in members]
        else:
            first = min(_start(alike[i]) for i in members)
            adds = [(_start(alike[i]) - first) // numerator for i in members]
        alphabet = max(alike[i].alphabet + add for i, add in zip(members, adds, strict=True))
        if alphabet > MOST_CODES:
            continue
        for i, add in zip(members, adds, strict=True):
            out[i] = replace(_moved(alike[i], add), alphabet=alphabet), add
    return out


def _of_common_fractions(found: Sequence[Rescaled], used: Sequence[np.ndarray]) -> list[Rescaled]:
    """The same levels with the most frequent fractions that are possible."""
    out, left = list(found), list(range(len(found)))
    fractions = Counter(Fraction(one.numerator, one.denominator) for one in found)
    for fraction, _ in fractions.most_common(MOST_FRACTIONS):
        others = []
        for i in left:
            one = found[i]
            if Fraction(one.numerator, one.denominator) == fraction:
                continue
            better = through(one.values(used[i]), used[i], fraction)
            if better is None:
                others.append(i)
            else:
                out[i] = better
        left = others
    return out


def _start(levels: Rescaled) -> int:
    return levels.denominator * levels.offset + levels.phase


def _moved(levels: Rescaled, add: int) -> Rescaled:
    """The levels of codes to which something was added."""
    if levels.zero:
        return replace(levels, zero=levels.zero + add)
    offset, phase = divmod(_start(levels) - levels.numerator * add, levels.denominator)
    return replace(levels, phase=phase, offset=offset)
