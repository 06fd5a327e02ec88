"""Codecs of numbers: pcodec and simple_ans."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from spikey.recording.layout import pack
from spikey.report.bench.peers.contract import CODES, SAMPLES, DoesNotApply, Peer, Shape
from spikey.report.bench.peers.forms import from_codes, joined, parted, read_maps, to_codes
from spikey.report.bench.recordings import Loaded

Squeeze = Callable[[np.ndarray], bytes]
Restore = Callable[[bytes, int], np.ndarray]  # of so many frames


def peers() -> Iterator[Peer]:
    """pcodec with convolution, its best published form, and as it chooses by itself; simple_ans on differences."""
    yield _on_codes("pcodec conv1(16), level 12", _pcodec(16, 12), _from_pcodec, "pcodec")
    yield _on_codes("pcodec conv1(8), level 12", _pcodec(8, 12), _from_pcodec, "pcodec", fast=False)
    yield _on_codes("pcodec, level 8", _pcodec(0, 8), _from_pcodec, "pcodec")
    yield Peer("pcodec, level 8", SAMPLES, _samples_to_pcodec, _samples_from_pcodec, ("pcodec",))
    yield _on_codes("simple_ans on differences", _to_ans, _from_ans, "simple_ans")


def _on_codes(name: str, squeeze: Squeeze, restore: Restore, package: str, fast: bool = True) -> Peer:
    """A codec of each channel's codes alone."""

    def encode(recording: Loaded) -> bytes:
        head, channels = to_codes(recording)
        return head + joined([squeeze(codes) for codes in channels])

    def decode(data: bytes, shape: Shape) -> bytes:
        maps, rest = read_maps(data, shape)
        return from_codes(maps, [restore(part, shape.frames) for part in parted(rest)], shape)

    return Peer(name, CODES, encode, decode, (package,), fast=fast)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what native code writes to standard error, a panic's trace, from the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _pcodec(taps: int, level: int) -> Squeeze:
    """pcodec with a convolution of so many taps, 0 for what it chooses by itself."""

    def squeeze(numbers: np.ndarray) -> bytes:
        from pcodec import ChunkConfig, DeltaSpec, standalone

        if taps:
            best = ChunkConfig(compression_level=level, delta_spec=DeltaSpec.try_conv1(taps))
            try:
                with _silence():
                    return standalone.simple_compress(numbers, best)
            except BaseException as error:  # its panics are no Exceptions; it panics on a few lengths
                if isinstance(error, KeyboardInterrupt):
                    raise
        return standalone.simple_compress(numbers, ChunkConfig(compression_level=8))

    return squeeze


def _from_pcodec(data: bytes, frames: int) -> np.ndarray:
    from pcodec import standalone

    return standalone.simple_decompress(data)


def _samples_to_pcodec(recording: Loaded) -> bytes:
    if recording.samples.dtype.itemsize < 2:
        raise DoesNotApply("only for samples of 16 or 32 bits")
    squeeze = _pcodec(0, 8)
    return joined([squeeze(channel) for channel in np.ascontiguousarray(recording.samples.T)])


def _samples_from_pcodec(data: bytes, shape: Shape) -> bytes:
    return pack(np.stack([_from_pcodec(part, shape.frames) for part in parted(data)], axis=1), shape.layout)


def _to_ans(codes: np.ndarray) -> bytes:
    """One channel: state, lengths, counts and values of the symbols, then the words."""
    from simple_ans import ans_encode

    steps = np.diff(codes.astype(np.int32), prepend=np.int32(0))
    kind = np.dtype(np.int16 if codes.dtype == np.int16 and np.abs(steps).max() < 1 << 15 else np.int32)
    made: Any = ans_encode(steps.astype(kind))
    front = np.array([int(made.state), len(made.symbol_values), kind.itemsize], dtype="<u8")
    return front.tobytes() + made.symbol_counts.tobytes() + made.symbol_values.tobytes() + made.words.tobytes()


def _from_ans(data: bytes, frames: int) -> np.ndarray:
    from simple_ans import EncodedSignal, ans_decode

    front = np.frombuffer(data, "<u8", 3)
    symbols, width = int(front[1]), int(front[2])
    counts = np.frombuffer(data, np.uint32, symbols, 24)
    values = np.frombuffer(data, np.int16 if width == 2 else np.int32, symbols, 24 + 4 * symbols)
    words = np.frombuffer(data, np.uint32, offset=24 + (4 + width) * symbols)
    made = EncodedSignal(front[0], words.copy(), counts, values.copy(), frames)
    return np.cumsum(ans_decode(made), dtype=np.int32)
