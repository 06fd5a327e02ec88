"""The integers that filters work on: the samples themselves, or what floats are multiples of."""

from __future__ import annotations

import struct

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.codec.interpolated import detect
from spikey.levels.scaled import LARGEST, SHIFTED, SINGLE, Scale, find_scale


def suitable(dtype: np.dtype) -> bool:
    """Whether samples of a type are coded here."""
    return dtype.kind == "f" or (dtype.kind in "iu" and dtype.itemsize <= 4)


def difference_type(dtype: np.dtype) -> np.dtype:
    """Of what a filter leaves: signed integers of the samples' size, modulo which it is stored; 32 bits of floats."""
    return np.dtype("i4") if dtype.kind == "f" else np.dtype(f"i{dtype.itemsize}")


def find_common_scale(samples: np.ndarray) -> Scale | None:
    """The scale of one of some channels of floats (frames, channels); None where it has none, or nothing seems
    interpolated.
    """
    for place in detect.windows(len(samples))[: detect.glances(*samples.shape)]:
        window = samples[place : place + detect.LENGTH]
        with np.errstate(all="ignore"):
            # The larger the numbers, the more exactly they determine the gain.
            spread = np.where(np.isfinite(window), np.abs(window - window[:1]), 0).sum(axis=0)
        channel = int(np.nan_to_num(spread, nan=0, posinf=0).argmax())
        found = find_scale(np.ascontiguousarray(window[:, channel]))
        if found is None:
            return None
        if detect.glance(integers_of(window, found.scale)[0], 0) > 0:
            whole = find_scale(np.ascontiguousarray(samples[:, channel]))
            return None if whole is None else whole.scale
    return None


def integers_of(samples: np.ndarray, scale: Scale | None) -> tuple[np.ndarray, np.ndarray]:
    """The integers of samples, those themselves without a scale, and which samples follow from them.

    A float that no integer of 32 bits is near counts as 0.
    """
    if scale is None:
        return samples, np.ones((), bool)
    found, right = scale.nearest(samples)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(found) < LARGEST, found, 0).astype(np.int32), right


def samples_of(integers: np.ndarray, scale: Scale | None, dtype: np.dtype) -> np.ndarray:
    """The samples of integers int64, modulo their size."""
    return integers.astype(dtype) if scale is None else scale.values(integers.astype(np.int32), dtype)


def write_scale(scale: Scale | None) -> bytes:
    """As bytes; nothing without one."""
    if scale is None:
        return b""
    shift = struct.pack("<d", scale.offset) if scale.offset else b""
    return bytes([SINGLE * scale.single | SHIFTED * bool(shift)]) + struct.pack("<d", scale.gain) + shift


def read_scale(cursor: Cursor) -> Scale:
    """What `write_scale` wrote of a scale."""
    form = cursor.byte()
    gain = struct.unpack("<d", cursor.take(8))[0]
    offset = struct.unpack("<d", cursor.take(8))[0] if form & SHIFTED else 0.0
    if form > SINGLE | SHIFTED or not np.isfinite([gain, offset]).all() or not gain:
        raise DataError(f"{cursor.what}: is interpolated in a way that this version does not support")
    return Scale(gain, offset, bool(form & SINGLE))
