"""Descriptions of levels in a block of the wide engine: each leaves out what it begins with as the one before does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spikey.base.errors import DataError
from spikey.base.wire import varint, zigzag
from spikey.codec.payload import Payload
from spikey.codec.wide.descriptions import CALIBRATED, REPEATED
from spikey.codec.wide.payload import parse, write
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.rescaled import Rescaled
from spikey.levels.table import Table

LINE = Rescaled(26, 625, 100, phase=3, offset=-700)
TABLE = Table(tuple(range(0, 400, 10)))


def written(descriptions: list[tuple[Levels, bool]]) -> bytes:
    described: Any = SimpleNamespace(descriptions=descriptions)
    return write(8, described, [np.arange(len(descriptions))], [b"the group"])


def read(data: bytes, count: int) -> list[tuple[Levels, bool]]:
    directory = parse(Payload(data, 1000, count, np.dtype(np.int16), "the block"))
    assert bytes(directory.data[slice(*directory.places[0])]) == b"the group"
    return directory.descriptions


def test_descriptions_come_back():
    descriptions: list[tuple[Levels, bool]] = [
        (LINE, False),
        (Rescaled(26, 625, 100, phase=4, offset=-700), False),
        (Rescaled(26, 625, 101, phase=4, offset=9), False),
        (N1Levels(), True),
        (N1Levels(), False),
        (TABLE, False),
        (Table((*TABLE.values, 500)), False),
        (Affine(100, -50, 3), False),
        (Affine(100, -50, 3, 2), False),
    ]
    assert read(written(descriptions), len(descriptions)) == descriptions


def test_only_what_differs_takes_bytes():
    other = Rescaled(26, 625, 100, phase=3, offset=-702)
    nothing = len(written([(LINE, False), (N1Levels(), False)]))
    assert len(written([(LINE, False), (other, False)])) - nothing == len(varint(zigzag(other.offset))) == 2


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (bytes([Affine.number | 1 << REPEATED]), b"", "than there is"),
        (bytes([N1Levels.number]), bytes([Affine.number | 1 << REPEATED, 0, 0, 5, 0]), "than there is"),
        (bytes([Affine.number]) + Affine(6).write(), bytes([N1Levels.number | 2 << REPEATED]), "than it needs"),
        (bytes([Affine.number]) + Affine(6).write(), bytes([Table.number | 15 << REPEATED]), "than there is"),
        (bytes([Table.number]) + TABLE.write(), bytes([Table.number | 15 << REPEATED]), "too early"),
        (bytes([6]), b"", "kind 6"),
        (bytes([5 | CALIBRATED]), b"\xff\xff\xff\x7f", "at most"),
    ],
)
def test_impossible_descriptions_are_refused(first, second, problem):
    start = written([(N1Levels(), False)])[:1]
    with pytest.raises(DataError, match=f"^the block: .*{problem}"):
        read(start + b"\1" + first + second, 2)
