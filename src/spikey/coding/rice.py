"""Rice codes: a quotient in unary, k low bits as they are, k from the running scale.

No table and no multiplication: what a small implant could afford. Rice and Plaunt, "Adaptive variable-length coding
for efficient compression of spacecraft television data" (1971).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import inlined
from spikey.coding.bits import drop_bits, finish_bits, get_bits, put_bits, reading, see_bits, writing
from spikey.coding.folding import RAW_BITS, alphabet, fold, nearest, unfold
from spikey.coding.symbols import code_symbol

LIMIT = 24  # a quotient of this many means that the code itself follows
STEP_OF_TWO = 138  # the step of the scale (1.25 codes) from which on one low bit is better than none


class RiceEncoder(NamedTuple):
    """word (bits not yet written), pending (how many), at (bytes written): int64 (lanes,); out uint8."""

    word: np.ndarray
    pending: np.ndarray
    at: np.ndarray
    out: np.ndarray


class RiceDecoder(NamedTuple):
    """word (bits read ahead), pending (how many), at (bytes read): int64 (lanes,); data uint8 (lanes, size)."""

    word: np.ndarray
    pending: np.ndarray
    at: np.ndarray
    data: np.ndarray


def rice_encoder(lanes: int, capacity: int) -> RiceEncoder:
    """Start encoding; `capacity` is the room for each lane in bytes."""
    return RiceEncoder(**writing(lanes, capacity))


def rice_decoder(streams: list[bytes]) -> RiceDecoder:
    """Start decoding one stream a lane. Past its end a stream reads as zeros."""
    return RiceDecoder(**reading(streams))


finish_rice = finish_bits


@inlined
def low_bits(step):
    """k for a step of the scale, 32 an octave."""
    return max((step - STEP_OF_TWO + 32) >> 5, 0)


@code_symbol.register(RiceEncoder)
def _code_symbol_encoder(coder, density, lane, location, step, code):
    codes = alphabet(density)
    folded = fold(code, nearest(density, location), codes)
    k = low_bits(step)
    quotient = folded >> k
    if quotient < LIMIT:
        put_bits(coder, lane, (2 << quotient) - 2, quotient + 1)
        put_bits(coder, lane, folded & ((1 << k) - 1), k)
    else:
        put_bits(coder, lane, (1 << LIMIT) - 1, LIMIT)
        put_bits(coder, lane, code, RAW_BITS)
    return code


@code_symbol.register(RiceDecoder)
def _code_symbol_decoder(coder, density, lane, location, step, code):
    codes = alphabet(density)
    k = low_bits(step)
    window = see_bits(coder, lane, LIMIT)
    quotient = 0
    while quotient < LIMIT and (window >> (LIMIT - 1 - quotient)) & 1 == 1:
        quotient += 1
    if quotient == LIMIT:
        drop_bits(coder, lane, LIMIT)
        return min(get_bits(coder, lane, RAW_BITS), codes - 1)
    drop_bits(coder, lane, quotient + 1)
    return unfold((quotient << k) | get_bits(coder, lane, k), nearest(density, location), codes)
