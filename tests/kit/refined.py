"""Signals for the refined engine, and their payloads."""

from __future__ import annotations

from functools import cache

import numpy as np

from kit.payloads import noise
from spikey.codec.encode import encode_block
from spikey.codec.method import Method
from spikey.codec.payload import Payload
from spikey.codec.registry import PREDICTORS
from spikey.model.calibration import n1
from spikey.report.self_test import known_signal

REFINED, QUICK = Method("refined", lanes=1, references=8), Method("refined", lanes=1, references=4)


def spikes() -> np.ndarray:
    """Channels with events that reach several of them."""
    samples = noise(900, 7, 3)
    shape = -np.array([20, 60, 90, 40, 10, -20, -25, -10])
    for place, at in enumerate(range(60, 880, 31)):
        samples[at : at + 8] += np.outer(shape, np.exp(-np.abs(np.arange(7) - place % 7)))
    return np.round(samples).astype(np.int16)


def shocks() -> np.ndarray:
    samples = noise(701, 2, 2)
    samples[::300] += 25_000 * (1 - 2 * (np.arange(len(samples[::300]))[:, None] % 2))
    return samples.astype(np.int16)


N1 = known_signal(603)
SIGNALS = {
    "one": noise(403, 1, 5)[:, :1].astype(np.int16),
    "spikes": spikes(),
    "fourteen": noise(101, 14, 6).astype(np.int16),
    "few_frames": (noise(7, 30, 0.3) + noise(7, 1, 8, seed=3)).astype(np.int32),
    "n1_three": np.concatenate([N1, np.full_like(N1[:, :1], N1[0, 0])], axis=1),
    "wideband": noise(700, 2, 5000).astype(np.int32),
    "shocks": shocks(),
    "constant": np.full((300, 3), 9, np.int16),
    "uint8": (noise(300, 2, 6) + 120).astype(np.uint8),
    "low_bits": N1.astype(np.int32) * 65_521 + np.arange(603, dtype=np.int32)[:, None],
    "floats": noise(300, 2, 9).astype(np.float32) * np.float32(0.195),
}
UNEVEN = np.exp(np.random.default_rng(8).normal(size=(300, 1)) * 9).astype(np.float32)
SIGNALS["packed"] = np.concatenate([SIGNALS["floats"], UNEVEN], axis=1)


@cache
def coded(name: str, method: Method = REFINED) -> Payload:
    """The payload of a signal."""
    samples = SIGNALS[name]
    payload = encode_block(samples, method, n1() if name.startswith("n1") else None)
    assert payload is not None and payload[0] & 15 == PREDICTORS["refined"].number
    return Payload(payload, *samples.shape, samples.dtype)
