"""The predictor `max`: whatever comes is restored, nothing overflows, damage and companions that
are others are errors, and what they add pays.
"""

from __future__ import annotations

import numpy as np
import pytest

from kit.contract import signal
from kit.writing import front_of
from spikey.base.errors import DataError
from spikey.codec.adaptive.loop import run
from spikey.codec.adaptive.syntax import channels_in, companions_in
from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block
from spikey.codec.method import MOST_COMPANIONS, Method
from spikey.codec.payload import Lookup, Payload
from spikey.coding.range_coder import range_encoder
from spikey.model.calibration import Calibration, n1
from spikey.model.density import narrow, uniform_edges, wide
from spikey.model.lpc import SEGMENT
from spikey.model.mixture import mixed
from spikey.model.ridge import WEIGHT_MAX
from spikey.model.stacked import LAGS, OTHERS, network, prior, stacked_predictor
from spikey.report.self_test import known_signal

ARCHIVE = Method("max", lanes=1, references=4)


def back(payload, samples, calibration=None, companions=None):
    """What a payload of such samples decodes to."""
    frames, count = samples.shape
    given = None if companions is None else lambda: companions
    return decode_block(Payload(payload, frames, count, samples.dtype, companions=given), Lookup(lambda: calibration))


def check(samples, method=ARCHIVE, calibration: Calibration | None = None, companions=None):
    """Round trip; the payload."""
    payload = encode_block(samples, method, calibration, companions)
    assert payload is not None
    np.testing.assert_array_equal(back(payload, samples, calibration, companions), samples)
    return payload


def test_the_prior_is_one():
    mean, precision, pairs = prior()
    hidden = network().architecture.hidden
    assert len(mean) == hidden + 2 + 2 * LAGS + OTHERS + len(pairs)
    np.testing.assert_array_equal(precision, precision.T)
    assert np.linalg.eigvalsh(precision).min() > 1
    assert pairs.shape[1] == 2 and (not pairs.size or 0 <= pairs.min() <= pairs.max() < hidden)


# Whatever comes


