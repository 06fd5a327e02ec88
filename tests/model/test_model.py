"""Predictors learn and stay bounded; the density is a distribution and can be searched; tables are what they claim."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.contract import DENSITIES, NARROW_CODES, PREDICTORS, SIGNALS, signal, uneven_edges
from spikey.base.shipped import FOLDER
from spikey.codec.adaptive.loop import run
from spikey.coding.range_coder import finish, range_decoder, range_encoder
from spikey.model import fixed_point as fixed
from spikey.model import table_definitions
from spikey.model.cross import choose_references, crossed
from spikey.model.density import below, guess, locate, narrow, position, standardise, uniform_edges, wide
from spikey.model.lms import lms
from spikey.model.lpc import SEGMENT, lpc, predict, refit, solve, update
from spikey.model.scale import scale, scale_at, update_scale

STEPS = len(fixed.RECIPROCAL)
STEPWISE = [
    name for name in PREDICTORS if name not in ("learned", "max")
]  # a network answers for all lanes at once, in the loop


def test_tables_are_what_they_are_made_of():
    made = table_definitions.make()
    with np.load(FOLDER / "tables" / "density.npz") as stored:
        assert sorted(made) == sorted(stored.files)
        for name, table in made.items():
            np.testing.assert_array_equal(stored[name], table)
            assert stored[name].dtype == table.dtype


# The density


@pytest.mark.parametrize("size", [1, 2, 5, 300, 4096])
@pytest.mark.parametrize("step", [0, 100, 400, STEPS - 1])
def test_counts_are_a_distribution(size, step):
    density = narrow(uneven_edges(size, seed=size))
    for location in (-(1 << 28), -5, 32 * size, 64 * size + 7, 1 << 28):
        reciprocal = density.reciprocal[step]
        counts = [below(density, location, reciprocal, code) for code in range(size + 1)]
        assert counts[0] == 0 and counts[-1] == fixed.MASS
        assert min(np.diff(counts)) >= 1


def edges_of_all_kinds():
    random = np.random.default_rng(4)
    yield uniform_edges(1)
    yield uniform_edges(2)
    yield np.arange(41, dtype=np.int64)  # bins of one unit
    yield np.cumsum(np.where(np.arange(60) % 2, 1, 400))
    yield uneven_edges(64)
    yield np.cumsum(random.integers(1, 3000, 50)) - 40_000
    yield uniform_edges(1024)
    yield uneven_edges(4096)


@pytest.mark.parametrize("edges", list(edges_of_all_kinds()), ids=lambda edges: f"{len(edges) - 1} codes")
def test_the_search_finds_the_code_of_every_target(edges):
    density = narrow(edges)
    size = len(edges) - 1
    random = np.random.default_rng(size)
    for _ in range(25):
        step = int(random.choice([0, STEPS - 1, random.integers(STEPS), random.integers(300)]))
        inside = random.integers(int(edges[0]), int(edges[-1]))
        location = int(random.choice([inside, int(edges[0]) - 70, int(edges[-1]) + 70, -(1 << 28), 1 << 28]))
        counts = np.array([below(density, location, density.reciprocal[step], c) for c in range(size + 1)])
        targets = random.integers(0, fixed.MASS, 40)
        some = random.choice(size, min(size, 60), replace=False)
        for target in np.concatenate([targets, counts[some], counts[some + 1] - 1, [0, fixed.MASS - 1]]):
            expected = np.searchsorted(counts, target, side="right") - 1  # a linear search would find the same
            code, low, own = locate(density, location, step, int(target), guess(density, location, step, int(target)))
            assert (code, low, own) == (expected, counts[expected], counts[expected + 1] - counts[expected])


def test_standardised_distances_stay_within_the_table():
    for distance in (-(1 << 31), -1, 0, 1, 1 << 31):
        for step in (0, STEPS - 1):
            z = standardise(distance, int(fixed.RECIPROCAL[step]))
            assert -fixed.Z_MAX <= z < fixed.Z_MAX


# The scale


@pytest.mark.parametrize("deviation", [30, 400, 50_000])
def test_the_scale_finds_the_deviation(deviation):
    state = scale(1, 1 << 16, 60)
    for at, distance in enumerate(np.random.default_rng(0).normal(size=6000) * deviation):
        step = (scale_at(state, 0, at) - fixed.SCALE_MIN) >> fixed.SCALE_STEP_BITS
        update_scale(state, 0, at, int(distance), int(fixed.RECIPROCAL[step]))
    assert state.value[0] / 65536 == pytest.approx(np.log2(deviation), abs=0.25)


# Levinson-Durbin


def solve_reference(correlations, order):
    """`solve` with Python's integers, which cannot overflow."""
    power = correlations[0] + (correlations[0] >> 13) + 1
    shift = max(power.bit_length() - 30, 0)
    up = max(30 - power.bit_length(), 0)
    scaled = [(value >> shift) << up for value in [power, *correlations[1:]]]
    scaled = [min(max(value, -scaled[0]), scaled[0]) for value in scaled]
    solution: list[int] = []
    error = scaled[0]
    for i in range(order):
        gain = ((scaled[i + 1] << 24) - sum(w * scaled[i - j] for j, w in enumerate(solution))) // error
        if error < 256 or abs(gain) >= 1 << 24:
            break
        update = [w - ((gain * back) >> 24) for w, back in zip(solution, reversed(solution), strict=True)] + [gain]
        if max(map(abs, update)) > 8 << 24:
            break
        solution = update
        error -= (((error * gain) >> 24) * gain) >> 24
    solution += [0] * (order - len(solution))
    return [(w + 128) >> 8 for w in reversed(solution)]


