"""Has every kernel that a stream needs compiled, or loaded, before time counts: a compilation takes seconds, in which
packets would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spikey.codec.registry import DEFAULT_PRESET, preset_method
from spikey.files.encoding import Encoding
from spikey.files.pipeline import MANY, compile_with
from spikey.levels.affine import all_values
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1_VALUES, N1Levels
from spikey.model.calibration import Calibration, n1
from spikey.recording.layout import Layout
from spikey.stream.decoder import Decoder
from spikey.stream.encoder import DTYPES, Encoder
from spikey.stream.latency import settle
from spikey.stream.segments import Segment

FRAMES = 700  # past the first solutions for weights, in a stream and in a block
RATE = 1000.0


@dataclass(frozen=True)
class _Kind:
    """Samples (frames, 2) of a stream, with its levels and calibration; None to find the levels out."""

    samples: np.ndarray
    levels: Levels | None
    calibration: Calibration | None


def _kinds() -> Iterator[_Kind]:
    """A stream of every kind for which something is compiled of its own: type, width of the alphabet, calibration."""
    chance = np.random.default_rng(0)
    n1_codes = chance.integers(500, 520, (FRAMES, 2))
    n1_samples = N1_VALUES[n1_codes].astype(np.int16)
    yield _Kind(n1_samples, N1Levels(), n1())
    for dtype in DTYPES:
        whole = chance.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, (FRAMES, 2)).astype(dtype)
        few = chance.integers(0, 40, (FRAMES, 2)).astype(dtype)
        yield _Kind(few, None, None)  # few levels
        yield _Kind(few, all_values(np.dtype(dtype)), None)  # all levels of the type
        yield _Kind(whole, all_values(np.dtype(dtype)), None)  # raw packets, stored blocks


def prepare_sending() -> None:
    """Have what an encoder needs compiled."""
    for kind in _kinds():
        _packets(kind)
    settle()


def prepare_receiving() -> None:
    """Have what a decoder and a recorder need compiled."""
    for kind in _kinds():
        decoder = Decoder()
        items = [item for packet in _packets(kind) for item in decoder.push(packet)] + decoder.finish()
        samples = np.concatenate([item.samples for item in items if isinstance(item, Segment)])
        how = Encoding(preset_method(DEFAULT_PRESET), kind.calibration)
        compile_with(np.resize(samples, (FRAMES, MANY)), Layout(MANY, RATE, str(samples.dtype)), how)
    settle()


def _packets(kind: _Kind) -> list[bytes]:
    """The packets of a stream of one group, in two pushes, so that there are key packets and others."""
    samples = kind.samples
    encoder = Encoder(
        samples.shape[1], RATE, str(samples.dtype), levels=kind.levels, calibration=kind.calibration, stream=0
    )
    return encoder.push(samples[:300]) + encoder.push(samples[300:]) + encoder.close()
