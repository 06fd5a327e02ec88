"""Which calibration a recording is coded with: the N1's where it suits, else widths estimated from the recording itself
where storing them pays for itself, else none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikey.codec.block import WITH_COMPANIONS, Method, encode_block, suits
from spikey.codec.code_widths import calibrate
from spikey.coding.packed_bytes import pack_bytes
from spikey.container.writer import Readable, block_shape
from spikey.levels.maps import AFFINE, N1, N1_CODES, Levels, find_levels, spanning
from spikey.levels.scaled import find_scale
from spikey.model.calibration import MOST_CODES, Calibration, n1

WORTH_TRYING = 500_000  # samples; a shorter recording cannot save what a calibration takes
LEARNED_FROM = 1 << 18  # samples at most
CHANNELS = 8
GLANCE = 8192  # frames that tell an N1
ROUNDS = 3


def choose_calibration(source: Readable, method: Method) -> tuple[Calibration | None, bytes | None]:
    """The calibration to code `source` with, and its bytes where it has to travel with the file."""
    frames = min(source.frames, block_shape(source.layout)[0])
    total = source.frames * source.layout.channels
    if frames < 2:
        return n1(), None
    columns = _channels(source, min(frames, GLANCE))
    if columns is None:
        return None, None
    found = [find_levels(column) for column in columns]
    if any(levels.kind == N1 and suits(levels.to_codes(c)[0], n1()) for levels, c in zip(found, columns, strict=True)):
        return n1(), None
    if total < WORTH_TRYING:
        return None, None
    columns = _channels(source, frames)
    if columns is None:
        return None, None
    try:
        estimated, saved = _estimate(columns, method)
    except Exception:  # a guess that fails, for whatever reason, costs what it would have saved, not the recording
        return None, None
    if estimated is None:
        return None, None
    data = estimated.to_bytes()
    return (estimated, data) if saved * total > 3 * len(pack_bytes(data, 4)) else (None, None)


def _estimate(columns: np.ndarray, method: Method) -> tuple[Calibration | None, float]:
    """A calibration learned from one half of channels (channels, frames), and bytes a sample that it saves of another.

    Channels that never move teach nothing, and may lie where the converter of the others has no codes.
    """
    found = [find_levels(column) for column in columns]
    moving = [column for levels, column in zip(found, columns, strict=True) if levels.codes > 1]
    levels = _common_levels(found)
    if levels is None:
        return None, 0.0
    if method.predictor in WITH_COMPANIONS:
        method = replace(method, predictor="balanced")  # which says as much of a calibration, and is fast
    half = min(columns.shape[1] // 2, LEARNED_FROM // len(columns))
    learned = [levels.to_codes(column[:half])[0] for column in moving]
    estimated = calibrate(learned, levels.codes, ROUNDS, metadata={"device": "unknown", **levels.describe()})
    tried = columns[:, half : half + LEARNED_FROM // len(columns)].T
    plain, calibrated = (encode_block(tried, method, calibration) for calibration in (None, estimated))
    if plain is None or calibrated is None:
        return None, 0.0
    return estimated, (len(plain) - len(calibrated)) / tried.size


def _channels(source: Readable, frames: int) -> np.ndarray | None:
    """The first channels, integers (channels, frames): of floats those that they are scaled from; None without such."""
    columns = np.ascontiguousarray(source.read(0, frames)[:, :CHANNELS].T)
    if columns.dtype.kind != "f":
        return columns
    integers = []
    for column in columns:
        found = find_scale(column)
        if found is None:
            return None
        integers.append(found.integers)
    return np.stack(integers)


def _common_levels(found: list[Levels]) -> Levels | None:
    """One map for all channels of one converter; None where they have none or its alphabet is too large or small."""
    moving = [levels for levels in found if levels.codes > 1]
    if moving and all(levels.kind == N1 for levels in moving):
        return Levels(N1, N1_CODES)
    if not moving or any(levels.kind != AFFINE or levels.low_bits for levels in moving):
        return None
    common = spanning(moving)
    return common if 16 <= common.codes <= MOST_CODES else None
