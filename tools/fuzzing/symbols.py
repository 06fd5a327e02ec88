"""The numbers of a group's head in the wide engine: read, made absurd, and coded as the engine codes them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from spikey.codec.wide import header
from spikey.codec.wide.fit import LAGS, SIZE
from spikey.codec.wide.fit import LARGEST as MOST_WEIGHT
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.numbers import CELLS, finish_writing, put_bit, put_number, put_signed, start_writing

BIT, NUMBER, SIGNED = range(3)
LARGEST = (1 << 24) - 1  # of a number that can be coded, and more than any that may be
FIELDS = {
    header.CENTRE: (-1, 1023, 1 << 20, (1 << 20) + 1, 1 << 23),
    header.ORDER: (0, 1, 2, 3, 4, 5, 8, 1 << 20),
    header.NEAR: (0, 1, 2, 3, 4, 5, 20, 1 << 20),
    header.BITS: (-1, 0, 2, 3, 8, 14, 15, 63, 64, 1 << 20),
    header.SCALE: (-1, 0, 50, 95, 111, 112, 1 << 20),
    header.PAIR: (0, 4, 5, 255),
    header.SHAPE: (0, 1, 2, 3, 4, 8, 255),
    header.EXTEND: (0, 1),
    header.START: (-65, -64, 64, 65, 1 << 20),
    header.LEVEL: (0, 1, 2, 40, 1 << 20),
}
BOOSTS = (-1, 0, 1, 20, 39, 40, 1 << 20)
WEIGHTS = (0, 1, -1, 1 << 12, 1 << 16, -(1 << 17), 1 << 17, (1 << 17) + 1, 1 << 22)
Symbol = tuple[int, int, int]  # how it is coded, its context, its value


def read_head_of(head: bytes, count: int, descriptions: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and weights of `count` channels; of a damaged head those before the damage."""
    numbers, stored = np.zeros((count, header.COLUMNS), np.int64), np.zeros((count, SIZE))
    kinds = np.full(max(descriptions, 1), header.EVEN, np.int64)
    header.read_numbers(np.frombuffer(head, np.uint8), kinds, group_limits(), numbers, stored)
    return numbers, stored


def group_limits() -> np.ndarray:
    """Those of the engine."""
    from spikey.codec.wide.engine import LIMITS

    return LIMITS


def head_of(numbers: np.ndarray, stored: np.ndarray, rng: random.Random) -> bytes:
    """The head of channels some of whose numbers are made absurd."""
    rows, weights = numbers.tolist(), stored.astype(np.int64).tolist()
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(_CHANGES)(rows, weights, rng)
    symbols = symbols_of(rows, weights)
    if rng.random() < 0.15:
        at = rng.randrange(len(symbols))
        how, context, _ = symbols[at]
        symbols[at] = how, context, rng.choice((0, 1, 100, LARGEST))
    if rng.random() < 0.05:
        del symbols[rng.randrange(len(symbols))]
    coded = np.array(symbols, np.int64)
    out = np.zeros(64 + 8 * len(symbols), np.uint8)
    return out[: write_symbols(coded, out)].tobytes()


def _field(rows: list[list[int]], _: list[list[int]], rng: random.Random) -> None:
    field = rng.choice(list(FIELDS))
    rng.choice(rows)[field] = rng.choice(FIELDS[field])


def _kind(rows: list[list[int]], _: list[list[int]], rng: random.Random) -> None:
    row = rng.choice(rows)
    row[header.KIND] = header.EVEN if row[header.KIND] == header.CONSTANT else header.CONSTANT


def _reference(rows: list[list[int]], _: list[list[int]], rng: random.Random) -> None:
    """To itself, to a later channel, to one that does not exist, to any."""
    place = rng.randrange(len(rows))
    rows[place][header.NEAR] = rng.choice((1, 2, 3, 4))
    rows[place][header.REF0 + rng.randrange(4)] = rng.choice((place, place + 1, -1, -99, rng.randrange(len(rows))))


def _boost(rows: list[list[int]], _: list[list[int]], rng: random.Random) -> None:
    rng.choice(rows)[header.BOOST0 + rng.randrange(5)] = rng.choice(BOOSTS)


def _weight(_: list[list[int]], weights: list[list[int]], rng: random.Random) -> None:
    row = rng.choice(weights)
    for place in rng.sample(range(SIZE), rng.choice((1, 4, SIZE))):
        row[place] = rng.choice(WEIGHTS)


