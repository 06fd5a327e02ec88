"""Intan's traditional format: one `.rhd` or `.rhs` with a header, then blocks of 60 or 128 frames of all signals.

In a block, each signal's samples follow each other. Signals of lower rates, and timestamps, are no columns.
"""

from __future__ import annotations

from pathlib import Path

from spikey.base.errors import DataError
from spikey.recording.sample_map import Mapped, MappedFile, Part, Rest, Run, Samples, joined, rest
from spikey.vendors.bounded import Bounded
from spikey.vendors.intan_header import (
    AMPLIFIER,
    AUXILIARY,
    DIGITAL_IN,
    DIGITAL_OUT,
    IN,
    OUT,
    SUPPLY,
    Header,
    read_header,
)
from spikey.vendors.parsed import EMPTY, layout_of, leftover, mapped

READER = "intan"


def parse_single(path: Path) -> Mapped:
    """The recording of a `.rhd` or `.rhs` that contains its samples."""
    with Bounded(path) as file:
        header = read_header(file)
        size = file.size
    parts, columns = _block(header)
    if not columns:
        raise DataError("contains no signal at the full sampling rate")
    run = Run(1, parts)
    blocks, left = divmod(max(size - header.size, 0), run.record_bytes(2))
    if not blocks:
        raise DataError(EMPTY)
    runs = joined([rest(header.size), Run(blocks, parts), rest(left)])
    notes = leftover(left, "of an incomplete block of data")
    return mapped(READER, layout_of(columns, header.rate, "uint16"), [MappedFile(path, runs)], notes=notes)


def _block(header: Header) -> tuple[tuple[Part, ...], int]:
    """The parts of a block, and how many columns it has."""
    count, block = header.channels.get, header.block
    amplifiers = count(AMPLIFIER, 0)
    board = count(IN, 0) + count(OUT, 0)
    board += min(count(DIGITAL_IN, 0), 1) + min(count(DIGITAL_OUT, 0), 1)  # one word each for all digital lines
    parts: list[Part] = [Rest(4 * block)]  # timestamps
    if header.stim:
        columns = amplifiers * (3 if header.dc else 2) + board  # with amplifiers at a lower gain, and stimulation
        parts += [Samples(block, 0, columns, planar=True)] if columns else []
        return tuple(parts), columns
    parts += [Samples(block, 0, amplifiers, planar=True)] if amplifiers else []
    parts += [Rest(block // 4 * 2)] * count(AUXILIARY, 0)
    parts += [Rest(2)] * (count(SUPPLY, 0) + header.temperatures)
    parts += [Samples(block, amplifiers, board, planar=True)] if board else []
    return tuple(parts), amplifiers + board