def solved(correlations, order):
    weights = np.zeros(order, dtype=np.int32)
    solve(np.array(correlations, dtype=np.int64), weights, np.zeros((3, order + 1), dtype=np.int64))
    return weights


def autocorrelation(values, order):
    values = [int(value) for value in values]
    return [sum(a * b for a, b in zip(values[k:], values, strict=False)) for k in range(order + 1)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=1, max_size=60), st.integers(1, 32), st.integers(0, 14))
def test_solve_is_exact_on_any_signal(values, order, up):
    correlations = [value << up for value in autocorrelation(values, order)]
    assert solved(correlations, order).tolist() == solve_reference(correlations, order)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=32), st.integers(0, 1 << 58))
def test_solve_is_exact_and_bounded_on_what_no_signal_has(rest, power):
    """Sums that were rounded, or a prior that was made by hand, need not be correlations of anything."""
    order = len(rest)
    rest = [int(value * power) for value in rest]
    weights = solved([power, *rest], order)
    assert weights.tolist() == solve_reference([power, *rest], order)
    assert abs(weights).max() <= 8 << 16


@pytest.mark.parametrize("name", ["white", "coloured"])
@pytest.mark.parametrize("order", [2, 16, 32])
def test_solve_solves_the_normal_equations(name, order):
    correlations = autocorrelation(np.diff(signal(name, 5000, 1000)) * 64, order)
    regular = [float(Fraction(correlations[0]) * (1 + Fraction(1, 8192))), *map(float, correlations[1:])]
    matrix = np.array([[regular[abs(i - j)] for j in range(order)] for i in range(order)])
    expected = np.linalg.solve(matrix, regular[1:])[::-1]
    np.testing.assert_allclose(solved(correlations, order) / 65536, expected, atol=2e-3)


# Predictors


