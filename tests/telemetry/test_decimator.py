"""The LFP band's decimator: running sums and differences give what its impulse response gives."""

from __future__ import annotations

import numpy as np
import pytest

from spikey.telemetry.filters import BOXCARS, LOW_FRACTION, SHARPEN
from spikey.telemetry.frontend import begin_frontend, new_frontend, process_frames
from spikey.telemetry.settings import Settings, shape_of


def impulse_response(factor: int) -> np.ndarray:
    """Four running means one after the other, and three taps of the decimated rate."""
    taps = np.ones(1, dtype=np.int64)
    for _ in range(BOXCARS):
        taps = np.convolve(taps, np.ones(factor, dtype=np.int64))
    sharpen = np.zeros(2 * factor + 1, dtype=np.int64)
    sharpen[::factor] = SHARPEN
    return np.convolve(taps, sharpen)


@pytest.mark.parametrize("rate", [2000.0, 20_000.0, 200_000.0])
def test_running_sums_give_the_impulse_response(rate):
    settings = Settings(band=(100.0, 0.4 * rate), power_high=0.2 * rate)
    shape = shape_of(settings, 3, rate)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 1 << 16, (70 * shape.decimation, 3)).astype(np.int32)
    codes[:, 1] = np.where(np.arange(len(codes)) > 0, 65_535, 0)  # as far from the first code as can be
    codes[:, 2] = np.where(np.arange(len(codes)) // shape.decimation % 9 < 4, 0, 65_535)
    frontend = new_frontend(settings, shape)
    begin_frontend(frontend, codes[0])
    samples, taps = [], impulse_response(shape.decimation)
    for at in range(0, len(codes), shape.decimation):
        process_frames(frontend, codes[at : at + shape.decimation], 0)
        samples.append(frontend.low[:, at // shape.decimation % frontend.low.shape[1]].copy())
    for c in range(3):
        sums = np.convolve(codes[:, c].astype(np.int64) - int(codes[0, c]), taps)[: len(codes)]
        exact = sums[shape.decimation - 1 :: shape.decimation]
        gain = int(taps.sum())
        np.testing.assert_array_equal(np.array(samples)[:, c], ((exact << (LOW_FRACTION + 1)) + gain) // (2 * gain))
