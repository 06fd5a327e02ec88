"""Warnings about samples that were probably not meant the way they were given: channels first, or scaled to floats."""

from __future__ import annotations

import warnings

MOST_CHANNELS = 4096  # of the largest arrays of electrodes
MANY_CHANNELS = 1000  # below that a few frames of many channels are a piece of a recording
WIDE = 64  # channels a frame
LARGE = 1 << 16  # elements of a chunk of floats from which it is likely to be a recording
CHANNELS_FIRST = "swap the axes of the recording"
INTEGERS = "compress the integers that were recorded, before filters and scaling"


def warn_of_shape(frames: int, channels: int, remedy: str, level: int = 1) -> None:
    """Warn where the shape (frames, channels) looks like (channels, frames); `level` is that of the caller's caller.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_of_shape(30_000, 384, "give samples.T")
    ...     warn_of_shape(4, 30_000, "give samples.T")
    >>> [str(each.message) for each in caught]
    ['samples of shape (4, 30000) are taken as 4 frames of 30,000 channels; if channels come first, give samples.T']
    """
    wide = channels > MOST_CHANNELS or (frames > 1 and channels >= MANY_CHANNELS and channels > WIDE * frames)
    if frames and channels > frames and wide:
        text = f"samples of shape ({frames}, {channels}) are taken as {frames:,} frames of {channels:,} channels"
        warnings.warn(f"{text}; if channels come first, {remedy}", stacklevel=level + 2)


def warn_of_floats(note: str, level: int = 1) -> None:
    """Warn of floats that are not scaled integers, of which `note` is the outcome's; nothing where it is empty."""
    if note:
        warnings.warn(f"{note}; {INTEGERS}", stacklevel=level + 2)


def warn_of_chunk(shape: tuple[int, ...], dtype: str, level: int = 1) -> None:
    """Warn of a chunk (time, channels) of floats as large as a recording's: chunks have no model for floats."""
    size = 1
    for length in shape:
        size *= length
    if dtype in ("float32", "float64") and len(shape) > 1 and size >= LARGE:
        warnings.warn(f"chunks of {dtype} samples hardly shrink; {INTEGERS}", stacklevel=level + 2)
