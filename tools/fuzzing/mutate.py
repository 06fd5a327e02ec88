"""Mutations: small changes to bytes that a parser is likely to trip over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

NUMBERS = [0, 1, 2, 127, 128, 255, 256, 4095, 4096, 65535, 65536, 1 << 20, 1 << 22, 1 << 24, (1 << 31) - 1, 1 << 31]
NUMBERS += [(1 << 32) - 1, 1 << 32, 1 << 40, 1 << 53, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
LONGEST = 1 << 17  # bytes of a mutated input
MOST_CHANGES = 12


def varint(value: int) -> bytes:
    """As `spikey.base.wire.varint`, of numbers that it does not write as well."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def mutated(data: bytes, others: Sequence[bytes], words: Sequence[bytes], rng: random.Random) -> bytes:
    """`data` with a few changes; parts may come from other inputs, and from words of its format."""
    out = bytearray(data)
    changes = 1
    while changes < MOST_CHANGES and rng.random() < 0.45:
        changes += 1
    for _ in range(changes):
        rng.choice(_CHANGES)(out, others, words, rng)
    return bytes(out[:LONGEST])


def _place(out: bytearray, rng: random.Random) -> int:
    """Where to change something: as often near either end, where the structure is, as anywhere."""
    size = max(len(out), 1)
    kind = rng.random()
    if kind < 0.4:
        return min(rng.randrange(64), size - 1)
    if kind < 0.6:
        return max(size - 1 - rng.randrange(64), 0)
    return rng.randrange(size)


def _flip(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    if out:
        out[_place(out, rng)] ^= 1 << rng.randrange(8)


def _set(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    if out:
        out[_place(out, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _add(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    if out:
        at = _place(out, rng)
        out[at] = (out[at] + rng.choice((-16, -2, -1, 1, 2, 16))) % 256


def _fixed_number(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    size, at = rng.choice((2, 4, 8)), _place(out, rng)
    out[at : at + size] = (rng.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))


def _varint(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    """In place of a number, or before it."""
    at = end = _place(out, rng)
    if rng.random() < 0.8:
        while end < len(out) and out[end] & 128:
            end += 1
        end += 1
    out[at:end] = varint(rng.choice(NUMBERS))


def _remove(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    at = _place(out, rng)
    del out[at : at + rng.choice((1, 2, 4, 16, rng.randrange(1, 200)))]


def _repeat(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    at = _place(out, rng)
    part = bytes(out[at : at + rng.choice((1, 4, 16, rng.randrange(1, 200)))])
    out[at:at] = part * rng.choice((1, 1, 2, 8))


def _insert(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    at = _place(out, rng)
    out[at:at] = rng.choice((bytes(rng.randrange(1, 40)), rng.randbytes(rng.randrange(1, 20)), b"\xff" * 9))


def _fill(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    at, size = _place(out, rng), rng.choice((2, 8, 32, 200))
    stretch = len(out[at : at + size])
    out[at : at + stretch] = rng.choice((bytes(stretch), b"\xff" * stretch, rng.randbytes(stretch)))


def _cut(out: bytearray, _: object, __: object, rng: random.Random) -> None:
    del out[_place(out, rng) :]


def _splice(out: bytearray, others: Sequence[bytes], _: object, rng: random.Random) -> None:
    other = rng.choice(others)
    at, start = _place(out, rng), rng.randrange(len(other) + 1)
    part = other[start : start + rng.choice((4, 16, 64, 300))]
    out[at : at + rng.choice((0, len(part)))] = part


def _cross(out: bytearray, others: Sequence[bytes], _: object, rng: random.Random) -> None:
    other = rng.choice(others)
    at = _place(out, rng)
    out[at:] = other[min(at, len(other)) :]


def _word(out: bytearray, _: object, words: Sequence[bytes], rng: random.Random) -> None:
    if words:
        at, word = _place(out, rng), rng.choice(words)
        out[at : at + rng.choice((0, len(word)))] = word


_Change = Callable[[bytearray, Sequence[bytes], Sequence[bytes], random.Random], None]
_CHANGES: list[_Change] = [_flip, _flip, _set, _add, _fixed_number, _varint, _varint, _remove, _repeat, _insert, _fill]
_CHANGES += [_cut, _splice, _splice, _cross, _word, _word]
