"""One block: a few channels of samples to a payload of bytes, and back.

A payload states its method, then for each channel its levels, the scale to start from and the channels it refers to,
then the coder's streams, one a lane. `_run_channels` serves both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from spikey.coding.coders import CODERS
from spikey.coding.loop import run
from spikey.errors import DataError
from spikey.model.calibration import Calibration
from spikey.model.cross import choose_references, crossed
from spikey.model.density import narrow, uniform_edges, wide
from spikey.model.ensemble import balanced_predictor
from spikey.model.fixed import NARROW, UNIT
from spikey.model.lms import lms
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.scale import deviation, scale
from spikey.recording.levels import AFFINE, N1, Levels, find_levels, read_levels
from spikey.wire import Cursor, varint

LARGEST = 1 << 22  # samples in a block
STORED, LPC, LMS, BALANCED = range(4)
PREDICTORS = {"lpc": LPC, "lms": LMS, "balanced": BALANCED}
CODER_NAMES = ("arithmetic", "rice", "huffman")
ORDER = 20
MOST_REFERENCES = 4
SAMPLED = 1 << 14  # codes that tell what a channel is like
NEIGHBOURS = 64  # channels among which references are looked for
CALIBRATED, REFERRING = 8, 16  # bits of a channel's first byte, above its kind of levels


@dataclass(frozen=True)
class Method:
    """How a block is coded: names of predictor and coder, whether differences are predicted, streams side by side."""

    predictor: str = "lpc"
    coder: str = "arithmetic"
    delta: bool = True
    lanes: int = 2
    references: int = 0  # of a channel to others, at most; each channel's description states its own

    def write(self) -> bytes:
        """Two bytes."""
        first = PREDICTORS[self.predictor] | CODER_NAMES.index(self.coder) << 4 | self.delta << 6
        return bytes([first, self.lanes])


@dataclass
class Channel:
    """What a block states of one channel."""

    levels: Levels
    calibrated: bool = False
    initial: int = 0
    references: list[int] = field(default_factory=list)

    def write(self) -> bytes:
        """As bytes."""
        flags = self.levels.kind | CALIBRATED * self.calibrated | REFERRING * bool(self.references)
        out = bytes([flags]) + self.levels.write() + bytes([self.initial])
        if self.references:
            out += bytes([len(self.references)]) + b"".join(map(varint, self.references))
        return out


def _read_channel(cursor: Cursor, index: int) -> Channel:
    flags = cursor.byte()
    if flags >= 32:
        raise DataError(f"{cursor.what}: describes a channel in a way that this version does not know")
    channel = Channel(read_levels(flags & 7, cursor), bool(flags & CALIBRATED), cursor.byte())
    if flags & REFERRING:
        channel.references = [cursor.varint(max(index - 1, 0)) for _ in range(cursor.byte())]
        if not 0 < len(channel.references) <= MOST_REFERENCES or index == 0:
            raise DataError(f"{cursor.what}: a channel refers to impossible others")
    return channel


def encode_block(samples: np.ndarray, method: Method, calibration: Calibration | None = None) -> bytes | None:
    """The payload of samples (frames, channels), any integer type; None where it would not be smaller than they are.

    `calibration` is used for the channels it fits.
    """
    frames, count = samples.shape
    columns = np.ascontiguousarray(samples.T)
    codes = np.empty((count, frames), dtype=np.int32)
    channels, lows = [], []
    for index in range(count):
        levels, calibrated = _levels(columns[index], calibration)
        codes[index], low = levels.to_codes(columns[index])
        calibrated = calibrated and calibration is not None and suits(codes[index], calibration)
        channels.append(Channel(levels, calibrated, _initial_scale(codes[index])))
        if low is not None:
            lows.append(_pack_bits(low, levels.low_bits))
    for first in range(0, count if method.references else 0, NEIGHBOURS):
        near = channels[first : first + NEIGHBOURS]
        found = choose_references(codes[first : first + NEIGHBOURS].T, method.references)
        for channel, references in zip(near, found, strict=True):
            channel.references = [first + reference for reference in references]
    start, finish, _ = CODERS[method.coder]
    capacity = samples.nbytes // method.lanes + 64
    encoder = start(method.lanes, capacity)
    _run_channels(encoder, codes, channels, method, calibration)
    if int(encoder.at.max()) > capacity:
        return None
    streams = finish(encoder)
    payload = b"".join(
        [
            method.write(),
            *(channel.write() for channel in channels),
            *(varint(len(stream)) for stream in streams[:-1]),
            *lows,
            *streams,
        ]
    )
    return payload if len(payload) < samples.nbytes else None


def decode_block(
    payload: bytes | memoryview,
    frames: int,
    count: int,
    dtype: np.dtype,
    find_calibration: Callable[[], Calibration | None],
    what: str = "the block",
) -> np.ndarray:
    """The samples (frames, count) of a payload. `find_calibration` is called only when the block needs it.

    Raises DataError for what no encoder writes; that the samples are the right ones is for a check sum to say.
    """
    cursor = Cursor(payload, what)
    first, lanes = cursor.byte(), cursor.byte()
    names = [name for name, number in PREDICTORS.items() if number == first & 15]
    coder = first >> 4 & 3
    if not names or coder >= len(CODER_NAMES) or first >> 7 or not 1 <= lanes <= 16:
        raise DataError(f"{what}: is coded by a method that this version does not know")
    method = Method(names[0], CODER_NAMES[coder], bool(first >> 6 & 1), lanes)
    channels = [_read_channel(cursor, index) for index in range(count)]
    sizes = [cursor.varint(len(payload)) for _ in range(lanes - 1)]
    lows = [cursor.take((frames * c.levels.low_bits + 7) // 8) if c.levels.low_bits else b"" for c in channels]
    streams = [cursor.take(size) for size in sizes] + [cursor.rest()]
    calibration = find_calibration() if any(channel.calibrated for channel in channels) else None
    if any(channel.calibrated for channel in channels) and calibration is None:
        raise DataError(f"{what}: refers to a calibration that the file does not name")
    codes = np.zeros((count, frames), dtype=np.int32)
    _run_channels(CODERS[method.coder][2](streams), codes, channels, method, calibration, what)
    samples = np.empty((frames, count), dtype=dtype)
    for index, channel in enumerate(channels):
        low = _unpack_bits(lows[index], frames, channel.levels.low_bits) if channel.levels.low_bits else None
        samples[:, index] = channel.levels.to_values(codes[index], low, dtype)
    return samples


def uses_calibration(payload: bytes, count: int) -> bool:
    """Whether a payload of `count` channels, as `encode_block` makes it, refers to the file's calibration."""
    if payload[0] & 15 == STORED:
        return False
    cursor = Cursor(payload)
    cursor.take(2)
    return any([_read_channel(cursor, index).calibrated for index in range(count)])


