"""Which recordings are coded with the samples of which others: the order of each group, and each one's companions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikey.recording.simultaneous import FRAMES, Family, Opener, correlations, families, least
from spikey.recording.wav import open_wav

MOST_COMPANIONS = 4  # channels of other recordings that one is coded with
MOST_NEEDED = 32  # other recordings that have to be decoded for one, its companions' companions included
COMPARED = 32  # channels of a recording that are compared within its group
EQUAL = 0.9999  # correlation from which on two recordings are compared sample by sample
STRETCH = 1 << 20  # samples of that


class Companion(NamedTuple):
    """A channel of another recording, by the file's place among all, and its correlation with the recording."""

    place: int
    channel: int
    correlation: float


class Planned(NamedTuple):
    """One recording of a group, by the file's place among all, and its companions, all of which come before it.

    copy: its samples are those of its only companion, all channels.
    """

    place: int
    companions: tuple[Companion, ...] = ()
    copy: bool = False


def plan(paths: Sequence[Path], opened: Opener = open_wav, found: list[Family] | None = None) -> list[list[Planned]]:
    """The files in groups of simultaneous recordings, each in coding order.

    A recording has up to four companions: the channels before it that correlate most, in magnitude, with any of its
    own; so many that at most 32 recordings are needed for it. One that holds another's samples is a copy of it. Floats
    are never companions and have none. found: `families` of the files, where they are known. Raises DataError, naming
    the file, for one that cannot be read.
    """
    planned = []
    for family in families(paths, opened) if found is None else found:
        if len(family.members) == 1:
            planned.append([Planned(family.members[0])])
            continue
        copies = _copies([paths[index] for index in family.members], family.correlations, opened)
        places = [place for place in range(len(family.members)) if place not in copies]
        group = _ordered([paths[family.members[place]] for place in places], opened)
        ordered = [
            Planned(
                family.members[places[one.place]],
                tuple(c._replace(place=family.members[places[c.place]]) for c in one.companions),
            )
            for one in group
        ]
        ordered += [
            Planned(family.members[place], (Companion(family.members[original], 0, 1.0),), copy=True)
            for place, original in copies.items()
        ]
        planned.append(ordered)
    return planned


def _copies(paths: list[Path], values: np.ndarray, opened: Opener) -> dict[int, int]:
    """Places whose samples and type are those of an earlier place, with that place."""
    found: dict[int, int] = {}
    for other in range(1, len(paths)):
        for one in np.flatnonzero(values[other, :other] > EQUAL).tolist():
            if one not in found and _same(paths[one], paths[other], opened):
                found[other] = one
                break
    return found


def _same(one: Path, other: Path, opened: Opener) -> bool:
    """Whether two recordings of one length hold the same samples in the same type, bit for bit."""
    with opened(one) as first, opened(other) as second:
        if first.layout != second.layout:
            return False
        step = max(STRETCH // first.layout.channels, 1)
        for at in range(0, first.frames, step):
            count = min(step, first.frames - at)
            if first.read(at, count).tobytes() != second.read(at, count).tobytes():
                return False
    return True


def _ordered(paths: list[Path], opened: Opener) -> list[Planned]:
    """Recordings of one group, as places in `paths`, in the order to code them; each with its companions."""
    channels, floats = [], set()
    frames = 0
    for place, path in enumerate(paths):
        with opened(path) as source:
            count, frames = source.layout.channels, source.frames
            channels.append(np.unique(np.linspace(0, count - 1, COMPARED).astype(int)).tolist())
            if source.layout.memory_dtype.kind == "f":
                floats.add(place)
    rows = [(place, channel) for place, columns in enumerate(channels) for channel in columns]
    values = correlations(paths, min(frames, FRAMES), opened, channels)
    owner = np.array([place for place, _ in rows])
    table = np.zeros((len(paths), len(rows)))  # of each recording with each channel: the one largest in magnitude
    for place in range(len(paths)):
        own = values[owner == place]
        table[place] = own[np.abs(own).argmax(axis=0), np.arange(len(rows))]
    table[np.abs(table) <= least(frames)] = 0
    for place in floats:
        table[place] = table[:, owner == place] = 0
    strength = np.zeros((len(paths), len(paths)))
    for place in range(len(paths)):
        strength[:, place] = np.abs(table[:, owner == place]).max(axis=1)
    np.fill_diagonal(strength, 0)
    needed: list[set[int]] = [set() for _ in paths]
    out: list[Planned] = []
    for place in _sequence(strength):
        before = {one.place for one in out}
        companions: list[Companion] = []
        for column in np.argsort(-np.abs(table[place]), kind="stable").tolist():
            other, channel = rows[column]
            if len(companions) == MOST_COMPANIONS or table[place, column] == 0:
                break
            joint = needed[place] | needed[other] | {other}
            if other in before and len(joint) <= MOST_NEEDED:
                needed[place] = joint
                companions.append(Companion(other, channel, float(table[place, column])))
        out.append(Planned(place, tuple(companions)))
    return out


def _sequence(strength: np.ndarray) -> Iterator[int]:
    """Places in order: the one tied most to all others, then always the one tied most to any of those before it."""
    left = list(range(len(strength)))
    best = strength.sum(axis=1)  # of the first; then of each to those before it
    started = False
    while left:
        place = max(left, key=lambda each: (best[each], -each))
        left.remove(place)
        best = np.maximum(best, strength[place]) if started else strength[place].copy()
        started = True
        yield place
