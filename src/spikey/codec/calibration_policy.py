"""Which calibration a recording is coded with: the one place that decides what "auto" means.

"auto": the N1's where it suits, else code widths estimated from the recording where storing them pays, else none.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spikey.codec.cut import block_shape
from spikey.codec.encode import encode_block
from spikey.codec.method import Method
from spikey.codec.registry import PREDICTORS
from spikey.codec.survey import suits
from spikey.coding.packed_bytes import pack_bytes
from spikey.levels.affine import Affine, spanning
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.levels.scaled import find_scale
from spikey.model.calibration import MOST_CODES, Calibration, load, n1
from spikey.recording.readable import Readable

AUTO, N1_ONLY, NONE = "auto", "n1", "none"
WORTH_TRYING = 500_000  # samples; a shorter recording cannot save what a calibration takes
LEARNED_FROM = 1 << 18  # samples at most
CHANNELS = 8
GLANCE = 8192  # frames that tell an N1
ROUNDS = 3
FEWEST_CODES = 16  # of an alphabet whose widths are worth estimating
SAFETY = 3  # times its own bytes that a calibration must save
Wanted = Calibration | str | os.PathLike[str] | None


class Chosen(NamedTuple):
    """A calibration, and its bytes where it has to travel with the file; None for none."""

    calibration: Calibration | None = None
    embed: bytes | None = None


def choose_calibration(wanted: Wanted, source: Readable, method: Method) -> Chosen:
    """The calibration to code `source` with.

    Parameters
    ----------
    wanted : {"auto", "n1", "none"}, Calibration, path or None
        "n1": the N1's for the channels that it suits. A calibration or the path of one is used for the channels that it
        fits, and travels with the file. None is "none".
    source, method
        Looked at for "auto" only.
    """
    if wanted is None or wanted == NONE:
        return Chosen()
    if wanted == AUTO:
        return _automatic(source, method)
    calibration = n1() if wanted == N1_ONLY else wanted if isinstance(wanted, Calibration) else load(wanted)
    return Chosen(calibration, None if calibration.id == n1().id else calibration.to_bytes())


def _automatic(source: Readable, method: Method) -> Chosen:
    frames = min(source.frames, block_shape(source.layout)[0])
    total = source.frames * source.layout.channels
    if frames < 2:
        return Chosen(n1())
    columns = _channels(source, min(frames, GLANCE))
    if columns is None:
        return Chosen()
    for column in columns:
        levels = find_levels(column)
        if isinstance(levels, N1Levels) and suits(levels.to_codes(column)[0], n1()):
            return Chosen(n1())
    if total < WORTH_TRYING:
        return Chosen()
    columns = _channels(source, frames)
    if columns is None:
        return Chosen()
    try:
        estimated, saved = _estimate(columns, method)
    except Exception:  # an estimate that fails, for whatever reason, costs what it would have saved, not the recording
        return Chosen()
    if estimated is None:
        return Chosen()
    data = estimated.to_bytes()
    return Chosen(estimated, data) if saved * total > SAFETY * len(pack_bytes(data, 4)) else Chosen()


def _estimate(columns: np.ndarray, method: Method) -> tuple[Calibration | None, float]:
    """A calibration learned from one half of channels (channels, frames), and bytes a sample that it saves of another.

    Channels that never move teach nothing, and may lie where the converter of the others has no codes.
    """
    from spikey.codec.code_widths import calibrate

    found = [find_levels(column) for column in columns]
    moving = [column for levels, column in zip(found, columns, strict=True) if levels.alphabet > 1]
    levels = _common_levels(found)
    if levels is None:
        return None, 0.0
    if PREDICTORS[method.predictor].companions:
        method = replace(method, predictor="balanced")  # which gains as much by a calibration, and is fast
    half = min(columns.shape[1] // 2, LEARNED_FROM // len(columns))
    learned = [levels.to_codes(column[:half])[0] for column in moving]
    estimated = calibrate(learned, levels.alphabet, ROUNDS, metadata={"device": "unknown", **levels.describe()})
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
    moving = [levels for levels in found if levels.alphabet > 1]
    if moving and all(isinstance(levels, N1Levels) for levels in moving):
        return N1Levels()
    even = [levels for levels in moving if isinstance(levels, Affine) and not levels.low_bits]
    if not moving or len(even) < len(moving):
        return None
    common = spanning(even)
    return common if FEWEST_CODES <= common.alphabet <= MOST_CODES else None