def _spread(kind, low, high, frames=900):
    """A kind of signal over a range of integers."""
    t = np.arange(frames)
    noise = np.random.default_rng(6).integers(low, high, frames, endpoint=True)
    middle, reach = (low + high) // 2, (high - low) // 2
    return {
        "constant": np.full(frames, high),
        "square": np.where(t // 37 % 2, high, low),
        "alternating": np.where(t % 2, high, low) - (t % 5) * (t % 2) + (t % 3) * (1 - t % 2),
        "white": noise,
        "ramp": low + t * (high - low) // frames,
        "shocks": np.where(noise % 50 == 0, noise, middle + t % 7),
        "smooth, then white": np.where(t < frames // 2, middle + np.rint(reach * np.sin(t / 90)).astype(int), noise),
    }[kind]


KINDS = ["constant", "square", "alternating", "white", "ramp", "shocks", "smooth, then white"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
def test_every_signal_comes_back(kind, dtype):
    limits = np.iinfo(dtype)
    samples = _spread(kind, limits.min, limits.max).astype(dtype)[:, None]
    payload = encode_block(samples, ARCHIVE)
    if payload is None:
        assert kind.endswith("white"), "only what is noise may be left as it is"
    else:
        np.testing.assert_array_equal(back(payload, samples), samples)
        assert kind.endswith("white") or len(payload) < samples.nbytes * 0.7


@pytest.mark.parametrize("codes", [2, 300, 5000, 1 << 20])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overflows(kind, codes):
    """All states stay within their bounds, and finite, on alphabets that such signals fill."""
    density = wide(codes) if codes > 4096 else mixed(narrow(uniform_edges(codes)))
    channel = _spread(kind, 0, codes - 1, 1500).clip(0, codes - 1).astype(np.int32)
    model = stacked_predictor(len(channel), codes, 60)
    run(range_encoder(1, 16 * len(channel)), model, density, model, channel, SEGMENT)
    state = model.regression
    for field in (state.gram, state.moment, state.solution, state.work):
        assert np.isfinite(field).all()
    assert abs(state.weights).max() <= WEIGHT_MAX
    assert np.diag(state.gram).min() >= 0
    assert abs(model.location[0]) <= 1 << 28 and abs(model.quickly[0]) <= 1 << 28
    reach = 64 * codes + 64
    assert abs(model.changes).max() <= reach and abs(model.errors).max() <= reach + (1 << 28)


@pytest.mark.parametrize("frames", [1, 2, 3, 31, 32, 33, 34, 97, 256, 257])
@pytest.mark.parametrize("delta", [True, False])
def test_recordings_of_any_length(frames, delta):
    samples = known_signal(frames)
    for some in (samples[:, :1], samples):
        method = Method("max", delta=delta, lanes=1, references=4)
        payload = encode_block(some, method, n1())
        if payload is not None:
            np.testing.assert_array_equal(back(payload, some, n1()), some)
        assert payload is not None or frames < 40


def test_two_codes():
    samples = (np.random.default_rng(2).random((2000, 1)) < 0.1).astype(np.int16) * 300 - 7
    assert len(check(samples)) < 0.7 * 2000 / 8


# What it adds


def test_it_learns_what_is_its_own_in_a_recording():
    """A waveform that comes again and again is learned better than by the adaptive predictors alone."""
    random = np.random.default_rng(1)
    shape = np.rint(90 * np.sin(np.arange(24) / 2.2) * np.exp(-np.arange(24) / 9))
    values = random.normal(size=24_000) * 6
    for start in np.flatnonzero(random.random(23_900) < 0.01):
        values[start : start + 24] += shape
    samples = np.rint(values).astype(np.int16)[:, None]
    size = {name: len(check(samples, Method(name, lanes=1))) for name in ("lpc", "balanced", "max")}
    assert size["max"] < 0.99 * size["balanced"] and size["max"] < size["lpc"]


def tetrode(frames=6000):
    random = np.random.default_rng(3)
    shared, own = random.normal(size=frames + 1) * 24, random.normal(size=(2, frames)) * 16
    values = np.stack([shared[:-1] + own[0], shared[1:] + own[1]], axis=1)
    return np.rint(values).astype(np.int16)


def test_references_and_companions_save_the_same():
    samples = tetrode()
    alone = [len(check(samples[:, i : i + 1])) for i in (0, 1)]
    together = len(check(samples))
    assert together < 0.98 * sum(alone)
    beside = check(samples[:, 1:], companions=samples[:, :1])
    assert companions_in(beside) == 1
    assert len(beside) < 0.96 * alone[1]
    assert together == pytest.approx(alone[0] + len(beside), rel=0.01)


# Companions


COMPANIONS = tetrode(500)


def test_companions_that_tell_nothing_are_not_needed():
    samples = tetrode(8000)[:, 1:]
    nothing = np.random.default_rng(0).integers(0, 50, (8000, 2)).astype(np.int16)
    payload = encode_block(samples, ARCHIVE, None, nothing)
    assert payload == encode_block(samples, ARCHIVE)
    assert companions_in(payload) == 0


def test_channels_and_companions_of_other_types_come_back():
    samples, two = COMPANIONS[:, :1].astype(np.int32) * 70_001 + 5, COMPANIONS[:, 1:]
    for companions in (two, two.astype(np.int8), (two * 3 + 1000).astype(np.uint16), two.astype(np.int32) * 40):
        payload = check(samples, companions=companions)
        assert companions_in(payload) == 1
    channels = np.concatenate([COMPANIONS, COMPANIONS[::-1], COMPANIONS + 3], axis=1)
    payload = check(channels[:, 2:], companions=channels[:, :2])
    described = channels_in(payload, 4)
    assert len(described) == 6 and companions_in(payload) == 2
    assert all(reference < index for index, one in enumerate(described) for reference in one.references)


def test_companions_that_are_missing_or_others_are_errors():
    samples, companions = COMPANIONS[:, 1:], COMPANIONS[:, :1]
    payload = encode_block(samples, ARCHIVE, None, companions)
    assert companions_in(payload) == 1
    with pytest.raises(DataError, match="which are not available"):
        back(payload, samples)
    outside = companions.copy()
    outside[250] += 20_000
    for wrong in (
        companions[:-1],
        companions[:0],
        np.concatenate([companions, companions], axis=1),
        np.zeros((500, 0), dtype=np.int16),
        companions.astype(np.float32),
        outside,
        np.full_like(companions, 32_767),
        np.full((500, 1), -(1 << 31), dtype=np.int32),
    ):
        with pytest.raises(DataError, match="than the given ones"):
            back(payload, samples, companions=wrong)


def test_a_companion_of_other_samples_decodes_to_other_samples():
    """That it is not the right one is for checksums to say; nothing worse may happen."""
    samples, companions = COMPANIONS[:, 1:], COMPANIONS[:, :1]
    payload = encode_block(samples, ARCHIVE, None, companions)
    got = back(payload, samples, companions=np.ascontiguousarray(companions[::-1]))
    assert got.shape == samples.shape and not np.array_equal(got, samples)


def test_impossible_companions_are_errors():
    samples, companions = COMPANIONS[:, 1:], COMPANIONS[:, :1]
    payload = encode_block(samples, ARCHIVE, None, companions)
    assert payload is not None
    for at, byte in ((1, MOST_COMPANIONS + 1), (1, 255), (2, 16 + 1), (2, 3)):
        changed = bytearray(payload)
        changed[at] = byte
        with pytest.raises(DataError):
            back(bytes(changed), samples, companions=companions)


# Damage


@pytest.mark.parametrize("beside", [False, True])
def test_damaged_payloads_are_errors_or_other_samples(beside):
    samples = COMPANIONS[:200, 1:] if beside else COMPANIONS[:200]
    companions = COMPANIONS[:200, :1] if beside else None
    payload = encode_block(samples, ARCHIVE, None, companions)
    assert payload is not None
    random = np.random.default_rng(4)
    outcomes = set()
    for trial in range(250):
        changed = bytearray(payload)
        at = random.integers(1, 30) if trial % 3 == 0 else random.integers(1, len(payload))
        changed[at] ^= 1 << random.integers(8)
        if trial % 10 == 0:
            changed = changed[: random.integers(len(changed))]
        if not changed:
            continue
        try:
            got = back(bytes(changed), samples, companions=companions)
            assert got.shape == samples.shape and got.dtype == samples.dtype
            outcomes.add("other samples" if (got != samples).any() else "the samples")
        except DataError:
            outcomes.add("refused")
    assert {"other samples", "refused"} <= outcomes


def test_damaged_methods_are_errors():
    payload = encode_block(known_signal(100)[:, :1], ARCHIVE)
    assert payload is not None
    for first in (0x16, 0x26, 0x36, 0x86, 0xC6, 0x08, 0x4E):  # unused bits, predictors that there are not
        with pytest.raises(DataError):
            back(bytes([first]) + payload[1:], known_signal(100)[:, :1])


@pytest.mark.parametrize("name", ["constant", "white", "coloured", "silence and shocks"])
def test_invented_streams_give_samples_all_the_same(name):
    codes = signal(name, 400, 300)[:, None].astype(np.int16)
    payload = encode_block(codes, ARCHIVE)
    assert payload is not None
    front = front_of(ARCHIVE, channels_in(payload, 1))
    assert payload.startswith(front)
    for fill in (b"\xff" * 700, b"\x00" * 700, bytes(np.random.default_rng(1).integers(0, 256, 700, dtype=np.uint8))):
        got = back(front + fill, codes)
        assert got.shape == codes.shape
