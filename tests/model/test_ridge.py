"""The regression that goes along is a ridge regression, exact to the last bit, and bounded whatever it is given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit import reference
from spikey.model.ridge import (
    INPUT_MAX,
    KEPT,
    NOISE,
    ROOM,
    TARGET_MAX,
    WEIGHT_MAX,
    learn_segment,
    offer,
    regression,
    settle,
    told,
)

N = 7


def usual(n=N, seed=0):
    """A prior: mean, precision."""
    random = np.random.default_rng(seed)
    root = random.normal(size=(n, 2 * n))
    return random.normal(size=n) / 8, root @ root.T * 20 + np.eye(n)


def take(state, inputs, targets, full):
    """Give a segment of inputs (frames, n) and targets (frames,)."""
    for row, target in zip(inputs, targets, strict=True):
        for i, value in enumerate(row):
            offer(state, i, np.int64(value))
        settle(state, np.int64(target))
    learn_segment(state, full)


def segments(seed, lengths=(31, 64, 128, 256, 256, 100)):
    """Correlated inputs and what they tell of a noisy target, in segments as the loop makes them."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=N) / 2
    for length in lengths:
        inputs = np.rint(random.normal(size=(length, N)) @ (np.eye(N) + 0.4) * 200).clip(-INPUT_MAX, INPUT_MAX)
        targets = np.rint(inputs @ truth + random.normal(size=length) * 256).clip(-TARGET_MAX, TARGET_MAX)
        yield inputs.astype(np.int64), targets.astype(np.int64), length == ROOM


def test_weights_are_those_of_ridge_regression():
    mean, precision = usual()
    state = regression(mean, precision)
    np.testing.assert_allclose(state.weights / 65536, mean, atol=2 / 65536)
    gram, moment = np.zeros((N, N)), np.zeros(N)
    for inputs, targets, full in segments(1):
        take(state, inputs, targets, full)
        kept = KEPT if full else 1
        gram, moment = gram * kept + inputs.T @ inputs, moment * kept + inputs.T @ targets
        expected = np.linalg.solve(gram + precision * NOISE, moment + precision @ mean * NOISE)
        np.testing.assert_allclose(state.weights / 65536, expected, atol=2 / 65536)


def test_what_is_told_is_the_weighted_sum():
    state = regression(*usual())
    inputs = np.arange(N) * 500 - 1500
    for i, value in enumerate(inputs):
        offer(state, i, np.int64(value))
    assert told(state) == int(state.weights.astype(np.int64) @ inputs.clip(-INPUT_MAX, INPUT_MAX))


def test_inputs_and_targets_are_bounded_and_sums_exact():
    """A segment of the largest numbers fills 32 bits nearly, and comes out to the last digit."""
    for sign in (1, -1):
        state = regression(*usual())
        inputs = np.full((ROOM, N), 1 << 40)
        inputs[:, 1] *= -1
        take(state, inputs, np.full(ROOM, sign << 40), True)
        wanted = ROOM * INPUT_MAX**2
        assert wanted < 2**31
        assert state.gram[0, 0] == state.gram[2, 0] == wanted and state.gram[1, 0] == -wanted
        assert state.moment[0] == sign * ROOM * INPUT_MAX * TARGET_MAX == -state.moment[1]


SIGNALS = {
    "nothing": lambda t, i: 0 * t,
    "constant": lambda t, i: 0 * t + INPUT_MAX,
    "all alike": lambda t, i: t * 7919 % 4001 - 2000,
    "square": lambda t, i: (t // (i + 1) % 2 * 2 - 1) * INPUT_MAX,
    "ramp": lambda t, i: t * (i + 1) % (2 * INPUT_MAX) - INPUT_MAX,
    "rare": lambda t, i: (t % 97 == i) * INPUT_MAX,
    "noise": lambda t, i: np.random.default_rng(i).integers(-INPUT_MAX, INPUT_MAX + 1, len(t)),
}
PRIORS = {
    "usual": usual(),
    "none": (np.zeros(N), np.zeros((N, N))),  # pivots then have their floor
    "far off": (np.full(N, 1e3), np.eye(N) * 1e4),
}


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("prior", PRIORS)
def test_it_is_exact_and_bounded_on_extremes(name, prior):
    """The same bits as plain Python's, whose integers cannot overflow."""
    mean, precision = PRIORS[prior]
    state = regression(mean, precision)
    plain = reference.Regression(mean.tolist(), precision.tolist(), 0)
    at = 0
    for length in (31, 64, 128, 256, 256, 3, 0):
        t = np.arange(at, at + length)
        inputs = np.stack([SIGNALS[name](t, i) for i in range(N)], axis=1).reshape(length, N)
        targets = np.where(t % 2, TARGET_MAX, -TARGET_MAX)
        take(state, inputs, targets, length == ROOM)
        plain.samples = list(zip(inputs.tolist(), targets.tolist(), strict=True))
        plain.refit(at, at + length, length == ROOM)
        assert state.weights.tolist() == plain.weights
        assert np.isfinite(state.gram).all() and np.isfinite(state.moment).all() and np.isfinite(state.solution).all()
        assert abs(state.weights).max() <= WEIGHT_MAX
        at += length
    lower = np.tril_indices(N)
    np.testing.assert_array_equal(state.gram[lower], np.array(plain.gram)[lower])
    np.testing.assert_array_equal(state.moment, plain.moment)


@settings(max_examples=40, deadline=None)
@example(124, 11, [False, True, False])
@given(st.integers(0, 2**32 - 1), st.integers(0, 11), st.lists(st.booleans(), max_size=3))
def test_it_is_exact_on_anything(seed, bits, wholes):
    random = np.random.default_rng(seed)
    mean, precision = usual(seed=seed)
    state = regression(mean, precision)
    plain = reference.Regression(mean.tolist(), precision.tolist(), 0)
    for full in wholes:
        inputs, targets = random.integers(-(1 << bits), 1 << bits, (40, N)), random.integers(-768, 769, 40)
        take(state, inputs, targets, full)
        inputs = inputs.clip(-INPUT_MAX, INPUT_MAX)  # as `offer` takes them
        plain.samples = list(zip(inputs.tolist(), targets.tolist(), strict=True))
        plain.refit(0, 40, full)
    assert state.weights.tolist() == plain.weights


def test_weights_are_solved_for_again_and_again():
    """After each of the first 16 full segments, then every fourth; what came between counts then as well."""
    state = regression(*usual())
    plain = reference.Regression(*(part.tolist() for part in usual()), 0)
    changed, exact = [], []
    for inputs, targets, full in segments(2, (31, *[ROOM] * 30)):
        before = state.weights.copy()
        take(state, inputs, targets, full)
        changed.append((state.weights != before).any())
        plain.samples = list(zip(inputs.tolist(), targets.tolist(), strict=True))
        plain.refit(0, len(targets), full)
        exact.append(state.weights.tolist() == plain.weights)
    assert all(exact)
    assert changed == [True] * 17 + [segment % 4 == 0 for segment in range(17, 31)]


def test_what_is_forgotten_counts_less():
    """A recording that changes is followed: after 2,000 full segments of the new, the old is all but gone."""
    state = regression(np.zeros(1), np.eye(1))
    for segment in range(2200):
        state.inputs[:] = 256
        state.targets[:] = 128 if segment < 200 else -128
        state.filled[0] = ROOM
        learn_segment(state, True)
        if segment == 199:
            assert state.weights[0] / 65536 == pytest.approx(0.5, abs=1e-3)
    assert state.weights[0] / 65536 == pytest.approx(-0.5, abs=1e-2)
