"""Codes of a mixed density through the range coder; importing this makes it known to `symbols`."""

from __future__ import annotations

from spikey.coding.range_coder import put, take, target
from spikey.coding.symbols import decode, decode_target, encode
from spikey.model.density import guess
from spikey.model.mixture import Mixed, learn, mixed_below, mixed_locate


@encode.register(Mixed)
def _encode_mixed(density, coder, lane, location, step, code):
    low = mixed_below(density, location, step, code, density.lows)
    high = mixed_below(density, location, step, code + 1, density.highs)
    put(coder, lane, low, high - low)
    learn(density)


@decode_target.register(Mixed)
def _decode_target_mixed(density, coder, lane, location, step):
    wanted = target(coder, lane)
    return wanted, guess(density.bell, location, step, wanted)


@decode.register(Mixed)
def _decode_mixed(density, coder, lane, location, step, wanted, near):
    code, low, counts = mixed_locate(density, location, step, wanted, near)
    take(coder, lane, low, counts)
    learn(density)
    return code
