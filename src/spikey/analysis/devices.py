"""A device's recordings as channels of codes under one map of levels, and which of them to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np

from spikey.errors import UsageError
from spikey.model.calibration import MOST_CODES
from spikey.recording.levels import AFFINE, N1, N1_CODES, Levels, find_levels
from spikey.recording.simultaneous import simultaneous
from spikey.recording.wav import open_wav

FRAMES = 1 << 18  # of each recording


@dataclass(frozen=True)
class Device:
    """Channels of codes, iterated as often as wanted: the first 262,144 frames of every channel of every file."""

    paths: list[Path]
    levels: Levels

    def __iter__(self) -> Iterator[np.ndarray]:
        for channel in _channels(self.paths):
            yield self.levels.to_codes(channel)[0]


def device_of(paths: list[Path]) -> Device:
    """Find the one map of levels that fits all of the WAV files; UsageError where there is none of at most 4,096."""
    lowest, highest, step, all_n1 = 1 << 40, -(1 << 40), 0, True
    for channel in _channels(paths):
        if not len(channel):
            continue
        levels = find_levels(channel)
        all_n1 &= levels.kind == N1
        low, high = int(channel.min()), int(channel.max())
        step = gcd(step, gcd(levels.step if levels.kind == AFFINE else 1, low - lowest if step else 0))
        lowest, highest = min(lowest, low), max(highest, high)
    if highest < lowest:
        raise UsageError("there are no samples to estimate a calibration from")
    if all_n1:
        return Device(paths, Levels(N1, N1_CODES))
    codes = (highest - lowest) // max(step, 1) + 1
    if not 16 <= codes <= MOST_CODES:
        raise UsageError(f"the recordings use {codes:,} levels; widths can be estimated for 16 to {MOST_CODES:,}")
    return Device(paths, Levels(AFFINE, codes, lowest, max(step, 1)))


def _channels(paths: list[Path]) -> Iterator[np.ndarray]:
    for path in paths:
        with open_wav(path) as source:
            samples = source.read(0, min(source.frames, FRAMES))
        yield from np.ascontiguousarray(samples.T)


def training_files(paths: list[Path], every: int) -> list[Path]:
    """The sorted `paths` less every `every`th, from the first, and less the recordings made at the same instant."""
    files = sorted(paths)
    if not every:
        return files
    held = set(files[::every])
    left_out = set(held)
    for pair in simultaneous(files):
        one, other = (files[index] for index in pair)
        if one in held or other in held:
            left_out |= {one, other}
    return [file for file in files if file not in left_out]
