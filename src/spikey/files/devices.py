"""A device's recordings as channels of codes under one map of levels, and which of them to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import DataError, UsageError
from spikey.container.layout import MAGIC
from spikey.levels.affine import Affine, spanning
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1_CODES, N1Levels
from spikey.levels.registry import find_levels
from spikey.model.calibration import LARGEST_ALPHABET
from spikey.recording.raw import open_raw
from spikey.recording.simultaneous import simultaneous
from spikey.recording.wav import open_wav

FRAMES = 1 << 18  # of each recording
FEWEST_CODES = 16  # a channel of fewer is a digital line, or silent

Opener = Callable[[Path], AbstractContextManager[Any]]


def opener(raw: tuple[int, float, str] | None = None) -> Opener:
    """What opens a recording: a WAV file or, with `raw`, samples of these channels, rate in Hz and type; `.spky` files.

    What is opened has `layout`, `frames` and `read(first_frame, count)`. Raises as the readers of each kind do.
    """

    def opened(path: Path) -> AbstractContextManager[Any]:
        from spikey.container.reader import Reader

        if path.suffix.lower() == ".spky" or _begins_with_magic(path):
            return Reader(path)
        return open_wav(path) if raw is None else open_raw(path, *raw)

    return opened


def _begins_with_magic(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # opening it reports why


@dataclass(frozen=True)
class Device:
    """Channels of codes, iterated as often as wanted: of every file, each channel's first 262,144 frames.

    left_out: channels that are not of the device's converter: digital lines, silence, values off its grid.
    """

    paths: list[Path]
    levels: Levels
    opened: Opener
    left_out: int = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            yield from self.channels_of(path)

    def channels_of(self, path: Path) -> list[np.ndarray]:
        """The channels of one file that are of this converter, int32 (frames,) each."""
        return [
            self.levels.to_codes(channel)[0]
            for channel in _channels(path, self.opened)
            if len(channel) and _possible(find_levels(channel)) and self._fits(channel)
        ]

    def samples_of(self, path: Path) -> np.ndarray:
        """The first frames of one file, with all of its channels, (frames, channels)."""
        with self.opened(path) as source:
            return np.asarray(source.read(0, min(source.frames, FRAMES)))

    def _fits(self, channel: np.ndarray) -> bool:
        return not isinstance(self.levels, Affine) or self.levels.fits(channel)


def device_of(paths: list[Path], opened: Opener = open_wav) -> Device:
    """Find the one map of levels that fits the channels of all files; UsageError where there is none of at most 65,536.

    Channels of few values or of values off any grid are left out. Raises DataError for files without integers.
    """
    found: list[Affine | N1Levels] = []
    seen = left_out = 0
    for path in paths:
        for channel in _channels(path, opened):
            levels = find_levels(channel) if len(channel) else None
            seen += len(channel)
            if isinstance(levels, N1Levels | Affine) and _possible(levels):
                found.append(levels)
            else:
                left_out += 1
    if not seen:
        raise UsageError("there are no samples to estimate a calibration from")
    if not found:
        raise UsageError(
            f"none of the {left_out:,} channels has {FEWEST_CODES} to {LARGEST_ALPHABET:,} evenly spaced levels, for "
            "which widths can be estimated"
        )
    even = [levels for levels in found if isinstance(levels, Affine)]
    if not even:
        return Device(paths, N1Levels(), opened, left_out)
    common = spanning([*even, *([Affine(N1_CODES, 0)] if len(even) < len(found) else [])])
    if common.alphabet > LARGEST_ALPHABET or len(even) < len(found):
        raise UsageError(
            f"the recordings use {common.alphabet:,} levels; "
            f"widths can be estimated for {FEWEST_CODES} to {LARGEST_ALPHABET:,}"
        )
    return Device(paths, common, opened, left_out)


def _possible(levels: Levels) -> bool:
    """Whether a channel may be a converter's whose widths can be estimated."""
    even = isinstance(levels, Affine) and FEWEST_CODES <= levels.alphabet <= LARGEST_ALPHABET
    return isinstance(levels, N1Levels) or even


def _channels(path: Path, opened: Opener) -> Iterator[np.ndarray]:
    with opened(path) as source:
        if source.layout.memory_dtype.kind == "f":
            raise DataError(f"{path}: holds {source.layout.dtype} samples, and a calibration is learned from integers")
        samples = source.read(0, min(source.frames, FRAMES))
    yield from np.ascontiguousarray(samples.T)


def training_files(paths: list[Path], every: int, opened: Opener = open_wav) -> list[Path]:
    """The sorted `paths` less every `every`th, from the first, and less the simultaneous recordings."""
    files = sorted(paths)
    if not every:
        return files
    held = set(files[::every])
    left_out = set(held)
    for pair in simultaneous(files, opened):
        one, other = (files[index] for index in pair)
        if one in held or other in held:
            left_out |= {one, other}
    return [file for file in files if file not in left_out]
