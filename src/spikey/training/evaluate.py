"""Evaluates a network: its code length on whole recordings, and the size of some of them compressed by the codec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikey.base.errors import SpikeyError
from spikey.codec.decode import decode_blocks
from spikey.codec.encode import encode_block, encode_blocks
from spikey.codec.method import LARGEST, LPC, learned
from spikey.codec.payload import Lookup, Payload
from spikey.model.calibration import Calibration
from spikey.model.trained import Model
from spikey.recording.wav import open_wav
from spikey.training.network import Network, State, bits
from spikey.training.sampler import WholeSampler, Window

SECONDS = 30  # of each recording at most
CHANNELS = 64


def add_bits(network: Network, window: Window, state: State, totals: Tensor) -> State:
    """Add a window's usable samples, their bits and their bits without the network to the columns of its channels in
    totals float32 (3, channels), and return the network's new state.
    """
    octaves, share, state = network(window.inputs, None if window.fresh else state)
    costs = (
        torch.ones_like(octaves),
        bits(octaves, share, window.below, window.above),
        bits(0.0, 0.0, window.below, window.above),
    )
    for total, cost in zip(totals, costs, strict=True):
        total.index_add_(0, window.channels, torch.where(window.usable, cost, 0).sum(dim=0))
    return state


@torch.no_grad()
def bits_by_channel(network: Network, whole: WholeSampler) -> np.ndarray:
    """Usable samples, their bits, and their bits without the network: float64 (3, channels)."""
    totals, state = torch.zeros(3, len(whole.sequences.paths)), None
    for window in whole:
        state = add_bits(network, window, state, totals)
    return totals.double().numpy()


@dataclass(frozen=True)
class Compressed:
    """One recording: samples compressed, and the bytes they take with the model and with the predictor `lpc`."""

    recording: str
    samples: int
    model: int
    lpc: int


def compress(paths: list[Path], model: Model, calibration: Calibration | None) -> list[Compressed]:
    """Compress the beginnings of WAV files; SpikeyError where the codec does not restore one exactly."""
    blocks = [_beginning(path) for path in paths]
    coded = encode_blocks(blocks, learned(model), calibration)
    payloads = [
        Payload(data.payload, block.shape[0], block.shape[1], block.dtype, path.name)
        for path, block, data in zip(paths, blocks, coded, strict=True)
        if data is not None
    ]
    restored = iter(decode_blocks(payloads, Lookup(lambda: calibration, lambda: model)))
    found = []
    for path, block, data in zip(paths, blocks, coded, strict=True):
        if data is not None and not np.array_equal(next(restored), block):
            raise SpikeyError(f"{path}: the codec does not restore it with this model; please report this")
        plain = encode_block(block, LPC, calibration)
        streams = (None if data is None else data.payload), plain
        sizes = (block.nbytes if stream is None else len(stream) for stream in streams)
        found.append(Compressed(path.name, block.size, *sizes))
    return found


def rates(compressed: list[Compressed]) -> tuple[float, float]:
    """Bits per sample of the compressed recordings with the model and with the predictor `lpc`."""
    samples = sum(found.samples for found in compressed)
    return 8 * sum(c.model for c in compressed) / samples, 8 * sum(c.lpc for c in compressed) / samples


def _beginning(path: Path) -> np.ndarray:
    """Samples (frames, channels): the first seconds of a WAV file, no more than a block holds."""
    with open_wav(path) as source:
        channels = min(source.layout.channels, CHANNELS)
        frames = min(source.frames, int(SECONDS * max(source.layout.rate, 1)), LARGEST // channels)
        return np.ascontiguousarray(source.read(0, frames)[:, :channels])
