"""The data set: for every channel of the recordings, what the codec computes before a network sees it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikey.base.errors import UsageError
from spikey.codec.survey import levels_of, suits
from spikey.model.calibration import Calibration, load, n1
from spikey.model.density import uniform_edges
from spikey.model.fixed_point import SCALE_BITS
from spikey.model.trained import Architecture
from spikey.recording.source import NotPCM
from spikey.recording.wav import open_wav
from spikey.training.capture import capture

AROUND = 2.5  # octaves around a channel's median scale that are learned from: neither silence nor artifacts
FINEST = 4.0  # log2 of the finest scale learned from, in 1/64 LSB
FARTHEST = 10.0  # scales between location and code from which on a sample is an artifact
INFINITE = 1000.0  # scales, where a bin has no end
MEMORY = 0.8  # part of the machine's that the recordings may take

Say = Callable[[str], None]
Step = Callable[[int], None]


class Channel(NamedTuple):
    """One channel, as the codec's integer arithmetic prepares it for a network.

    codes int32; position, location, deviation float64: the middle of the code, the base's location and scale, in 1/64
    LSB; inputs int16 (frames, inputs) in 1/256; below, above float32: the edges of the actual code, relative to the
    location, in deviations; usable bool: whether there is something to learn. All (frames,) unless specified otherwise.
    """

    codes: np.ndarray
    inputs: np.ndarray
    position: np.ndarray
    location: np.ndarray
    deviation: np.ndarray
    below: np.ndarray
    above: np.ndarray
    usable: np.ndarray
    calibration: Calibration | None


@dataclass(frozen=True, eq=False)
class Sequences:
    """Channels of recordings, one after the other.

    inputs int16 (samples, inputs), below, above float32 (samples,), usable bool (samples,): as in `Channel`.
    starts int64 (channels + 1,): where each begins. paths: their files. calibrations: ids of those used, as text.
    sha256: of the SHA-256 of all channels' codes, as text.
    """

    inputs: np.ndarray
    below: np.ndarray
    above: np.ndarray
    usable: np.ndarray
    starts: np.ndarray
    paths: list[Path]
    calibrations: list[str]
    sha256: str


def calibration_of(setting: str) -> Calibration | None:
    """What the configuration's `calibration` names; `auto` is the N1's, which `channel_of` uses where it suits."""
    if setting == "none":
        return None
    return n1() if setting in ("auto", "n1") else load(setting)


def channel_of(samples: np.ndarray, architecture: Architecture, calibration: Calibration | None) -> Channel | None:
    """Prepare a channel, integers (frames,); None where it is constant, so that there is nothing to predict."""
    levels, calibrated = levels_of(samples, calibration)
    if levels.alphabet == 1:
        return None
    codes = np.ascontiguousarray(levels.to_codes(samples)[0], dtype=np.int32)
    used = calibration if calibrated and calibration is not None and suits(codes, calibration) else None
    edges = uniform_edges(levels.alphabet).astype(np.float64) if used is None else used.edges.astype(np.float64)
    captured = capture(codes, levels.alphabet, architecture, used)
    octaves = captured.scale / (1 << SCALE_BITS)
    deviation = np.exp2(octaves)
    location = captured.location.astype(np.float64)
    ends = edges.copy()
    ends[[0, -1]] = -np.inf, np.inf
    below, above = (
        np.clip((ends[codes + side] - location) / deviation, -INFINITE, INFINITE).astype(np.float32) for side in (0, 1)
    )
    usable = (np.abs(octaves - np.median(octaves)) < AROUND) & (octaves > FINEST) & (np.abs(below) < FARTHEST)
    usable[0] = False
    position = (edges[codes] + edges[codes + 1]) / 2
    return Channel(codes, captured.inputs, position, location, deviation, below, above, usable, used)


def gather(
    paths: list[Path],
    architecture: Architecture,
    calibration: Calibration | None,
    shortest: int,
    *,
    what: str,
    advance: Step | None = None,
    say: Say = print,
) -> Sequences:
    """Prepare every channel of the WAV files.

    `say` reports files shorter than `shortest` samples and constant channels, which are left out; `advance` is called
    with 1 after each file. Raises UsageError where none is left or they do not fit into memory.
    """
    layouts = [_layout(path, shortest) for path in paths]
    total = sum(frames * channels for frames, channels in layouts)
    bytes_each = 2 * architecture.inputs + 9
    _check_memory(total * bytes_each, what)
    inputs = np.empty((total, architecture.inputs), dtype=np.int16)
    below, above = np.empty((2, total), dtype=np.float32)
    usable = np.empty(total, dtype=bool)
    starts, origins, used, listing, short = [0], [], set(), hashlib.sha256(), 0
    for path, (frames, _) in zip(paths, layouts, strict=True):
        short += not frames
        for samples in _channels(path, frames):
            channel = channel_of(samples, architecture, calibration)
            if channel is None:
                say(f"{path}: a constant channel is left out")
                continue
            if channel.calibration is not None:
                used.add(channel.calibration.id.hex())
            listing.update(hashlib.sha256(channel.codes.astype("<i4").tobytes()).digest())
            here = slice(starts[-1], starts[-1] + frames)
            inputs[here], below[here], above[here], usable[here] = (
                channel.inputs,
                channel.below,
                channel.above,
                channel.usable,
            )
            starts.append(here.stop)
            origins.append(path)
        if advance is not None:
            advance(1)
    if short:
        are = "recording is left out: it is" if short == 1 else "recordings are left out: they are"
        say(f"{short} {what} {are} shorter than {shortest} samples or not integer PCM")
    end = starts[-1]
    if not usable[:end].any():
        raise UsageError(f"none of {len(paths)} {what} recordings has {shortest} samples of a signal to predict")
    return Sequences(
        inputs[:end],
        below[:end],
        above[:end],
        usable[:end],
        np.array(starts),
        origins,
        sorted(used),
        listing.hexdigest(),
    )


def _layout(path: Path, shortest: int) -> tuple[int, int]:
    """Frames and channels of a file; no frames where it is of no use."""
    try:
        with open_wav(path) as source:
            return source.frames if source.frames >= shortest else 0, source.layout.channels
    except NotPCM:
        return 0, 0


def _channels(path: Path, frames: int) -> Iterator[np.ndarray]:
    if frames:
        with open_wav(path) as source:
            samples = source.read(0, frames)
        yield from np.ascontiguousarray(samples.T)


def _check_memory(needed: int, what: str) -> None:
    with suppress(AttributeError, ValueError, OSError):  # where the system does not report its memory
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > MEMORY * there:
            raise UsageError(
                f"the {what} recordings take {needed / 1e9:.1f} GB of the machine's {there / 1e9:.1f} GB of memory; "
                "use fewer (training.limit)"
            )
