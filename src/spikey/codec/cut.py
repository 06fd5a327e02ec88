"""How a recording is cut into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikey.codec.method import LARGEST, LONGEST, LPC, MOST_TOGETHER, USUAL_CHANNELS, Method
from spikey.recording.layout import Layout

if TYPE_CHECKING:
    from spikey.recording.readable import Readable

HELD_BYTES = 64 << 20  # of samples at once
LARGEST_PART = 1 << 22  # samples of a block of the usual number of channels
SHORTEST = 1 << 18  # samples of a block of all channels, at least
FEWEST = 1 << 14  # and frames
FRAMES_STEP = 256  # of a block that must be shorter to fit


class Extent(NamedTuple):
    """Where samples lie in a recording."""

    first_frame: int
    frames: int
    first_channel: int
    channels: int


class Part(NamedTuple):
    """A block's place and its samples (frames, channels)."""

    extent: Extent
    samples: np.ndarray


def block_shape(layout: Layout, frames: int = 1 << 20, method: Method = LPC) -> tuple[int, int]:
    """Frames and channels of a full block of a recording of so many frames, in bounded memory.

    A few seconds of the usual number of channels, of more where they are short; about a second of all channels where
    the method takes those, so divided that blocks have the same length.

    >>> block_shape(Layout(1, 19531, "int16")), block_shape(Layout(384, 30000, "int16"))
    ((131072, 1), (65536, 16))
    >>> block_shape(Layout(384, 30000, "int16"), frames=1000)
    (1000, 65)
    >>> block_shape(Layout(384, 30000, "int16"), 70000, Method("wide", channels=8192))
    (23334, 384)
    """
    frames = max(frames, 1)
    if method.channels > USUAL_CHANNELS:
        channels = min(layout.channels, method.channels)
        longest = min(max(round(layout.rate) or frames, SHORTEST // channels, FEWEST), max(LARGEST // channels, 1))
        if method.model is not None:
            longest = max(min(longest, method.longest * USUAL_CHANNELS // channels), 1)
        return -(-frames // -(-frames // longest)), channels
    if layout.channels == 1:
        return min(2 * method.longest, frames), 1
    fitting = HELD_BYTES // (layout.channels * layout.memory_dtype.itemsize) // FRAMES_STEP * FRAMES_STEP
    longest = LARGEST_PART // min(layout.channels, USUAL_CHANNELS)
    longest = min(method.longest, longest, max(fitting, FRAMES_STEP), frames)
    return longest, min(layout.channels, max(USUAL_CHANNELS, LONGEST // longest))


def shape_for(source: Readable, method: Method, block_frames: int | None = None) -> tuple[int, int]:
    """Frames and channels of a full block of a recording; block_frames: frames at most."""
    if block_frames is not None and method.channels > USUAL_CHANNELS:
        frames, channels = block_shape(source.layout, source.frames, method)
        return min(frames, max(block_frames, 1)), channels
    return block_shape(
        source.layout, source.frames if block_frames is None else min(block_frames, source.frames), method
    )


def is_single(source: Readable, method: Method, block_frames: int | None = None) -> bool:
    """Whether a recording is one block."""
    frames, channels = shape_for(source, method, block_frames)
    return source.frames <= frames and source.layout.channels <= channels


def parts_of(
    read: Callable[[int, int], np.ndarray], shape: tuple[int, int], frames: range, first_channel: int = 0
) -> Iterator[Part]:
    """Some frames cut into blocks of `shape`, at whose edges they begin, of the channels that `read` gives."""
    for first in range(frames.start, frames.stop, shape[0]):
        chunk = read(first, min(shape[0], frames.stop - first))
        for channel in range(0, chunk.shape[1], shape[1]):
            part = chunk
            if shape[1] < chunk.shape[1]:
                # A copy with each channel in one stretch, so that a chunk can go before the next one is read.
                part = np.asfortranarray(chunk[:, channel : channel + shape[1]])
            yield Part(Extent(first, len(part), first_channel + channel, part.shape[1]), part)
        del chunk, part


def batches(parts: Iterator[Part], method: Method, layout: Layout) -> Iterator[list[Part]]:
    """As many parts together as a trained network is fastest with; otherwise one by one."""
    together = 1 if method.model is None else max(MOST_TOGETHER // min(layout.channels, USUAL_CHANNELS), 1)
    while batch := list(islice(parts, together)):
        yield batch
