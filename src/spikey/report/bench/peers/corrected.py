"""Samples as laboratories give them to audio coders: divided by their step, each channel's median subtracted.

SpikeInterface's `correct_lsb` and the Allen Institute's pipelines do this before they compress with FLAC or WavPack
(Buccino et al. 2023). There the corrected samples replace the recording; here everything that restores the samples is
stored and counted: steps, medians, and the order of the channels where they are reordered.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.wire import Cursor, varint, zigzag
from spikey.recording.layout import pack
from spikey.report.bench.peers.contract import Shape
from spikey.report.bench.recordings import Loaded

LOOKED_AT = 4096  # frames, spread over the recording, that medians and correlations are estimated from
NEAR = 4  # channels at the end of a line, of which the next one is to be like
KINDS = (np.dtype(np.int16), np.dtype(np.int32))


class Correction(NamedTuple):
    """How samples were corrected: `kind` of the result; int64 (channels,) `steps`, `offsets`, and `order`, or None."""

    kind: np.dtype
    steps: np.ndarray
    offsets: np.ndarray
    order: np.ndarray | None

    def write(self) -> bytes:
        """As bytes; a step that all channels share is written once."""
        shared = bool((self.steps == self.steps[0]).all())
        numbers = [int(step) for step in (self.steps[:1] if shared else self.steps)]
        numbers += [zigzag(int(offset)) for offset in self.offsets]
        if self.order is not None:
            numbers += [zigzag(int(apart)) for apart in np.diff(self.order, prepend=0)]
        return bytes([self.kind.itemsize, shared]) + b"".join(map(varint, numbers))

    def restored(self, array: np.ndarray, shape: Shape) -> bytes:
        """The bytes of the samples, of the corrected ones (frames, channels)."""
        if self.order is not None:
            array = array[:, np.argsort(self.order)]
        memory = shape.layout.memory_dtype
        wide = array.astype(_wide(memory))
        wide *= self.steps.astype(wide.dtype)
        wide += self.offsets.astype(wide.dtype)
        return pack(wide.astype(memory), shape.layout)


def to_corrected(recording: Loaded, ordered: bool) -> tuple[bytes, np.ndarray]:
    """The correction as bytes, and samples (frames, channels) so corrected: int16 where they fit, else int32.

    ordered: whether channels are rearranged so that neighbours correlate.
    """
    samples = recording.samples
    wide = _wide(samples.dtype)
    some = samples[:: -(-len(samples) // LOOKED_AT)].astype(np.int64)
    offsets = np.partition(some, len(some) // 2, axis=0)[len(some) // 2]
    apart = samples.astype(wide)
    apart -= offsets.astype(wide)
    steps = _steps(some - offsets)
    codes = _divided(apart, steps)
    if not np.array_equal(codes * steps.astype(wide), apart):  # a value that is not among the frames looked at
        steps = _steps(apart)
        codes = _divided(apart, steps)
    kind, moved = _fitting(codes.min(axis=0).astype(np.int64), codes.max(axis=0).astype(np.int64))
    if moved.any():
        codes = codes - moved.astype(wide)
    codes = codes.astype(kind)
    order = chain(_alike(codes)) if ordered else None
    correction = Correction(kind, steps, offsets + moved * steps, order)
    return correction.write(), codes if order is None else codes[:, order]


def read_correction(data: bytes, shape: Shape, ordered: bool) -> tuple[Correction, bytes]:
    """The correction at the beginning of `data`, and what follows it."""
    cursor = Cursor(data, "correction")
    size, shared = cursor.byte(), cursor.byte()
    channels = shape.layout.channels
    steps = [cursor.varint()] * channels if shared else [cursor.varint() for _ in range(channels)]
    offsets = [cursor.signed() for _ in range(channels)]
    order = np.cumsum([cursor.signed() for _ in range(channels)]) if ordered else None
    return Correction(np.dtype(f"i{size}"), np.array(steps), np.array(offsets), order), cursor.rest()


def chain(alike: np.ndarray) -> np.ndarray:
    """All channels in a line that grows at either end by the channel most like the NEAR last ones: int64 (channels,).

    alike: float (channels, channels), how much a channel is worth beside another; the lower number where they tie.
    """
    left, line = np.ones(len(alike), dtype=bool), [0]
    left[0] = False
    while left.any():
        ends = [np.where(left, alike[near].sum(axis=0), -np.inf) for near in (line[-NEAR:], line[:NEAR])]
        best = [int(np.argmax(end)) for end in ends]
        after = bool(ends[0][best[0]] >= ends[1][best[1]])
        chosen = best[0] if after else best[1]
        line.insert(len(line) if after else 0, chosen)
        left[chosen] = False
    return np.array(line)


def _wide(kind: np.dtype) -> np.dtype:
    """A type that holds differences of samples of a kind."""
    return np.dtype(np.int32 if kind.itemsize <= 2 else np.int64)


def _steps(apart: np.ndarray) -> np.ndarray:
    """The step of each channel's values: that of most channels where it divides them, else their own; int64."""
    own = np.gcd.reduce(apart.astype(np.int64), axis=0)
    found, counts = np.unique(own[own > 0], return_counts=True)
    common = int(found[np.argmax(counts)]) if len(found) else 1
    return np.where(own % common == 0, common, own)


def _divided(apart: np.ndarray, steps: np.ndarray) -> np.ndarray:
    if (steps == steps[0]).all():  # by one number NumPy divides several times faster
        return apart if steps[0] == 1 else apart // apart.dtype.type(steps[0])
    return apart // steps.astype(apart.dtype)


def _fitting(low: np.ndarray, high: np.ndarray) -> tuple[np.dtype, np.ndarray]:
    """The smallest type for channels of such extremes, and what has to be subtracted for that."""
    for kind in KINDS:
        room = np.iinfo(kind)
        least, most = high - room.max, low - room.min
        if (least <= most).all():
            break
    return kind, np.clip(0, least, most)


def _alike(codes: np.ndarray) -> np.ndarray:
    """Correlations of the first differences, float32 (channels, channels)."""
    every = max(-(-(len(codes) - 1) // LOOKED_AT), 1)
    changes = (codes[1::every].astype(np.float32) - codes[:-1:every])[:LOOKED_AT]
    size = np.maximum(np.sqrt((changes * changes).sum(axis=0)), 1e-9)
    changes /= size
    return changes.T @ changes
