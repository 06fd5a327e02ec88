"""The mixture is a distribution whatever its shares are, decoding finds every code, and the shares stay shares."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from kit.contract import uneven_edges
from spikey.coding.range_coder import finish, range_decoder, range_encoder
from spikey.coding.symbols import code_symbol
from spikey.model.density import narrow, uniform_edges
from spikey.model.fixed_point import MASS, RECIPROCAL, UNIT
from spikey.model.mixture import LEAST, MAIN, OFFSETS, SHARE_BITS, learn, mixed, mixed_below, mixed_locate

STEPS = len(RECIPROCAL)
WHOLE = 1 << SHARE_BITS
FIVE = len(OFFSETS)


def shared(density, dominant):
    """The density with nearly all of the mass in one component."""
    density.shares[:] = LEAST
    density.shares[dominant] = WHOLE - LEAST * (FIVE - 1)
    return density


def counts_of(density, location, step):
    room = np.zeros(FIVE, dtype=np.int64)
    size = len(density.bell.middles)
    return np.array([mixed_below(density, np.int64(location), np.int64(step), c, room) for c in range(size + 1)])


def edges_of_all_kinds():
    yield uniform_edges(1)
    yield uniform_edges(2)
    yield np.arange(41, dtype=np.int64)  # bins of one unit
    yield np.cumsum(np.where(np.arange(60) % 2, 1, 400))
    yield uneven_edges(300)
    yield uniform_edges(4096)


def places(edges, count, seed):
    """Locations and steps as awkward as can be."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        step = int(random.choice([0, 3, STEPS - 1, STEPS - 20, random.integers(STEPS), random.integers(300)]))
        inside = random.integers(int(edges[0]), int(edges[-1]))
        yield int(random.choice([inside, int(edges[0]) - 70, int(edges[-1]) + 70, -(1 << 28), 1 << 28])), step


@pytest.mark.parametrize("edges", list(edges_of_all_kinds()), ids=lambda edges: f"{len(edges) - 1} codes")
def test_counts_are_a_distribution_and_every_target_is_found(edges):
    size = len(edges) - 1
    random = np.random.default_rng(size)
    for at, (location, step) in enumerate(places(edges, 5 if size > 300 else 25, size)):
        density = mixed(narrow(edges)) if at % 2 else shared(mixed(narrow(edges)), at // 2 % FIVE)
        counts = counts_of(density, location, step)
        assert counts[0] == 0 and counts[-1] == MASS and np.diff(counts).min() >= 1
        some = random.choice(size, min(size, 20), replace=False)
        targets = [*random.integers(0, MASS, 10), *counts[some], *counts[some + 1] - 1, 0, MASS - 1]
        for target in targets:
            expected = np.searchsorted(counts, target, side="right") - 1
            for guessed in (expected, expected - 1, 0, size - 1, -(1 << 40), 1 << 40):
                got = mixed_locate(density, np.int64(location), np.int64(step), np.int64(target), np.int64(guessed))
                assert got == (expected, counts[expected], counts[expected + 1] - counts[expected])
                own = (density.highs - density.lows) @ density.shares  # what is learned from belongs to that code
                assert abs((own >> SHARE_BITS) - (got[2] - 1)) <= 1


@pytest.mark.parametrize("target", [MASS, MASS + 1, 1 << 40])
def test_a_search_for_what_cannot_be_ends(target):
    """A decoder of damaged data points anywhere within the counts; beyond them the search ends too."""
    density = mixed(narrow(uneven_edges(300)))
    for guessed in (0, 150, 299):
        code, low, counts = mixed_locate(density, np.int64(9000), np.int64(250), np.int64(target), np.int64(guessed))
        assert code == 299 and low + counts == MASS


@numba.njit
def hammer(density, locations, steps, codes, below, least):
    """Learn from codes; how often the shares were not what they must be, and the least share of the main component."""
    wrong, smallest = 0, np.int64(1 << 24)
    for i in range(len(codes)):
        low = below(density, locations[i], steps[i], codes[i], density.lows)
        high = below(density, locations[i], steps[i], codes[i] + 1, density.highs)
        learn(density)
        wrong += high <= low or density.shares.sum() != 1 << 24 or density.shares.min() < least
        smallest = min(smallest, density.shares[1])
    return wrong, smallest


@pytest.mark.parametrize("kind", ["likely", "anything", "one component"])
def test_shares_stay_shares(kind):
    """After each of 100,000 codes."""
    random = np.random.default_rng(3)
    density, count = mixed(narrow(uneven_edges(300))), 100_000
    codes = random.integers(0, 300, count)
    locations, steps = random.integers(-(1 << 20), 1 << 20, count), random.integers(0, STEPS, count)
    if kind != "anything":
        near = 0 if kind == "one component" else random.normal(size=count) * 300
        locations = density.bell.middles[codes] + np.rint(near).astype(np.int64)
        steps[:] = 240 if kind == "one component" else 200
    wrong, smallest = hammer(density, locations.astype(np.int64), steps, codes, mixed_below, LEAST)
    assert wrong == 0
    assert smallest > 1 << 15  # what the others lose beside keeps some for it
    if kind == "one component":  # codes are where they were expected, always: the narrowest takes all it can get
        assert density.shares[0] > WHOLE * 0.97


@pytest.mark.parametrize("deviation, widest", [(0.8, 0), (1.0, 1), (1.15, 2), (1.5, 3), (2.5, 4)])
def test_shares_find_the_component_that_fits(deviation, widest):
    random = np.random.default_rng(5)
    density, step = mixed(narrow(uniform_edges(1024))), 256  # a scale of 2^10, 16 codes
    sigma = 2**32 / int(RECIPROCAL[step]) * deviation
    codes = np.rint((512 * UNIT + random.normal(size=40_000) * sigma) / UNIT).astype(np.int64).clip(0, 1023)
    middle = np.full(len(codes), 512 * UNIT)
    hammer(density, middle, np.full(len(codes), step), codes, mixed_below, LEAST)
    about = sum(density.shares[k] for k in range(max(widest - 1, 0), min(widest + 2, FIVE)))
    assert about > WHOLE * 0.75
    assert MAIN == 1 and density.shares.sum() == WHOLE


def test_both_directions_learn_the_same():
    random = np.random.default_rng(8)
    edges = uneven_edges(300)
    codes = random.integers(0, 300, 600)
    given = [
        (int(x) * UNIT, int(step)) for x, step in zip(random.integers(-50, 400, 600), codes * 7919 % 400, strict=True)
    ]
    there, back = mixed(narrow(edges)), mixed(narrow(edges))
    encoder = range_encoder(1, 8000)
    for (location, step), code in zip(given, codes, strict=True):
        code_symbol(encoder, there, 0, np.int64(location), np.int64(step), np.int64(code))
    decoder = range_decoder(finish(encoder))
    for (location, step), code in zip(given, codes, strict=True):
        assert code_symbol(decoder, back, 0, np.int64(location), np.int64(step), np.int64(-1)) == code
    np.testing.assert_array_equal(there.shares, back.shares)
    np.testing.assert_array_equal(there.lows, back.lows)
    assert not np.array_equal(there.shares, mixed(narrow(edges)).shares)
