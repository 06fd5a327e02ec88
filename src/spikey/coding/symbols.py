"""One code through one coder: how each density's counts become calls of each coder, named alike both ways."""

from __future__ import annotations

from spikey.base.jit import entry, generic, inlined
from spikey.coding.range_coder import (
    RangeDecoder,
    RangeEncoder,
    put,
    take,
    target,
)
from spikey.model.density import QUANTILE_BITS, Narrow, Wide, below, cumulative, guess, locate, standardise
from spikey.model.fixed_point import MASS, MASS_BITS, NARROW, POSITION_BITS, SCALE_STEP_BITS, UNIT, Z_BITS

ESCAPE_LOW = MASS - 256
RAW_BITS = 20  # of a code after an escape


@generic
def code_symbol(coder, density, lane, location, step, code):
    """Send `code` (encoding) or receive and return it (decoding, where the argument is ignored).

    location: int64, 1/64 LSB; step: index into the table of scales.
    """


@generic
def encode(density, coder, lane, location, step, code):
    """Put a code into a range coder."""


@generic
def decode_target(density, coder, lane, location, step):
    """What a range decoder points at, and a guess of the code: the part of decoding that lanes can do ahead."""


@generic
def decode(density, coder, lane, location, step, wanted, near):
    """Take a code out of a range decoder, by the result of `decode_target`."""


@code_symbol.register(RangeEncoder)
def _code_symbol_encoder(coder, density, lane, location, step, code):
    encode(density, coder, lane, location, step, code)
    return code


@code_symbol.register(RangeDecoder)
def _code_symbol_decoder(coder, density, lane, location, step, code):
    wanted, near = decode_target(density, coder, lane, location, step)
    return decode(density, coder, lane, location, step, wanted, near)


@encode.register(Narrow)
def _encode_narrow(density, coder, lane, location, step, code):
    reciprocal = entry(density.reciprocal, step)
    low = below(density, location, reciprocal, code)
    put(coder, lane, low, below(density, location, reciprocal, code + 1) - low)


@decode_target.register(Narrow)
def _decode_target_narrow(density, coder, lane, location, step):
    wanted = target(coder, lane)
    return wanted, guess(density, location, step, wanted)


@decode.register(Narrow)
def _decode_narrow(density, coder, lane, location, step, wanted, near):
    code, low, counts = locate(density, location, step, wanted, near)
    take(coder, lane, low, counts)
    return code


@inlined
def _window(density, location, step):
    """How many low bits are coded evenly, and the first coarse code of the window."""
    octave = (step >> (16 - SCALE_STEP_BITS)) + 2 - POSITION_BITS  # of the scale, in codes
    shift = min(max(octave + 1 - 8, 0), 10)
    coarse = ((density.size[0] - 1) >> shift) + 1
    middle = ((location + UNIT // 2) >> POSITION_BITS) >> shift
    return shift, min(max(middle - NARROW // 2, 0), max(coarse - NARROW, 0))


@inlined
def _below_wide(density, location, reciprocal, shift, first, index):
    """Counts of the window's codes below `index`; all of them at 4,096."""
    if index <= 0:
        return 0
    if index >= NARROW:
        return ESCAPE_LOW
    edge = (((first + index) << shift) << POSITION_BITS) - UNIT // 2
    return cumulative(density.table, standardise(edge - location, reciprocal)) + index


@encode.register(Wide, inline=False)
def _encode_wide(density, coder, lane, location, step, code):
    shift, first = _window(density, location, step)
    reciprocal = entry(density.reciprocal, step)
    index = (code >> shift) - first
    if 0 <= index < NARROW:
        low = _below_wide(density, location, reciprocal, shift, first, index)
        put(coder, lane, low, _below_wide(density, location, reciprocal, shift, first, index + 1) - low)
        if shift > 0:
            put(coder, lane, (code & ((1 << shift) - 1)) << (MASS_BITS - shift), 1 << (MASS_BITS - shift))
    else:
        put(coder, lane, ESCAPE_LOW, MASS - ESCAPE_LOW)
        put(coder, lane, code << (MASS_BITS - RAW_BITS), 1 << (MASS_BITS - RAW_BITS))


@decode_target.register(Wide)
def _decode_target_wide(density, coder, lane, location, step):
    wanted = target(coder, lane)
    z = entry(density.quantiles, wanted >> (MASS_BITS - QUANTILE_BITS))
    guessed = location + ((z * entry(density.spread, step)) >> (Z_BITS + POSITION_BITS))
    return wanted, (guessed + UNIT // 2) >> POSITION_BITS


@decode.register(Wide, inline=False)
def _decode_wide(density, coder, lane, location, step, wanted, near):
    shift, first = _window(density, location, step)
    reciprocal = entry(density.reciprocal, step)
    if wanted >= ESCAPE_LOW:
        take(coder, lane, ESCAPE_LOW, MASS - ESCAPE_LOW)
        code = target(coder, lane) >> (MASS_BITS - RAW_BITS)
        take(coder, lane, code << (MASS_BITS - RAW_BITS), 1 << (MASS_BITS - RAW_BITS))
        return min(code, density.size[0] - 1)
    middle = min(max((near >> shift) - first, 0), NARROW - 1)
    low_index, high_index, reach = 0, NARROW - 1, 1
    # Widen a bracket around the guess, which is nearly always off by one at most, then bisect it.
    if _below_wide(density, location, reciprocal, shift, first, middle) <= wanted:
        low_index = middle
        while low_index + reach < NARROW and (
            _below_wide(density, location, reciprocal, shift, first, low_index + reach) <= wanted
        ):
            low_index += reach
            reach *= 2
        high_index = min(low_index + reach - 1, NARROW - 1)
    else:
        high_index = middle - 1
        while high_index - reach >= 0 and (
            _below_wide(density, location, reciprocal, shift, first, high_index - reach + 1) > wanted
        ):
            high_index -= reach
            reach *= 2
        low_index = max(high_index - reach + 1, 0)
    while low_index < high_index:
        half = (low_index + high_index + 1) >> 1
        if _below_wide(density, location, reciprocal, shift, first, half) <= wanted:
            low_index = half
        else:
            high_index = half - 1
    low = _below_wide(density, location, reciprocal, shift, first, low_index)
    take(coder, lane, low, _below_wide(density, location, reciprocal, shift, first, low_index + 1) - low)
    code = (first + low_index) << shift
    if shift > 0:
        bits = target(coder, lane) >> (MASS_BITS - shift)
        take(coder, lane, bits << (MASS_BITS - shift), 1 << (MASS_BITS - shift))
        code |= bits
    return min(code, density.size[0] - 1)
