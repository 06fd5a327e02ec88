"""The one loop: predict, transfer a code, learn from it. Encoding and decoding differ in the coder's type alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikey.base.jit import entry, inlined, kernel
from spikey.coding.symbols import code_symbol
from spikey.model.density import position, step_of
from spikey.model.lpc import predict, prepare, refit, update
from spikey.model.scale import scale_at, update_scale

OPENING = 32  # samples in the first segment; each next one is twice as long, up to the full length


def run(coder: Any, predictor: Any, density: Any, scale: Any, codes: np.ndarray, segment: int) -> None:
    """Code one channel: codes int32 (frames,), read when encoding, written when decoding.

    Lane l holds frames l * steps to (l + 1) * steps; only the last lanes may be shorter.
    """
    frames, lanes = len(codes), len(coder.at)
    steps = -(-frames // lanes)
    lengths = np.clip(frames - steps * np.arange(lanes), 0, steps)
    folded = codes if frames == lanes * steps else np.concatenate([codes, np.zeros(lanes * steps - frames, np.int32)])
    rows = folded.reshape(lanes, steps)
    run_rows(coder, predictor, density, scale, rows, lengths, max(OPENING // lanes, 1), segment // lanes)
    if folded is not codes:
        codes[:] = folded[:frames]


@kernel
def run_rows(coder, predictor, density, scale, codes, lengths, opening, whole):
    """Code int32 (lanes, steps) in lockstep, of each lane the first `lengths`.

    opening, whole: steps in the first segment and in a full one.
    """
    start = 0
    length = min(opening, whole)
    while start < codes.shape[1]:
        end = min(start + length, codes.shape[1])
        for t in range(start, end):
            prepare(predictor, t)
            for lane in range(codes.shape[0]):
                if t < lengths[lane]:
                    codes[lane, t] = one_sample(coder, predictor, density, scale, lane, t, np.int64(codes[lane, t]))
        refit(predictor, start, end, length == whole)
        start = end
        length = min(length * 2, whole)


@kernel
def run_step(coder, predictor, density, scale, codes, lengths, t):
    """Code step t of all lanes, once it is foreseen."""
    for lane in range(codes.shape[0]):
        if t < lengths[lane]:
            codes[lane, t] = one_sample(coder, predictor, density, scale, lane, t, np.int64(codes[lane, t]))


@inlined
def one_sample(coder, predictor, density, scale, lane, t, code):
    """Code one sample."""
    location = predict(predictor, lane, t)
    step = step_of(scale_at(scale, lane, t))
    code = code_symbol(coder, density, lane, location, step, code)
    here = position(density, code)
    reciprocal = entry(density.reciprocal, step)
    update_scale(scale, lane, t, here - location, reciprocal)
    update(predictor, lane, t, here, location, reciprocal)
    return code