def _valid(rows: list[list[int]], weights: list[list[int]], rng: random.Random) -> None:
    """All numbers of a channel anything that is allowed."""
    place = rng.randrange(len(rows))
    row = rows[place]
    others = [other for other in range(place) if rows[other][header.KIND] != header.CONSTANT]
    row[header.KIND], row[header.ORDER], row[header.EXTEND] = header.EVEN, rng.randrange(5), rng.randrange(2)
    row[header.NEAR] = rng.randrange(5) if others else 0
    for k in range(row[header.NEAR]):
        row[header.REF0 + k] = rng.choice(others)
    row[header.BITS], row[header.SCALE], row[header.PAIR] = rng.randrange(3, 15), rng.randrange(112), rng.randrange(5)
    row[header.SHAPE], row[header.START] = rng.randrange(int(group_limits()[2])), rng.randrange(-64, 65)
    for b in range(5):
        row[header.BOOST0 + b] = rng.randrange(40)
    weights[place] = [rng.randrange(-(1 << 17), (1 << 17) + 1) >> rng.randrange(17) for _ in range(SIZE)]


_Change = Callable[[list[list[int]], list[list[int]], random.Random], None]
_CHANGES: list[_Change] = [_field, _field, _field, _kind, _reference, _reference, _boost, _weight, _valid, _valid]


def symbols_of(rows: list[list[int]], weights: list[list[int]]) -> list[Symbol]:
    """What `header.write_numbers` codes, of any numbers."""
    out: list[Symbol] = []
    old, previous, centre = [0] * header.COLUMNS, [0] * SIZE, 0

    def number(value: int, context: int) -> None:
        out.append((NUMBER, context, min(max(value, 0), LARGEST)))

    def signed(value: int, context: int) -> None:
        out.append((SIGNED, context, min(max(value, -LARGEST // 2), LARGEST // 2)))

    for place, (row, own) in enumerate(zip(rows, weights, strict=True)):
        constant = row[header.KIND] == header.CONSTANT
        out.append((BIT, header.C_KIND, int(constant)))
        number(row[header.LEVEL], header.C_LEVEL)
        signed(row[header.CENTRE] - centre, header.C_CENTRE)
        centre = row[header.CENTRE]
        if constant:
            continue
        number(row[header.ORDER], header.C_ORDER)
        number(row[header.NEAR], header.C_NEAR)
        near, order = min(row[header.NEAR], 4), min(row[header.ORDER], 4) * 8
        for k in range(near):
            number(place - 1 - row[header.REF0 + k], header.C_REF)
        signed(row[header.BITS] - old[header.BITS], header.C_BITS)
        signed(row[header.SCALE] - old[header.SCALE], header.C_SCALE)
        number(row[header.PAIR], header.C_PAIR)
        number(row[header.SHAPE], header.C_SHAPE)
        out.append((BIT, header.C_EXTEND, row[header.EXTEND] & 1))
        if row[header.EXTEND]:
            signed(row[header.START] - old[header.START], header.C_START)
        for b in range(5):
            signed(row[header.BOOST0 + b] - old[header.BOOST0 + b], header.C_BOOST + b)
        shift = min(max(row[header.BITS] - old[header.BITS], -20), 20)
        before, behind = min(old[header.ORDER], 4) * 8, LAGS * min(old[header.NEAR], 4)
        for c in range(order):
            signed(own[c] - _moved(previous[c] if c < before else 0, shift), header.C_OWN + min(c, 15))
        for c in range(LAGS * near):
            usual = _moved(previous[before + c] if c < behind else 0, shift)
            signed(own[order + c] - usual, header.C_OTHER + c)
        old, previous = row, own
    return out


def _moved(value: int, shift: int) -> int:
    """A weight in units of a finer or coarser fraction."""
    return min(max(value << shift, -MOST_WEIGHT), MOST_WEIGHT) if shift >= 0 else (value + (1 << -shift - 1)) >> -shift


@kernel
def write_symbols(symbols, out):
    """Code symbols int64 (n, 3); the number of bytes."""
    coder = np.zeros(4, np.int64)
    chances = np.zeros((header.CONTEXTS, CELLS), np.uint16)
    start_writing(coder, chances)
    for n in range(len(symbols)):
        context, value = symbols[n, 1], symbols[n, 2]
        if symbols[n, 0] == 0:
            put_bit(value & 1, chances, context, 0, coder, out)
        elif symbols[n, 0] == 1:
            put_number(value, chances, context, coder, out)
        else:
            put_signed(value, chances, context, coder, out)
    return finish_writing(coder, out)
