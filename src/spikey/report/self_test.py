"""A compression whose bytes are known: what every machine must give, checked by `spikey doctor` and the tests."""

from __future__ import annotations

import hashlib

import numpy as np

from spikey.files.arrays import compress_with, decompress
from spikey.files.settings import Settings
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import n1

# what compresses, and the first 16 hex digits of its file's SHA-256
DIGESTS = {
    "preset fast": (Settings(preset="fast"), "3a57d408bcccffa7"),
    "preset balanced": (Settings(preset="balanced"), "f56e3f0027cb47f5"),
    "preset max": (Settings(preset="max"), "8f82126103ba39d1"),
    "predictor lpc": (Settings(predictor="lpc"), "3b80929c9cf2eaf7"),
}


def known_signal(frames: int = 5000) -> np.ndarray:
    """A signal of integers alone as the N1's converter sees it, int16 (frames, 2); the channels are related."""
    state, analog = 12345, np.empty((frames, 2), dtype=np.int64)
    level = other = 0
    for t in range(frames):
        draws = []
        for _ in range(4):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            draws.append((state >> 33) % 513 - 256)
        level = (level * 7) // 8 + sum(draws[:3])
        other = (other * 7) // 8 + draws[3] + (level >> 2)
        analog[t] = level, other
    edges = n1().edges
    middle = int(edges[512])
    return N1_VALUES[np.searchsorted(edges[1:-1], analog + middle, side="right")]


def self_test() -> list[str]:
    """What is wrong, in sentences; nothing where all is well."""
    troubles = []
    samples = known_signal()[:, :1]
    for name, (settings, wanted) in DIGESTS.items():
        data = compress_with(samples, 20_000, settings)
        if not np.array_equal(decompress(data).samples, samples):
            troubles.append(f"{name} does not restore the test signal: please report this")
        digest = hashlib.sha256(data).hexdigest()[:16]
        if digest != wanted:
            troubles.append(f"{name} gives other bytes ({digest}) than it must ({wanted}): please report this")
    return troubles
