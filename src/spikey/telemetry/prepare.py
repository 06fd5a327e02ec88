"""Compiles or loads every kernel that telemetry needs, before a real-time run."""

from __future__ import annotations

import numpy as np

from spikey.stream.latency import settle
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.settings import Settings

RATE = 20_000
FRAMES = 8000  # beyond the first bins of power and blocks of the LFP band
SPIKE = 2000  # in sample values, far above the noise
CHANNELS = (1, 8)  # arrays of a single channel have another Numba type
BUDGETS = (1e5, 500.0)  # bit/s per channel: one that suffices for everything, one with which crossings are left out
DTYPES = ("int16", "uint16")


def prepare() -> None:
    """Compile what the encoder and the decoder need, by passing noise with spikes through both."""
    chance = np.random.default_rng(0)
    frames = chance.normal(0, 100, (FRAMES, max(CHANNELS)))
    frames[FRAMES // 2 :: 50] -= SPIKE
    for channels in CHANNELS:
        for budget in BUDGETS:
            for dtype in DTYPES:
                samples = (frames[:, :channels] + (0 if dtype == "int16" else 1 << 15)).astype(dtype)
                _through(samples, Settings(budget=budget * channels))
    settle()


def _through(samples: np.ndarray, settings: Settings) -> None:
    encoder = TelemetryEncoder(samples.shape[1], RATE, str(samples.dtype), settings=settings)
    decoder = TelemetryDecoder()
    for packet in encoder.push(samples) + encoder.close():
        decoder.push(packet)
