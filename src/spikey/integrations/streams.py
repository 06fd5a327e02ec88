"""What SpikeInterface has of recordings that Spikey parses itself: names, gains and probes of their channels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from spikeinterface.core import BaseRecording

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.integrations.discovery import Unit
from spikey.integrations.flat_file import COMPARED, described
from spikey.integrations.part import Part, Stream
from spikey.integrations.readers import Opened, open_unit, silent

RATES = 1e-6  # by how much, relatively, two statements of one sampling rate may differ


def with_streams(parts: list[Part], unit: Unit) -> list[Part]:
    """The parts with the streams that SpikeInterface finds in them; with a note where it cannot read the recording.

    A stream is a part's where the reader reports that it reads that file, or where the samples at its ends are those of
    this part alone.
    """
    found = [_Found(part) for part in parts]
    why = ""
    for each in (unit, *unit.smaller):
        try:
            _, opened = open_unit(each, Path(os.path.abspath(each.place)))
        except (DataError, UsageError) as error:
            why = why or str(error)
            continue
        for block in opened:
            with silent():
                _assign(block, found)
        if each is unit:
            break
    lacking = f"channel names and gains are not stored, as SpikeInterface cannot read them ({why})" if why else ""
    return [each.part if each.part.described else _noted(each.part, lacking) for each in found]


@dataclass
class _Found:
    """A part, with the streams that were found to be in it so far."""

    part: Part

    def add(self, stream: Stream, block: int, segment: int) -> None:
        """Add a stream; the part is this block and segment of the recording."""
        self.part = replace(self.part, streams=(*self.part.streams, stream), block=block, segment=segment)


def _noted(part: Part, note: str) -> Part:
    return replace(part, notes=(*part.notes, *([note] if note else [])))


def _assign(opened: Opened, found: list[_Found]) -> None:
    """Find the parts that the streams of a block are in."""
    by_path = {os.path.realpath(each.part.paths[0]): each for each in found if len(each.part.paths) == 1}
    for name, recording in opened.streams.items():
        for segment in range(recording.get_num_segments()):
            place = _described(recording, segment)
            each = None if place is None else by_path.get(os.path.realpath(place[0]))
            if each is not None and place is not None:
                each.add(Stream(name, recording, place[1], segment), opened.block, segment)
            elif segment == 0 and place is None:
                hits = list(_hits(recording, found))
                if len(hits) == 1:
                    each, inside, columns = hits[0]
                    each.add(Stream(name, inside, columns), opened.block, each.part.segment)


def _described(recording: BaseRecording, segment: int) -> tuple[str, tuple[int, ...]] | None:
    """The flat file that a segment lies in, and its columns; None where that is not reported."""
    try:
        found = described(recording, segment)
    except Exception:  # each reader has its own kinds
        return None
    return None if found is None else (found.path, found.columns)


def _hits(recording: BaseRecording, found: list[_Found]) -> Iterator[tuple[_Found, BaseRecording, tuple[int, ...]]]:
    """The parts whose samples a recording has, with its columns; and the recording, or what of it is in the part."""
    frames = sum(recording.get_num_samples(segment) for segment in range(recording.get_num_segments()))
    last = recording.get_num_segments() - 1
    try:
        begin = recording.get_traces(0, 0, min(COMPARED, recording.get_num_samples(0)))
        end = recording.get_traces(last, max(recording.get_num_samples(last) - COMPARED, 0), None)
    except Exception:  # each reader has its own kinds
        return
    for each in found:
        rate = each.part.content.rate
        if abs(rate - recording.sampling_frequency) > RATES * rate:
            continue
        try:
            with each.part.content.open(each.part.name) as source:
                if source.frames < len(begin):
                    continue
                ours, theirs = source.read(0, len(begin)), begin
                if source.frames == frames:  # else some records are incomplete, which leaves samples out there
                    ours = np.vstack([ours, source.read(frames - len(end), len(end))])
                    theirs = np.vstack([begin, end])
        except SpikeyError:
            continue
        if (columns := columns_of(ours, theirs)) is not None:
            yield each, recording, columns
        elif (among := columns_of(theirs, ours)) is not None:
            chosen = recording.select_channels(recording.channel_ids[list(among)])
            yield each, chosen, tuple(range(len(among)))


def columns_of(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, ...] | None:
    """Which columns of one array are those of the other, where that is certain.

    >>> columns_of(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[2, 3], [5, 6]]))
    (1, 2)
    """
    count = theirs.shape[1]
    if not 0 < count <= ours.shape[1] or not len(theirs):
        return None
    beside = [at for at in range(ours.shape[1] - count + 1) if np.array_equal(ours[:, at : at + count], theirs)]
    if beside:
        return tuple(range(beside[0], beside[0] + count)) if len(beside) == 1 else None
    found = []
    for channel in range(count):
        same = np.flatnonzero((ours == theirs[:, channel : channel + 1]).all(axis=0))
        if len(same) != 1:
            return None
        found.append(int(same[0]))
    return tuple(found) if len(set(found)) == count else None
