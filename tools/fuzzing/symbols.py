"""The numbers of a group's head in the wide engine: read, made absurd, and coded as the engine codes them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from spikey.codec.wide import group
from spikey.codec.wide.fit import LAGS, SIZE
from spikey.codec.wide.fit import LARGEST as MOST_WEIGHT
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.numbers import CELLS, finish_writing, put_bit, put_number, put_signed, start_writing

BIT, NUMBER, SIGNED = range(3)
LARGEST = (1 << 24) - 1  # of a number that can be coded, and more than any that may be
FIELDS = {
    group.CENTRE: (-1, 1023, 1 << 20, (1 << 20) + 1, 1 << 23),
    group.ORDER: (0, 1, 2, 3, 4, 5, 8, 1 << 20),
    group.NEAR: (0, 1, 2, 3, 4, 5, 20, 1 << 20),
    group.BITS: (-1, 0, 2, 3, 8, 14, 15, 63, 64, 1 << 20),
    group.SCALE: (-1, 0, 50, 95, 111, 112, 1 << 20),
    group.PAIR: (0, 4, 5, 255),
    group.SHAPE: (0, 1, 2, 3, 4, 8, 255),
    group.EXTEND: (0, 1),
    group.START: (-65, -64, 64, 65, 1 << 20),
    group.LEVEL: (0, 1, 2, 40, 1 << 20),
}
BOOSTS = (-1, 0, 1, 20, 39, 40, 1 << 20)
WEIGHTS = (0, 1, -1, 1 << 12, 1 << 16, -(1 << 17), 1 << 17, (1 << 17) + 1, 1 << 22)
Symbol = tuple[int, int, int]  # how it is coded, its context, its value


def read_head_of(head: bytes, count: int, descriptions: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and weights of `count` channels; of a damaged head those before the damage."""
    numbers, stored = np.zeros((count, group.COLUMNS), np.int64), np.zeros((count, SIZE))
    kinds = np.full(max(descriptions, 1), group.EVEN, np.int64)
    group.read_numbers(np.frombuffer(head, np.uint8), kinds, group_limits(), numbers, stored)
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
    row[group.KIND] = group.EVEN if row[group.KIND] == group.CONSTANT else group.CONSTANT


def _reference(rows: list[list[int]], _: list[list[int]], rng: random.Random) -> None:
    """To itself, to a later channel, to one that does not exist, to any."""
    place = rng.randrange(len(rows))
    rows[place][group.NEAR] = rng.choice((1, 2, 3, 4))
    rows[place][group.REF0 + rng.randrange(4)] = rng.choice((place, place + 1, -1, -99, rng.randrange(len(rows))))


def _boost(rows: list[list[int]], _: list[list[int]], rng: random.Random) -> None:
    rng.choice(rows)[group.BOOST0 + rng.randrange(5)] = rng.choice(BOOSTS)


def _weight(_: list[list[int]], weights: list[list[int]], rng: random.Random) -> None:
    row = rng.choice(weights)
    for place in rng.sample(range(SIZE), rng.choice((1, 4, SIZE))):
        row[place] = rng.choice(WEIGHTS)


def _valid(rows: list[list[int]], weights: list[list[int]], rng: random.Random) -> None:
    """All numbers of a channel anything that is allowed."""
    place = rng.randrange(len(rows))
    row = rows[place]
    others = [other for other in range(place) if rows[other][group.KIND] != group.CONSTANT]
    row[group.KIND], row[group.ORDER], row[group.EXTEND] = group.EVEN, rng.randrange(5), rng.randrange(2)
    row[group.NEAR] = rng.randrange(5) if others else 0
    for k in range(row[group.NEAR]):
        row[group.REF0 + k] = rng.choice(others)
    row[group.BITS], row[group.SCALE], row[group.PAIR] = rng.randrange(3, 15), rng.randrange(112), rng.randrange(5)
    row[group.SHAPE], row[group.START] = rng.randrange(int(group_limits()[2])), rng.randrange(-64, 65)
    for b in range(5):
        row[group.BOOST0 + b] = rng.randrange(40)
    weights[place] = [rng.randrange(-(1 << 17), (1 << 17) + 1) >> rng.randrange(17) for _ in range(SIZE)]


_Change = Callable[[list[list[int]], list[list[int]], random.Random], None]
_CHANGES: list[_Change] = [_field, _field, _field, _kind, _reference, _reference, _boost, _weight, _valid, _valid]


def symbols_of(rows: list[list[int]], weights: list[list[int]]) -> list[Symbol]:
    """What `group.write_numbers` codes, of any numbers."""
    out: list[Symbol] = []
    old, previous, centre = [0] * group.COLUMNS, [0] * SIZE, 0

    def number(value: int, context: int) -> None:
        out.append((NUMBER, context, min(max(value, 0), LARGEST)))

    def signed(value: int, context: int) -> None:
        out.append((SIGNED, context, min(max(value, -LARGEST // 2), LARGEST // 2)))

    for place, (row, own) in enumerate(zip(rows, weights, strict=True)):
        constant = row[group.KIND] == group.CONSTANT
        out.append((BIT, group.C_KIND, int(constant)))
        number(row[group.LEVEL], group.C_LEVEL)
        signed(row[group.CENTRE] - centre, group.C_CENTRE)
        centre = row[group.CENTRE]
        if constant:
            continue
        number(row[group.ORDER], group.C_ORDER)
        number(row[group.NEAR], group.C_NEAR)
        near, order = min(row[group.NEAR], 4), min(row[group.ORDER], 4) * 8
        for k in range(near):
            number(place - 1 - row[group.REF0 + k], group.C_REF)
        signed(row[group.BITS] - old[group.BITS], group.C_BITS)
        signed(row[group.SCALE] - old[group.SCALE], group.C_SCALE)
        number(row[group.PAIR], group.C_PAIR)
        number(row[group.SHAPE], group.C_SHAPE)
        out.append((BIT, group.C_EXTEND, row[group.EXTEND] & 1))
        if row[group.EXTEND]:
            signed(row[group.START] - old[group.START], group.C_START)
        for b in range(5):
            signed(row[group.BOOST0 + b] - old[group.BOOST0 + b], group.C_BOOST + b)
        shift = min(max(row[group.BITS] - old[group.BITS], -20), 20)
        before, behind = min(old[group.ORDER], 4) * 8, LAGS * min(old[group.NEAR], 4)
        for c in range(order):
            signed(own[c] - _moved(previous[c] if c < before else 0, shift), group.C_OWN + min(c, 15))
        for c in range(LAGS * near):
            usual = _moved(previous[before + c] if c < behind else 0, shift)
            signed(own[order + c] - usual, group.C_OTHER + c)
        old, previous = row, own
    return out


def _moved(value: int, shift: int) -> int:
    """A weight in units of a finer or coarser fraction."""
    return min(max(value << shift, -MOST_WEIGHT), MOST_WEIGHT) if shift >= 0 else (value + (1 << -shift - 1)) >> -shift


@kernel
def write_symbols(symbols, out):
    """Code symbols int64 (n, 3); the number of bytes."""
    coder = np.zeros(4, np.int64)
    chances = np.zeros((group.CONTEXTS, CELLS), np.uint16)
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
