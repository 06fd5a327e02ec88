"""The one loop: predict, transfer a code, learn from it. Encoding and decoding differ in the coder's type alone."""

from __future__ import annotations

import numpy as np

from spikey.coding.symbols import transfer
from spikey.kernels import entry, kernel
from spikey.model.density import position, step_of
from spikey.model.lpc import adapt, observe, predict
from spikey.model.scale import rescale, scale_of


@kernel
def run(coder, predictor, density, scale, codes, segment):
    """Code one channel: codes int32 (frames,), read when encoding, written when decoding.

    Lane l holds frames l * steps to (l + 1) * steps; only the last lanes may be shorter.
    """
    frames = codes.shape[0]
    lanes = coder.at.shape[0]
    steps = (frames + lanes - 1) // lanes
    whole = segment // lanes
    start = 0
    length = min(max(32 // lanes, 1), whole)
    while start < steps:
        end = min(start + length, steps)
        for t in range(start, end):
            for lane in range(lanes):
                at = lane * steps + t
                if at < frames:
                    location = predict(predictor, lane, t)
                    step = step_of(scale_of(scale, lane, t))
                    code = transfer(coder, density, lane, location, step, np.int64(codes[at]))
                    codes[at] = code
                    here = position(density, code)
                    reciprocal = entry(density.reciprocal, step)
                    rescale(scale, lane, t, here - location, reciprocal)
                    observe(predictor, lane, t, here, location, reciprocal)
        adapt(predictor, start, end, length == whole)
        start = end
        length = min(length * 2, whole)
