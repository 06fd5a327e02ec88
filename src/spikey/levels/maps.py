"""Sample values and dense converter codes: which values a channel can take, found by looking, and both ways between.

Many recordings use few of the values their type allows: a 10-bit converter stretched to 16 bits, multiples of 3 or 12,
a digital line. Whatever is found is lossless: a map that does not fit is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag

N1_CODES = 1024
# value = trunc(code / 1023 * 65535 - 32768): exact in integers, rounding toward zero
_stretch = np.arange(N1_CODES, dtype=np.int64) * 65535 - 32768 * 1023
N1_VALUES = (np.sign(_stretch) * (np.abs(_stretch) // 1023)).astype(np.int16)
N1, AFFINE, TABLE = 0, 1, 2
TABLE_LARGEST = 4096
LOOKED_UP = 1 << 17  # values between the ends of a table of which every one is listed, which is faster
GLANCE = 1 << 14  # values that tell how many different ones there may be
PIECE = 256  # values that tell a step
FARTHEST_GAP = 2  # steps
MODELLED_BITS = 20  # more levels than 2^20: the low bits are kept as they are


@dataclass(frozen=True)
class Levels:
    """The values of one channel: value = offset + step * code, or the N1's stretch, or a table.

    `codes` is the size of the alphabet; `low_bits` are dropped from the affine code and kept beside it.
    """

    kind: int
    codes: int
    offset: int = 0
    step: int = 1
    low_bits: int = 0
    table: tuple[int, ...] = ()

    def describe(self) -> dict[str, object]:
        """What a calibration's metadata state of the levels it is for; not for tables."""
        if self.kind == N1:
            return {"levels": "n1"}
        return {"levels": "affine", "offset": self.offset, "step": self.step}

    def words(self) -> str:
        """The map, for a person."""
        if self.kind == N1:
            return "N1 codes"
        if self.kind == TABLE:
            return f"{self.codes} listed values"
        if self.codes == 1:
            return "one value"
        low = f" and {self.low_bits} low bits" if self.low_bits else ""
        return f"{self.codes} codes in steps of {self.step}{low}"

    def fits(self, values: np.ndarray) -> bool:
        """Whether this affine map without low bits holds all of `values` (frames,)."""
        distance = values.astype(np.int64) - self.offset
        inside = len(values) == 0 or (distance.min() >= 0 and distance.max() < self.codes * self.step)
        return bool(inside and (self.step == 1 or not (distance % self.step).any()))

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Codes int32 (frames,) of values (frames,), and their low bits int64 (frames,) or None."""
        if self.kind == N1:
            return (values >> 6).astype(np.int32) + 512, None
        if self.kind == TABLE:
            table = np.array(self.table, dtype=np.int64)
            span = int(table[-1] - table[0]) + 1
            if span > LOOKED_UP:
                return np.searchsorted(table, values).astype(np.int32), None
            codes_at = np.zeros(span, dtype=np.int32)
            codes_at[table - table[0]] = np.arange(len(table), dtype=np.int32)
            return codes_at[values.astype(np.int64) - table[0]], None
        codes = values.astype(np.int64) - self.offset
        if self.step > 1:
            codes //= self.step
        if not self.low_bits:
            return codes.astype(np.int32), None
        return (codes >> self.low_bits).astype(np.int32), codes & ((1 << self.low_bits) - 1)

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        """The values (frames,) of codes within the alphabet."""
        if self.kind == N1:
            return N1_VALUES.take(codes).astype(dtype, copy=False)
        if self.kind == TABLE:
            return np.array(self.table, dtype=np.int64)[codes].astype(dtype)
        wide = codes.astype(np.int64)
        if low is not None:
            wide = (wide << self.low_bits) | low
        # A damaged file may state values that its type cannot hold; the checksum tells.
        return (wide * self.step + self.offset).astype(dtype)

    def write(self) -> bytes:
        """The map as bytes, after its kind."""
        if self.kind == N1:
            return b""
        if self.kind == TABLE:
            steps = np.diff(np.array(self.table, dtype=np.int64)) - 1
            return varint(zigzag(self.table[0])) + varint(len(self.table) - 1) + b"".join(varint(int(s)) for s in steps)
        top = (self.codes << self.low_bits) - 1 if self.low_bits else self.codes - 1
        return varint(zigzag(self.offset)) + varint(self.step - 1) + varint(top) + varint(self.low_bits)


def read_levels(kind: int, cursor: Cursor) -> Levels:
    """Read what `Levels.write` wrote; DataError when it cannot be."""
    if kind == N1:
        return Levels(N1, N1_CODES)
    if kind == AFFINE:
        offset, step = cursor.signed(), cursor.varint(1 << 32) + 1
        top, low_bits = cursor.varint(1 << 32), cursor.varint(12)
        if abs(offset) > 1 << 32 or top >> low_bits >= 1 << MODELLED_BITS:
            raise DataError(f"{cursor.what}: states a channel of impossible values")
        return Levels(AFFINE, (top >> low_bits) + 1, offset, step, low_bits)
    if kind == TABLE:
        value = cursor.signed()
        table = [value]
        for _ in range(cursor.varint(TABLE_LARGEST - 1)):
            value += cursor.varint(1 << 32) + 1
            table.append(value)
        if abs(table[0]) > 1 << 32 or abs(value) > 1 << 32:
            raise DataError(f"{cursor.what}: states a channel of impossible values")
        return Levels(TABLE, len(table), table=tuple(table))
    raise DataError(f"{cursor.what}: uses levels of kind {kind}, which this version does not know")


def spanning(found: list[Levels]) -> Levels:
    """The narrowest affine map that holds the values of several affine ones, none of which has low bits.

    >>> spanning([Levels(AFFINE, 3, 0, 6), Levels(AFFINE, 2, 3, 12)]).codes
    6
    """
    lowest = min(levels.offset for levels in found)
    highest = max(levels.offset + levels.step * (levels.codes - 1) for levels in found)
    step = 0
    for levels in found:
        step = gcd(step, levels.step, levels.offset - lowest)
    return Levels(AFFINE, (highest - lowest) // step + 1, lowest, step)


def find_levels(values: np.ndarray) -> Levels:
    """The map that fits all of `values`, integers (frames,), frames at least 1.

    >>> find_levels(np.array([30, 3, 9])).step
    3
    >>> find_levels(N1_VALUES[500:600]).kind == N1
    True
    """
    first = values[:64]
    if fits_n1(first) and len(values) > 16 and fits_n1(values):
        return Levels(N1, N1_CODES)
    low, high = int(values.min()), int(values.max())
    span = high - low
    if span == 0:
        return Levels(AFFINE, 1, low)
    step = _common_step(values, low)
    levels = span // step + 1
    table = _worthwhile_table(values, levels, step)
    if table is not None:
        return Levels(TABLE, len(table), table=tuple(int(v) for v in table))
    low_bits = max((levels - 1).bit_length() - MODELLED_BITS, 0)
    return Levels(AFFINE, ((levels - 1) >> low_bits) + 1, low, step, low_bits)


def fits_n1(values: np.ndarray) -> bool:
    """Whether all values, of any shape, are int16 and among the N1's."""
    return values.dtype == np.int16 and bool((N1_VALUES.take((values >> 6) + N1_CODES // 2) == values).all())


def levels_of_type(dtype: np.dtype) -> Levels:
    """The map that holds every value of a type of integers.

    >>> levels_of_type(np.dtype("int8")).codes, levels_of_type(np.dtype("int8")).offset
    (256, -128)
    """
    info = np.iinfo(dtype)
    return Levels(AFFINE, int(info.max) - int(info.min) + 1, int(info.min))


def levels_at_once(first: np.ndarray) -> Levels:
    """The map for a stream of which only the first values are known: the N1's, or every value of their type."""
    return Levels(N1, N1_CODES) if fits_n1(first) else levels_of_type(first.dtype)


def _common_step(values: np.ndarray, low: int) -> int:
    """The greatest common divisor of all differences from `low`; a sample of them nearly always settles it at 1."""
    step = int(np.gcd.reduce(values[:1000].astype(np.int64) - low))
    if step == 1:
        return 1
    distances = values.astype(np.int64) - low
    rests = distances % step if step else distances
    return int(np.gcd.reduce(rests, initial=step)) if rests.any() else step


def _worthwhile_table(values: np.ndarray, levels: int, step: int) -> np.ndarray | None:
    """The values to list where that pays: those that occur, if they are few of `levels`, or a coarser grid and what
    lies off it, such as an artifact among multiples of 12.
    """
    if levels < 4:
        return None
    grid = _grid(values, step)
    if grid is not None:
        saved = len(values) * np.log2(levels / len(grid)) / 8
        entry = 1 if np.diff(grid).max() <= 128 else 2  # bytes, but for the longest steps
        return grid if 2 * entry * len(grid) < saved else None
    if 4 * len(_distinct(values[:4096])) > levels or len(_distinct(values[:GLANCE])) > TABLE_LARGEST:
        return None
    table = _distinct(values)
    saved = len(values) * np.log2(levels / len(table)) / 8
    if len(table) > TABLE_LARGEST or 2 * len(table) > levels or 3 * len(table) > saved:
        return None
    return table


def _distinct(values: np.ndarray) -> np.ndarray:
    """The values that occur, ascending."""
    low = int(values.min())
    span = int(values.max()) - low + 1
    if span <= 4 * len(values):
        seen = np.zeros(span, dtype=bool)
        seen[values.astype(np.int64) - low] = True
        return (np.flatnonzero(seen) + low).astype(values.dtype)
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]


def _grid(values: np.ndarray, step: int) -> np.ndarray | None:
    """A table of an even grid, coarser than `step`, that holds nearly all values, and of the others; or None.

    The grid is whole, whichever of its values occur, so that codes stay even where the signal is; but a stretch of it
    that nothing comes near is left out, as every entry costs a byte.
    """
    pieces = [values[at : at + PIECE].astype(np.int64) for at in range(0, len(values), max(len(values) // 4, PIECE))]
    coarse, rest = max((int(np.gcd.reduce(piece - piece[0])), int(piece[0])) for piece in pieces)
    if coarse < 2 * step or coarse == step:
        return None
    found = _distinct(values).astype(np.int64)
    on = found[(found - rest) % coarse == 0]
    if len(found) - len(on) > len(on) // 8:
        return None
    gaps = np.diff(on) // coarse
    near = gaps <= FARTHEST_GAP
    if gaps[near].sum() + len(found) > TABLE_LARGEST:
        return None
    filled = [np.arange(one, one + gap * coarse, coarse) for one, gap in zip(on[:-1][near], gaps[near], strict=True)]
    return np.unique(np.concatenate([found, *filled]))
