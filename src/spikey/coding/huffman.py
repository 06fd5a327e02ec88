"""Huffman codes: one static code for each quarter octave of the running scale, made from the bell shape of the density.

Residuals are folded (`residual`); above a scale of 8 codes their low bits are written as they are, so that 127 symbols
and an escape suffice. The codes are computed at first use, in integers, from the table of the density, and are
canonical: code words ascend with length, then with symbol. Huffman (1952); Schwartz and Kallick (1964).
"""

from __future__ import annotations

import functools
import heapq
from typing import NamedTuple

import numpy as np

from spikey.coding.bits import drop_bits, finish_bits, get_bits, put_bits, reading, see_bits, writing
from spikey.coding.residual import RAW_BITS, alphabet, fold, nearest, unfold
from spikey.coding.symbols import transfer
from spikey.kernels import entry, inlined
from spikey.model.fixed import CUMULATIVE, MASS_BITS, RECIPROCAL, UNIT, Z_BITS, Z_CELL_BITS, Z_MAX

SYMBOLS = 128  # the last is the escape
ESCAPE = SYMBOLS - 1
LONGEST = 24  # bits of a code word
STEP_BITS = 3  # 8 steps of the scale are a class: 4 classes an octave
SPLIT_OCTAVE = 7  # the scale, in octaves above 1/16 code, from which low bits are split off
CLASSES = (SPLIT_OCTAVE + 1) * 4
QUICK_BITS = 8  # code words up to this length are decoded by one look-up
LENGTH_BITS = 5  # of a table's entry: symbol and length
FRACTIONS = range(-28, 29, 8)  # where a location may lie beside the nearest code, 1/64 LSB


class HuffmanEncoder(NamedTuple):
    """Fields as in `RiceEncoder`, and words int32 (CLASSES, SYMBOLS): code word and length of each symbol."""

    word: np.ndarray
    pending: np.ndarray
    at: np.ndarray
    out: np.ndarray
    words: np.ndarray


class HuffmanDecoder(NamedTuple):
    """Fields as in `RiceDecoder`, and the canonical codes.

    quick int16 (CLASSES, 256): symbol and length of the code word that 8 bits begin with; 0 where it is longer.
    limits int32 (CLASSES, LONGEST + 1): the first 24-bit window that begins with a code word longer than each length.
    offsets int32 (CLASSES, LONGEST + 1): what to add to a code word of each length to have its rank.
    ranked uint8 (CLASSES, SYMBOLS): the symbols in the order of their code words.
    """

    word: np.ndarray
    pending: np.ndarray
    at: np.ndarray
    data: np.ndarray
    quick: np.ndarray
    limits: np.ndarray
    offsets: np.ndarray
    ranked: np.ndarray


def huffman_encoder(lanes: int, capacity: int) -> HuffmanEncoder:
    """Start encoding; `capacity` is the room for each lane in bytes."""
    return HuffmanEncoder(**writing(lanes, capacity), words=tables()[0])


def huffman_decoder(streams: list[bytes]) -> HuffmanDecoder:
    """Start decoding one stream a lane. Past its end a stream reads as zeros."""
    _, quick, limits, offsets, ranked = tables()
    return HuffmanDecoder(**reading(streams), quick=quick, limits=limits, offsets=offsets, ranked=ranked)


finish_huffman = finish_bits


def frequencies(kind: int) -> list[int]:
    """How often each symbol of a class occurs, summed over `FRACTIONS`, out of 2^24 each, before any floor."""
    table = CUMULATIVE.tolist()
    reciprocal = int(RECIPROCAL[(kind << STEP_BITS) + (1 << STEP_BITS - 1)])
    shift = 1 if kind >= SPLIT_OCTAVE * 4 else 0

    def below(edge: int) -> int:
        z = min(max((edge * reciprocal) >> (32 - Z_BITS), -Z_MAX), Z_MAX - 1) + Z_MAX
        cell, inside = z >> Z_CELL_BITS, z & ((1 << Z_CELL_BITS) - 1)
        return int(table[cell] + (((table[cell + 1] - table[cell]) * inside) >> Z_CELL_BITS))

    counts = [0] * SYMBOLS
    for fraction in FRACTIONS:
        for folded in range(ESCAPE << shift):
            distance = -(folded + 1 >> 1) if folded & 1 else folded >> 1
            edge = distance * UNIT - UNIT // 2 - fraction
            counts[folded >> shift] += below(edge + UNIT) - below(edge)
    counts[ESCAPE] = (len(FRACTIONS) << MASS_BITS) - sum(counts)
    return counts