def residuals(predictor, codes, size, lanes=1, density=None):
    """Code a channel; the errors of the predictor, in codes, by another way than the loop's own."""
    density = narrow(uniform_edges(size)) if density is None else density
    steps = -(-len(codes) // lanes)
    errors = np.zeros(len(codes))
    length, first, whole = max(32 // lanes, 1), 0, SEGMENT // lanes
    while first < steps:
        end = min(first + length, steps)
        for t in range(first, end):
            for lane in range(lanes):
                frame = lane * steps + t
                if frame < len(codes):
                    location = predict(predictor, lane, t)
                    assert abs(int(location)) < 1 << 33
                    here = position(density, np.int64(codes[frame]))
                    errors[frame] = (here - location) / 64
                    deviation = max(abs(errors[max(frame - 20, 0) : frame]).mean() if frame else 60, 0.1)
                    update(predictor, lane, t, here, location, np.int64((1 << 32) / (64 * deviation)))
        refit(predictor, first, end, length == whole)
        first, length = end, min(length * 2, whole)
    return errors


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("predictor", STEPWISE)
def test_predictors_stay_bounded(predictor, name):
    for density in ("one", "narrow", "widest"):
        size, state = DENSITIES[density]
        codes = signal(name, 700, size)
        errors = residuals(PREDICTORS[predictor](2, 350, 700, size), codes, size, 2, state)
        assert np.isfinite(errors).all()
        if name in ("constant", "lowest", "highest") and not predictor.endswith("direct"):
            assert abs(errors[350 - 50 : 350]).max() <= 1 + size / 1000


def autoregressive(frames, seed=0):
    """A signal and its innovations: a strong resonance, deviation 6 codes."""
    noise = np.random.default_rng(seed).normal(size=frames) * 6
    values = np.zeros(frames)
    for t in range(frames):
        values[t] = noise[t] + 1.6 * values[t - 1] - 0.8 * values[t - 2] if t > 1 else noise[t]
    return np.rint(values).astype(np.int32) + 512, noise


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("make, excess", [(lpc, 1.01), (lms, 1.22)])
def test_predictors_learn(make, excess, lanes):
    codes, noise = autoregressive(12_000)
    steps = len(codes) // lanes
    predictor = lpc(16, lanes, steps, 1024, delta=False) if make is lpc else lms(lanes, steps, 1024, delta=False)
    errors = residuals(predictor, codes, 1024, lanes)
    late = np.arange(len(codes)) % steps > 2000
    assert errors[late].std() < excess * noise[late].std()


@pytest.mark.parametrize("predictor", STEPWISE)
def test_the_largest_sums_do_not_overflow(predictor):
    """Full-scale alternation of the widest alphabet is easy to predict, as long as its power is known."""
    size, density = DENSITIES["widest"]
    codes = signal("alternating", 6000, size)
    state = PREDICTORS[predictor](1, 6000, 6000, size)
    errors = residuals(state, codes, size, 1, density)
    assert abs(errors[5000:]).max() < size / 100
    if predictor == "lpc":
        power = (int(state.correlations[0]) << int(state.shift[0])) / (64 * (size - 1)) ** 2
        assert 4000 < power < 6000  # as many samples, less what was forgotten


def test_lms_learns_no_more_from_an_artifact_than_from_three_sigma():
    codes, _ = autoregressive(200)
    weights = []
    for error in (960, 961, 60_000):
        predictor = lms(1, 201, 1024)
        residuals(predictor, codes, 1024)
        before = predictor.weights.copy()
        location = predict(predictor, 0, 200)
        update(predictor, 0, 200, location + error, location, np.int64((1 << 32) // 320))
        weights.append(predictor.weights - before)
    assert weights[0].any()
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[0], weights[2])


# Channels together


def tetrode(frames=6000):
    """Two channels that share a tenth of their noise's power, the first of them one sample late, and one of its own."""
    random = np.random.default_rng(3)
    shared, own = random.normal(size=frames + 1) * 8, random.normal(size=(3, frames)) * 16
    values = np.stack([shared[:-1] + own[0], shared[1:] + own[1], 2 * own[2]])
    return np.rint(values + 512).clip(0, 1023).astype(np.int32)


def test_crossed_learns_what_channels_share_at_other_instants_too():
    first, second, third = tetrode()
    early = crossed(lpc(8, 1, len(first), 1024), [], len(first), 1)
    alone = residuals(early, first, 1024)
    np.testing.assert_allclose(early.residual[1:] / 64, alone[1:], atol=1e-9)
    assert early.residual[0] == 0
    plain = residuals(lpc(8, 1, len(second), 1024), second, 1024)
    together = crossed(lpc(8, 1, len(second), 1024), [early.residual, third * 0], len(second), 1)
    errors = residuals(together, second, 1024)
    assert errors[2000:].var() < 0.98 * plain[2000:].var()
    strongest = abs(together.gains[0]).argmax()
    assert strongest == len(together.gains[0]) // 2 + 1 and not together.gains[1].any()
    others = crossed(lpc(8, 1, len(third), 1024), [early.residual, together.residual], len(third), 1)
    unhelped = residuals(lpc(8, 1, len(third), 1024), third, 1024)
    assert residuals(others, third, 1024)[2000:].var() < 1.01 * unhelped[2000:].var()


def test_gains_are_those_of_regression():
    """On one lane and short of forgetting, a gain is a quotient of sums over all samples behind, shrunk a little."""
    random = np.random.default_rng(9)
    frames = 224  # three segments, none of whole length
    other = random.integers(-2000, 2000, frames).astype(np.int32)
    codes = np.rint(512 + other / 64 * 0.5 + random.normal(size=frames) * 8).astype(np.int32)
    predictor = crossed(lpc(8, 1, frames, 1024), [other], frames, 1)
    residuals(predictor, codes, 1024)
    target = predictor.after.signal[0, -frames:] + predictor.correction[0]
    power = float((other.astype(float) ** 2).sum()) * (1 + 128 / frames)
    for lag in range(-3, 4):
        shifted = np.array([other[t + lag] if 0 <= t + lag < frames else 0 for t in range(frames)], dtype=float)
        expected = (target * shifted).sum() / power
        assert predictor.gains[0, lag + 3] / 65536 == pytest.approx(expected, abs=1e-3)


def test_references_are_earlier_channels_that_help():
    first, second, third = tetrode()
    channels = np.stack([first, third, np.roll(second, 1), first, third * 0], axis=1)
    references = choose_references(channels)
    assert references == [[], [], [0], [0, 2], []]
    assert choose_references(channels, limit=1)[3] == [0]
    assert choose_references(channels[:2]) == [[]] * 5
    assert choose_references(channels[:0]) == [[]] * 5
    assert choose_references(channels[:, :1]) == [[]]


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_channels_that_refer_to_each_other_come_back(lanes):
    columns = [np.ascontiguousarray(column[:2001]) for column in tetrode()]
    density = narrow(uniform_edges(1024))

    def code(coder, channels):
        behind: list[np.ndarray] = []
        for channel in channels:
            base = lpc(16, lanes, -(-2001 // lanes), 1024)
            predictor = crossed(base, behind, 2001, lanes)
            run(coder, predictor, density, scale(lanes, 1024, 60), channel, SEGMENT)
            behind.append(predictor.residual)

    encoder = range_encoder(lanes, 20_000)
    code(encoder, columns)
    restored = [np.empty(2001, dtype=np.int32) for _ in columns]
    code(range_decoder(finish(encoder)), restored)
    np.testing.assert_array_equal(restored, columns)


def test_wide_positions_are_codes():
    assert position(wide(100_000), 70_000) == 70_000 * 64 and position(narrow(uniform_edges(NARROW_CODES)), 7) == 448
