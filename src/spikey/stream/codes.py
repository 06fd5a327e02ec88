"""Samples to codes and back for frames as they come: as the level maps do, with a fast one for the N1's."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import entry, kernel
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1_VALUES, N1Levels


def codes_of(levels: Levels, frames: np.ndarray) -> np.ndarray | None:
    """Codes int32 (frames, channels) of samples; None where one of them is none of the levels'."""
    if isinstance(levels, N1Levels):
        codes = np.empty(frames.shape, dtype=np.int32)
        return codes if _n1_codes(frames.ravel(), N1_VALUES, codes.ravel()) else None
    flat = frames.ravel()
    fits = isinstance(levels, Affine) and levels.fits(flat)
    return levels.to_codes(flat)[0].reshape(frames.shape) if fits else None


def values_of(levels: Levels, codes: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Samples (frames, channels) of codes int32."""
    if isinstance(levels, N1Levels) and dtype == np.int16:
        values = np.empty(codes.shape, dtype=np.int16)
        _n1_values(codes.ravel(), N1_VALUES, values.ravel())
        return values
    return levels.to_values(codes.ravel(), None, dtype).reshape(codes.shape)


@kernel
def _n1_codes(frames, values, codes):
    """Set codes int32 (n,) of frames int16 (n,); whether all of them are among the values."""
    wrong = False
    for i in range(frames.shape[0]):
        code = (np.int64(frames[i]) >> 6) + 512
        codes[i] = code
        wrong |= entry(values, code) != frames[i]
    return not wrong


@kernel
def _n1_values(codes, values, frames):
    for i in range(codes.shape[0]):
        frames[i] = entry(values, codes[i])