def code_lengths(counts: list[int]) -> list[int]:
    """Lengths of a Huffman code, at most `LONGEST`: rare symbols are counted as more frequent until that holds."""
    floor = sum(counts) >> 18
    while True:
        # Equal counts are joined in the order of their making, so that the code is the same everywhere.
        heap = [(max(count, floor), serial, [serial]) for serial, count in enumerate(counts)]
        heapq.heapify(heap)
        lengths = [0] * len(counts)
        serial = len(counts)
        while len(heap) > 1:
            first, _, some = heapq.heappop(heap)
            second, _, others = heapq.heappop(heap)
            for symbol in some + others:
                lengths[symbol] += 1
            heapq.heappush(heap, (first + second, serial, some + others))
            serial += 1
        if max(lengths) <= LONGEST:
            return lengths
        floor = 2 * floor + 1


@functools.cache
def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The encoder's `words` and the decoder's `quick`, `limits`, `offsets` and `ranked`."""
    words = np.zeros((CLASSES, SYMBOLS), dtype=np.int32)
    quick = np.zeros((CLASSES, 1 << QUICK_BITS), dtype=np.int16)
    limits = np.zeros((CLASSES, LONGEST + 1), dtype=np.int32)
    offsets = np.zeros((CLASSES, LONGEST + 1), dtype=np.int32)
    ranked = np.zeros((CLASSES, SYMBOLS), dtype=np.uint8)
    for kind in range(CLASSES):
        lengths = code_lengths(frequencies(kind))
        order = sorted(range(SYMBOLS), key=lambda symbol: (lengths[symbol], symbol))
        ranked[kind] = order
        word = rank = 0
        for length in range(1, LONGEST + 1):
            word <<= 1
            offsets[kind, length] = rank - word
            while rank < SYMBOLS and lengths[order[rank]] == length:
                words[kind, order[rank]] = (word << LENGTH_BITS) | length
                if length <= QUICK_BITS:
                    spare = QUICK_BITS - length
                    quick[kind, word << spare : (word + 1) << spare] = (order[rank] << LENGTH_BITS) | length
                word, rank = word + 1, rank + 1
            limits[kind, length] = word << (LONGEST - length)
    return words, quick, limits, offsets, ranked


@inlined
def class_of(step):
    """The class of a step of the scale, and how many low bits are written as they are."""
    octave = step >> (STEP_BITS + 2)
    if octave < SPLIT_OCTAVE:
        return step >> STEP_BITS, 0
    return SPLIT_OCTAVE * 4 + ((step >> STEP_BITS) & 3), octave - SPLIT_OCTAVE + 1


@transfer.register(HuffmanEncoder)
def _transfer_encoder(coder, density, lane, location, step, code):
    codes = alphabet(density)
    folded = fold(code, nearest(density, location), codes)
    kind, shift = class_of(step)
    word = entry(coder.words[kind], min(folded >> shift, ESCAPE))
    put_bits(coder, lane, word >> LENGTH_BITS, word & ((1 << LENGTH_BITS) - 1))
    if folded >> shift >= ESCAPE:
        put_bits(coder, lane, code, RAW_BITS)
    elif shift > 0:
        put_bits(coder, lane, folded & ((1 << shift) - 1), shift)
    return code


@transfer.register(HuffmanDecoder)
def _transfer_decoder(coder, density, lane, location, step, code):
    codes = alphabet(density)
    kind, shift = class_of(step)
    window = see_bits(coder, lane, LONGEST)
    found = entry(coder.quick[kind], window >> (LONGEST - QUICK_BITS))
    length = found & ((1 << LENGTH_BITS) - 1)
    symbol = found >> LENGTH_BITS
    if length == 0:
        length = QUICK_BITS + 1
        while length < LONGEST and window >= entry(coder.limits[kind], length):
            length += 1
        rank = (window >> (LONGEST - length)) + entry(coder.offsets[kind], length)
        symbol = entry(coder.ranked[kind], min(max(rank, 0), ESCAPE))
    drop_bits(coder, lane, length)
    if symbol == ESCAPE:
        return min(get_bits(coder, lane, RAW_BITS), codes - 1)
    return unfold((symbol << shift) | get_bits(coder, lane, shift), nearest(density, location), codes)