def _run_channels(
    coder: Any,
    codes: np.ndarray,
    channels: list[Channel],
    method: Method,
    calibration: Calibration | None,
    what: str = "the block",
) -> None:
    """Run the loop over each channel in turn; `codes` (channels, frames) are read or written as the coder asks."""
    frames = codes.shape[1]
    steps = -(-frames // method.lanes)
    referred = {index for channel in channels for index in channel.references}
    residuals: dict[int, np.ndarray] = {}
    for index, channel in enumerate(channels):
        size = channel.levels.codes
        if size == 1 or frames == 0:
            residuals[index] = np.zeros(frames, dtype=np.int32)
            continue
        used = calibration if channel.calibrated else None
        if used is not None and used.codes != size:
            raise DataError(f"{what}: a channel of {size} codes names a calibration of {used.codes}")
        density = density_of(size, used)
        prior = None if used is None else used.prior
        options: dict[str, Any] = {"delta": method.delta, "prior": prior}
        spread = deviation(channel.initial)
        running: Any = scale(method.lanes, size, channel.initial)
        if method.predictor == "lpc":
            predictor: Any = lpc(ORDER, method.lanes, steps, size, scale=spread, **options)
        elif method.predictor == "lms":
            predictor = lms(method.lanes, steps, size, scale=spread, **options)
        else:
            predictor = running = balanced_predictor(method.lanes, steps, size, channel.initial, **options)
        if channel.references or index in referred:
            predictor = crossed(predictor, [residuals[j] for j in channel.references], frames, method.lanes)
            residuals[index] = predictor.residual
        run(coder, predictor, density, running, codes[index], SEGMENT)


def density_of(size: int, calibration: Calibration | None) -> Any:
    """The density over an alphabet of `size` codes; its tables are built once and kept."""
    if size > NARROW:
        return wide(size)
    return _uniform(size) if calibration is None else _calibrated(calibration)


@lru_cache(maxsize=256)
def _uniform(size: int) -> Any:
    return narrow(uniform_edges(size))


@lru_cache(maxsize=8)
def _calibrated(calibration: Calibration) -> Any:
    return narrow(calibration.edges)


def _levels(values: np.ndarray, calibration: Calibration | None) -> tuple[Levels, bool]:
    """The levels of a channel, and whether the calibration is for them."""
    if calibration is None:
        return find_levels(values), False
    if "offset" in calibration.metadata:
        levels = Levels(AFFINE, calibration.codes, calibration.metadata["offset"], calibration.metadata["step"])
        if levels.fits(values):
            return levels, True
    levels = find_levels(values)
    return levels, levels.kind == N1 and calibration.metadata.get("levels", "n1") == "n1"


def suits(codes: np.ndarray, calibration: Calibration) -> bool:
    """Whether codes (frames,) come from such a converter: wide codes then occur more often than their neighbours.

    The mean log-width over the samples is positive there, and as much negative under widths that are not theirs.
    """
    counts = np.bincount(codes[:SAMPLED], minlength=calibration.codes)
    return float(counts @ _log_widths(calibration)) >= 0


@lru_cache(maxsize=8)
def _log_widths(calibration: Calibration) -> np.ndarray:
    return np.log2(np.diff(calibration.edges) / UNIT)


def _initial_scale(codes: np.ndarray) -> int:
    """The header's byte for the deviation of the residual, guessed from the first differences of codes (frames,)."""
    if len(codes) < 2:
        return 40
    spread = float(np.abs(np.diff(codes[:SAMPLED])).mean()) * 1.2
    return int(np.clip(np.rint(8 * (np.log2(spread + 1e-3) + 4)), 0, 191))


def _pack_bits(values: np.ndarray, bits: int) -> bytes:
    """`bits` low bits of each value, without gaps."""
    columns = (values[:, None] >> np.arange(bits)) & 1
    return np.packbits(columns.astype(np.uint8).ravel(), bitorder="little").tobytes()


def _unpack_bits(data: bytes, count: int, bits: int) -> np.ndarray:
    columns = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count * bits, bitorder="little")
    return (columns.reshape(count, bits).astype(np.int64) << np.arange(bits)).sum(axis=1)
