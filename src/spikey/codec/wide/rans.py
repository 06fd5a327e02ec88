"""Interleaved rANS: one 32-bit state a lane, 16 bits out at a time, all lanes into one stream of words.

A state x lies in [2^16, 2^32). Coding a symbol of `freq` out of 2^14 counts from `start` makes it
(x // freq) * 2^14 + x % freq + start, after 16 bits went out where that would be too large; decoding is the inverse.
Encoding goes through the samples from the last to the first, and fills the words from their end.
"""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import inlined
from spikey.codec.wide.shapes import MASS_BITS

U16, U32, I32, F32 = np.uint16, np.uint32, np.int32, np.float32
LOWEST = 1 << 16  # of a state
RENORM = U32(32 - MASS_BITS)
BITS = U32(MASS_BITS)
SIXTEEN = U32(16)
LOW = U32(65535)
SLACK = F32(1 / 16)  # of a quotient
MASK = U32((1 << MASS_BITS) - 1)


@inlined
def put_row(lanes, start, freq, state, words, at, word, flag):
    """Code one symbol in every lane, the last lane's first; where the words now begin."""
    for lane in range(len(lanes)):
        x = state[lane]
        f = U32(freq[lane])
        full = (x >> RENORM) >= f
        word[lane] = U16(x & LOW)
        flag[lane] = full
        x = U32(x >> SIXTEEN) if full else x
        # The quotient is less than 2^18, off by less than 1/16 before that is subtracted: right or one too small.
        q = U32(I32(F32(x) / F32(f) - SLACK))
        r = U32(x - U32(q * f))
        more = r >= f
        q = U32(q + U32(more))
        r = U32(r - (f if more else U32(0)))
        state[lane] = U32(U32(q << BITS) + r + U32(start[lane]))
    for lane in range(len(lanes) - 1, -1, -1):
        words[at - 1] = word[lane]
        at -= flag[lane]
    return at


@inlined
def take_row(lanes, words, at, state):
    """Fill up every lane's state; where the next word is."""
    for lane in range(len(lanes)):
        x = state[lane]
        short = x < U32(LOWEST)
        word = U32(words[at])
        state[lane] = U32(x << SIXTEEN) | word if short else x
        at += short
    return at


@inlined
def put_bits(value, count, lane, state, words, at):
    """Code the `count` <= 14 low bits of a value, evenly, in one lane."""
    x = state[lane]
    f = U32(U32(1) << U32(MASS_BITS - count))
    if (x >> RENORM) >= f:
        at -= 1
        words[at] = U16(x & LOW)
        x = U32(x >> SIXTEEN)
    rest = U32(MASS_BITS - count)
    state[lane] = U32(U32(x >> rest) << BITS) + U32(x & U32(f - U32(1))) + U32(U32(value) << rest)
    return at


@inlined
def take_bits(count, lane, state, words, at):
    """`count` <= 14 bits of one lane, and where the next word is."""
    x = state[lane]
    rest = U32(MASS_BITS - count)
    slot = U32(x & MASK)
    value = U32(slot >> rest)
    x = U32(U32(x >> BITS) << rest) + U32(slot & U32(U32(U32(1) << rest) - U32(1)))
    if x < U32(LOWEST):
        x = U32(x << SIXTEEN) | U32(words[at])
        at += 1
    state[lane] = x
    return value, at
