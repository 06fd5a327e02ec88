"""What an index means along one axis of a recording: whole numbers, slices, lists and masks, as NumPy takes them."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_slice(indices: np.ndarray) -> slice | np.ndarray:
    """Ascending indices without gaps as a slice, which copies several times as fast."""
    return slice(int(indices[0]), int(indices[-1]) + 1) if (np.diff(indices) == 1).all() else indices


def count_below(rows: range | np.ndarray, frame: int) -> int:
    """How many of ascending rows lie before a frame."""
    if isinstance(rows, range):
        return min(max(-(-(frame - rows.start) // rows.step), 0), len(rows))
    return int(np.searchsorted(rows, frame))


def split_index(key: Any) -> tuple[Any, Any]:
    """The parts of an index that are for frames and for channels; IndexError where there are more.

    >>> split_index(3), split_index((..., 1))
    ((3, slice(None, None, None)), (slice(None, None, None), 1))
    """
    parts = key if isinstance(key, tuple) else (key,)
    at = next((place for place, part in enumerate(parts) if part is Ellipsis), None)
    if at is not None:
        parts = parts[:at] + (slice(None),) * (3 - len(parts)) + parts[at + 1 :]
    if len(parts) > 2:
        raise IndexError(f"a recording has two dimensions, frames and channels; {len(parts)} were indexed")
    frames, channels = (*parts, slice(None), slice(None))[:2]
    return frames, channels


def is_index(key: Any) -> bool:
    """Whether a part of an index is a whole number, which removes its axis."""
    return isinstance(key, int | np.integer) and not isinstance(key, bool)


def chosen(key: Any, length: int) -> range | np.ndarray:
    """The indices along one axis that NumPy would take for `key`; IndexError where it would take none.

    >>> chosen(slice(-2, None), 10), chosen([True, False, True], 3)
    (range(8, 10), array([0, 2]))
    """
    if isinstance(key, slice):
        return range(*key.indices(length))
    if isinstance(key, list | np.ndarray | range):
        listed = np.asarray(key)
        if listed.ndim == 1 and listed.dtype == bool:
            if len(listed) != length:
                raise IndexError(f"a mask of {len(listed)} does not fit an axis of {length}")
            return np.flatnonzero(listed)
        if listed.ndim == 1 and (listed.dtype.kind in "iu" or not listed.size):
            wrapped = np.where(listed < 0, listed + length, listed).astype(np.int64)
            if ((wrapped < 0) | (wrapped >= length)).any():
                raise IndexError(f"one of the indices {listed} is out of range for {length}")
            return wrapped
    if is_index(key):
        index = int(key) + length if key < 0 else int(key)
        if not 0 <= index < length:
            raise IndexError(f"index {key} is out of range for {length}")
        return range(index, index + 1)
    raise IndexError(f"a recording is sliced by whole numbers, slices, lists and masks, not by {key!r}")
