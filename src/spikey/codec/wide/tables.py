"""Code widths for the kernels: of each description of levels the part of a converter's table that its codes have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1_CODES
from spikey.levels.scaled import Scaled
from spikey.model.calibration import LARGEST_ALPHABET, Calibration
from spikey.model.fixed_point import UNIT

if TYPE_CHECKING:
    from spikey.codec.payload import Lookup

Description = tuple[Levels | None, int]  # and the number of the converter, from 1, or 0; None for what is packed
MOST_TABLED = 1 << 22  # codes of all descriptions that have a table
BOUND = np.float32(1 << 22)  # beyond the outermost codes, which the rails fill


class Table(NamedTuple):
    """Edges and middles of a converter's codes float32, and the code at each quarter of one from edges[1] - 1 on."""

    edges: np.ndarray
    middles: np.ndarray
    located: np.ndarray


class Tables(NamedTuple):
    """Tables of all descriptions, one after another; of a description without one there is nothing.

    places int64 (descriptions, 4): where its edges and middles begin, its codes, and where its located codes begin and
    how many they are. Each table has a place more in `middles` than it has codes.
    """

    edges: np.ndarray
    middles: np.ndarray
    located: np.ndarray
    places: np.ndarray


def grid_of(levels: Levels | None) -> Affine | None:
    """The even grid that a channel's integers are on; None where there is none, or codes have low bits beside them."""
    inner = levels.inner if isinstance(levels, Scaled) else levels
    return inner if isinstance(inner, Affine) and not inner.low_bits else None


def of_n1(calibration: Calibration) -> bool:
    """Whether a calibration is for the N1's levels."""
    return "offset" not in calibration.metadata and calibration.edges.shape == (N1_CODES + 1,)


def first_code(calibration: Calibration, levels: Levels | None) -> int | None:
    """The code of a calibration's table that is code 0 of a channel; None where the calibration is not for it.

    It may lie outside of the table. A calibration for a named device is for channels of as many codes.
    """
    if levels is None or not 2 <= levels.alphabet <= LARGEST_ALPHABET:
        return None
    if "offset" not in calibration.metadata:
        return 0 if levels.alphabet == calibration.alphabet else None
    grid, step = grid_of(levels), calibration.metadata["step"]
    if grid is None:
        return None
    distance = grid.offset - calibration.metadata["offset"]
    return distance // step if grid.step == step and distance % step == 0 else None


def sliced(edges: np.ndarray, first: int, alphabet: int) -> np.ndarray:
    """Edges int64 (alphabet + 1,), 1/64 LSB, of the codes from `first` on, of which those outside of the table are one
    LSB wide; of code `first` where it would ideally begin if the table's code 0 were.
    """
    wanted = first + np.arange(alphabet + 1)
    inside = np.clip(wanted, 0, len(edges) - 1)
    return np.asarray(edges[inside].astype(np.int64) + UNIT * (wanted - inside) - UNIT * first)


@lru_cache(maxsize=64)
def table_of(calibration: Calibration, converter: int, first: int, alphabet: int) -> Table:
    """The part of a converter's table for the kernels."""
    return make_table(sliced(calibration.edges_of(converter), first, alphabet) / UNIT)


def make_table(ends: np.ndarray) -> Table:
    """The table of edges float64 (codes + 1,), in LSB."""
    edges = ends.astype(np.float32)
    middles = ((ends[:-1] + ends[1:]) / 2).astype(np.float32)
    quarters = np.arange(int((edges[-1] - edges[1] + 2) * 4)) / 4 + (edges[1] - 1)
    located = np.clip(np.searchsorted(edges, quarters, side="right") - 1, 0, len(middles) - 1)
    edges[0], edges[-1] = -BOUND, BOUND
    return Table(edges, middles, located.astype(np.uint16))


def join(tables: Sequence[Table | None]) -> Tables | None:
    """The tables of descriptions; None where none of them has one."""
    found = [table for table in tables if table is not None]
    if not found:
        return None
    places = np.zeros((len(tables), 4), np.int64)
    at = located_at = 0
    for row, table in zip(places, tables, strict=True):
        if table is not None:
            row[:] = at, len(table.middles), located_at, len(table.located)
            at, located_at = at + len(table.edges), located_at + len(table.located)
    return Tables(
        np.concatenate([table.edges for table in found]),
        np.concatenate([np.append(table.middles, np.float32(0)) for table in found]),
        np.concatenate([table.located for table in found]),
        places,
    )


def tables_in(descriptions: Sequence[Description], lookup: Lookup, what: str) -> Tables | None:
    """`tables_for` the descriptions of a payload; its calibration is looked for only where one has a converter."""
    if not any(converter for _, converter in descriptions):
        return None
    return tables_for(descriptions, lookup.calibration(), what)


def tables_for(descriptions: Sequence[Description], calibration: Calibration | None, what: str) -> Tables | None:
    """The tables of descriptions, of which each has levels and the number of its converter, from 1, or 0 for none.

    Raises DataError where the calibration is missing or is not for such levels.
    """
    tables: list[Table | None] = []
    room = MOST_TABLED
    for levels, number in descriptions:
        if not number or levels is None:
            tables.append(None)
            continue
        if calibration is None:
            raise DataError(f"{what}: needs a calibration, but the file has no calibration id")
        if number > calibration.converters:
            raise DataError(f"{what}: needs converter {number} of a calibration of {calibration.converters}")
        first = first_code(calibration, levels)
        if first is None:
            raise DataError(
                f"{what}: a channel of {levels.words()} has a calibration of {calibration.alphabet} codes that is "
                "not for its values"
            )
        room -= levels.alphabet
        if room < 0:
            raise DataError(f"{what}: has channels of more than {MOST_TABLED:,} codes with a calibration altogether")
        tables.append(table_of(calibration, number - 1, first, levels.alphabet))
    return join(tables)
