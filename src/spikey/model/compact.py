"""The compact form of a calibration: what its code widths differ by from those of another one, or from even ones.

Differences are logarithms of quotients, in eighths of an octave, one signed byte a code, so that DEFLATE makes them
small; rare codes have none. All arithmetic is in integers: every machine reads the same edges. docs/format.md has the
bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.model.calibration import (
    COMPACT,
    FARTHEST_VALUE,
    LARGEST_ALPHABET,
    MOST_CONVERTERS,
    MOST_ENTRIES,
    Calibration,
    find,
)
from spikey.model.fixed_point import UNIT

STEPS = 8  # of a difference, an octave
FACTORS = np.array([round(2.0 ** (16 + k / STEPS)) for k in range(-128, 128)], np.int64)  # 1/65536
WIDEST = 1 << 12  # 1/64 LSB, of a code that differs
FARTHEST_EDGE = 1 << 24
MOST_LAGS = 1024


def widths_of(base: Calibration | None, offset: int, step: int, alphabet: int) -> np.ndarray:
    """The widths int64 (codes,), 1/64 LSB, that a calibration gives to codes of values from `offset` on; one LSB where
    it has none. Raises DataError where it is for other values.
    """
    widths = np.full(alphabet, UNIT, np.int64)
    if base is None:
        return widths
    if base.converters != 1 or "offset" not in base.metadata:
        raise DataError("a calibration can only differ from one of a single converter with an offset and a step")
    shift = offset - base.metadata["offset"]
    if base.metadata["step"] != step or shift % step:
        raise DataError("a calibration differs from one that is for other values")
    first = shift // step  # of the base's codes
    own = np.diff(base.edges.astype(np.int64))
    begin, end = max(first, 0), min(first + alphabet, len(own))
    if begin < end:
        widths[begin - first : end - first] = own[begin:end]
    return widths


def differing(widths: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Widths int64, 1/64 LSB, that differ from others by so many eighths of an octave, int (codes,)."""
    changed = np.clip((widths * FACTORS[differences.astype(np.int64) + 128] + (1 << 15)) >> 16, 1, WIDEST)
    return np.where(differences == 0, widths, changed)


def make_compact(
    differences: list[np.ndarray],
    firsts: list[int],
    offset: int,
    step: int,
    base: Calibration | None,
    shift: int,
    prior: np.ndarray,
) -> Calibration:
    """A calibration from the differences int8 (codes,) of its tables.

    Of one converter: from the base, or even widths. Of several the first ones are those that converters have in common;
    those of each, which follow, differ from these. firsts: each converter's first edge, 1/64 LSB. step: 0 for the N1's
    levels, whatever their values. shift: what was added to the values that the base is for.
    """
    alphabet = len(differences[0])
    out = [COMPACT, varint(0) if base is None else varint(len(base.id)) + base.id + varint(zigzag(shift))]
    out += [varint(zigzag(offset)), varint(step), varint(alphabet), varint(len(firsts))]
    out += [varint(len(prior)), *(varint(zigzag(int(number))) for number in prior)]
    out += [varint(zigzag(first)) for first in firsts]
    for row in differences:
        used = np.flatnonzero(row)
        begin, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        out += [varint(begin), varint(end - begin), row[begin:end].astype(np.int8).tobytes()]
    return read_compact(b"".join(out), base)


def read_compact(data: bytes, base: Calibration | None = None) -> Calibration:
    """Read what `make_compact` wrote; DataError for anything else. base: the other calibration, if available."""
    cursor = Cursor(data, "its compact form")
    if cursor.take(len(COMPACT)) != COMPACT:
        raise DataError("is not the compact form of a calibration")
    length = cursor.varint(4)
    if length not in (0, 4):
        raise DataError(f"its compact form names a calibration by {length} bytes, where 4 are expected")
    name = cursor.take(length)
    shift = cursor.signed() if name else 0
    if name and (base is None or base.id != name):
        base = find(name)
    offset, step = cursor.signed(), cursor.varint(FARTHEST_VALUE)
    alphabet, converters = cursor.varint(LARGEST_ALPHABET), cursor.varint(MOST_CONVERTERS)
    if abs(offset) > FARTHEST_VALUE or abs(shift) > FARTHEST_VALUE:
        raise DataError("its compact form has numbers that are too large")
    if alphabet < 2 or converters < 1 or alphabet * converters > MOST_ENTRIES or (step < 1 and (name or offset)):
        raise DataError(f"its compact form has {converters} tables of {alphabet} codes in steps of {step}")
    prior = [cursor.signed() for _ in range(cursor.varint(MOST_LAGS))]
    firsts = [cursor.signed() for _ in range(converters)]
    if any(abs(number) >= 1 << 31 for number in prior) or any(abs(n) > FARTHEST_EDGE for n in firsts):
        raise DataError("its compact form has numbers that are too large")
    rows = [_differences(cursor, alphabet) for _ in range(1 if converters == 1 else converters + 1)]
    if cursor.at < len(cursor.data):
        raise DataError("its compact form has bytes after its end")
    common = differing(widths_of(base if name else None, offset - shift, step, alphabet), rows[0])
    tables = [common] if converters == 1 else [differing(common, row) for row in rows[1:]]
    edges = np.stack(
        [first + np.concatenate([[0], np.cumsum(widths)]) for first, widths in zip(firsts, tables, strict=True)]
    )
    if np.abs(edges).max() >= 1 << 31:
        raise DataError("its compact form has numbers that are too large")
    metadata: dict[str, Any] = {"levels": "affine", "offset": offset, "step": step} if step else {"levels": "n1"}
    if name:
        metadata["base"] = name.hex()
    whole = edges.astype(np.int32)
    return Calibration(whole[0] if converters == 1 else whole, np.array(prior, np.int32), metadata, bytes(data))


def _differences(cursor: Cursor, alphabet: int) -> np.ndarray:
    row = np.zeros(alphabet, np.int8)
    begin, count = cursor.varint(alphabet), cursor.varint(alphabet)
    if begin + count > alphabet:
        raise DataError(f"its compact form has widths of code {begin + count}, of {alphabet} codes")
    row[begin : begin + count] = np.frombuffer(cursor.take(count), np.int8)
    return row
