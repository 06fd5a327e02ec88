"""Trained networks: integers as specified, side by side as one by one, never worse than the adaptive predictors.

`python test_learned.py` prints digests of what a few networks code; threads and compilation must not change them.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import spikey
from kit import reference
from kit.golden import LSTM, known_model
from kit.networks import ALONE_MODEL, DENSE_MODEL, GENTLE, LENGTHS, NONSENSE
from kit.paths import SOURCE, TESTS
from kit.writing import compare_networks, payloads_of, write_file
from spikey.base.errors import DataError
from spikey.base.jit import kernel
from spikey.codec.adaptive.networks import MANY
from spikey.codec.decode import decode_block, decode_blocks
from spikey.codec.encode import encode_block, encode_smallest
from spikey.codec.method import MOST_REFERENCES, Method, learned
from spikey.codec.payload import Lookup, Payload
from spikey.codec.registry import preset_method
from spikey.container.reader import Reader
from spikey.model.calibration import n1
from spikey.model.learned import network_of
from spikey.model.lstm import LstmTogether
from spikey.model.network import infer
from spikey.model.trained import EXACT, Architecture, Model, reach_of
from spikey.recording.layout import Layout
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate
from spikey.report.self_test import known_signal

pytestmark = pytest.mark.usefixtures("nothing_in_use", "no_comparison")


GUARD = Method("lpc", lanes=2, references=MOST_REFERENCES)


def decoded(payload: bytes, samples: np.ndarray, model: Model) -> np.ndarray:
    return decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(n1, lambda: model))


def check(samples: np.ndarray, model: Model) -> bytes:
    """There and back with the network; in 32 bits, so that no payload is larger than the samples are."""
    samples = samples.astype(np.int32)
    payload = encode_block(samples, learned(model), n1())
    assert payload is not None
    np.testing.assert_array_equal(decoded(payload, samples, model), samples)
    return payload


# ---------------------------------------------------------------- the network


@kernel
def infer_compiled(network, inputs, outputs):
    infer(network, inputs, outputs)


SHAPES = [
    Architecture("lstm", alone=False, lags=1, hidden=1, layers=1),
    Architecture("lstm", alone=False, lags=10, hidden=17, layers=3),
    Architecture("lstm", alone=True, lags=3, hidden=16, layers=2),
    Architecture("lstm", alone=True, lags=1, hidden=33, layers=1, delta=False),
    Architecture("lstm", alone=False, lags=8, hidden=70, layers=2),
    Architecture("fixed_input_nn", alone=False, lags=8, hidden=64, layers=2),
    Architecture("fixed_input_nn", alone=False, lags=1, hidden=1, layers=3),
    Architecture("fixed_input_nn", alone=True, lags=10, hidden=19, layers=1),
    Architecture("fixed_input_nn", alone=True, lags=70, hidden=65, layers=2, delta=False),
]


@pytest.mark.parametrize("built", SHAPES, ids=str)
def test_the_network_is_that_of_the_specification(built):
    model, lanes = known_model(built, down=0), MANY + 1
    random = np.random.default_rng(built.hidden)
    tensors = {name: tensor.astype(np.int64) for name, tensor in model.tensors.items()}
    kind = reference.Lstm if built.type == "lstm" else reference.Dense
    plain = [kind(tensors, built.layers) for _ in range(lanes)]
    network = network_of(model, lanes)
    together = LstmTogether(model, lanes) if built.type == "lstm" else None
    seen = set()
    for step in range(25):
        inputs = random.integers(-1024, 1025, (lanes, built.inputs)).astype(np.int16)
        if step % 5 == 4:
            inputs = np.where(inputs < 0, -1024, 1024).astype(np.int16)
        outputs, others = np.zeros((2, lanes, 2), dtype=np.int64)
        infer_compiled(network, inputs, outputs)
        wanted = [one(row) for one, row in zip(plain, inputs, strict=True)]
        np.testing.assert_array_equal(outputs, wanted)
        if together is not None:
            together.infer(inputs, others)
            np.testing.assert_array_equal(others, wanted)
        seen |= {value for row in wanted for value in row}
    assert len(seen) > 30


def test_rows_at_their_bound():
    """Whole rows of the largest weights and the most extreme inputs: sums just below 2^24, of either sign."""
    built = Architecture("lstm", alone=True, lags=1, hidden=3, layers=1)
    tensors = {}
    for name, shape in built.shapes().items():
        if name.endswith("weight"):
            reach = reach_of(built, name)
            weight = np.full(shape, (EXACT - 1) // reach.sum(), dtype=np.int64)
            sign = np.where(np.arange(shape[0]) % 2, -1, 1)
            tensors[name] = (weight * sign[:, None]).astype(np.int16)
            rest = EXACT - 1 - weight @ reach
            tensors[name.replace("weight", "bias")] = (rest * sign).astype(np.int32)
    model = Model(built, {name: tensors[name] for name in built.shapes()})
    plain = [reference.Lstm({n: t.astype(np.int64) for n, t in tensors.items()}, 1) for _ in range(MANY)]
    network, together = network_of(model, MANY), LstmTogether(model, MANY)
    for step in range(30):
        inputs = np.full((MANY, 1), -1024 if step % 7 == 3 else 1024, dtype=np.int16)
        outputs, others = np.zeros((2, MANY, 2), dtype=np.int64)
        infer_compiled(network, inputs, outputs)
        together.infer(inputs, others)
        np.testing.assert_array_equal(outputs, [one([int(inputs[0, 0])]) for one in plain])
        np.testing.assert_array_equal(others, outputs)


# ---------------------------------------------------------------- side by side


@pytest.mark.parametrize("model", [GENTLE, DENSE_MODEL], ids=["lstm", "dense"])
@pytest.mark.parametrize("count", [3, len(LENGTHS)])
def test_side_by_side_gives_the_same_bytes(model, count):
    blocks = [simulate(length, 1 + length % 2, seed=length).astype(np.int32) for length in LENGTHS[-count:] if length]
    blocks += [(blocks[0] // 64).astype(np.int32), np.zeros((40, 2), dtype=np.int32)]
    method = learned(model)
    for order in (blocks, blocks[::-1]):
        payloads = payloads_of(order, method, n1())
        assert payloads == [encode_block(block, method, n1()) for block in order]
        assert [len(b) for b, p in zip(order, payloads, strict=True) if p is None] in ([], [1], [1, 2], [2, 1])
        some = [(block, payload) for block, payload in zip(order, payloads, strict=True) if payload is not None]
        wanted = [Payload(payload, *block.shape, block.dtype) for block, payload in some]
        for (block, _), got in zip(some, decode_blocks(wanted, Lookup(n1, lambda: model)), strict=True):
            np.testing.assert_array_equal(got, block)
        for (block, _), payload in zip(some, wanted, strict=True):
            np.testing.assert_array_equal(decode_block(payload, Lookup(n1, lambda: model)), block)
    assert decode_blocks([], Lookup(n1, lambda: model)) == []


def test_what_is_side_by_side_is_what_the_reference_decodes(unguarded):
    model = known_model(replace(LSTM, hidden=17, layers=3, lags=1))
    samples = np.concatenate([simulate(120, 1, seed=seed) for seed in range(MANY + 1)], axis=1)
    out = io.BytesIO()
    write_file(ArraySource(samples, 20_000), out, learned(model), n1())
    assert (
        reference.decode(out.getvalue(), [n1().to_bytes()], [known_model(LSTM).file, model.file]) == samples.tobytes()
    )


def witness(large: bool) -> list[str]:
    """Digests of what networks code, several by matrix products and a few; `large`: of a size for threads."""
    lines, signal = [], known_signal(700).astype(np.int32)
    small = known_model(replace(LSTM, hidden=3, layers=1))
    cases = [(small, MANY, 12), (small, 1, 20), (ALONE_MODEL, 1, 20)]
    if large:
        cases = [(known_model(replace(LSTM, hidden=64, layers=1)), 2 * MANY, 34)]
    for model, count, frames in cases:
        blocks = [signal[40 * at : 40 * at + frames - at, :1] for at in range(count)]
        payloads = [payload or b"" for payload in payloads_of(blocks, learned(model), n1())]
        wanted = [Payload(p, *b.shape, b.dtype) for p, b in zip(payloads, blocks, strict=True)]
        for block, got in zip(blocks, decode_blocks(wanted, Lookup(n1, lambda model=model: model)), strict=True):
            np.testing.assert_array_equal(got, block)
        lines.append(hashlib.sha256(b"".join(payloads)).hexdigest())
    return lines


@pytest.mark.parametrize(
    "options", [{"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "2"}, {"NUMBA_DISABLE_JIT": "1"}], ids=str
)
def test_threads_and_compilation_change_no_byte(options):
    """Uncompiled, NumPy's scalars warn where a compiled integer would silently overflow, and warnings are errors."""
    large = "NUMBA_DISABLE_JIT" not in options
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, *["large"] * large],
        env={**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}", **options},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == witness(large)


# ---------------------------------------------------------------- odd recordings

NARROW_SIGNALS = {
    "constant": lambda t, random: np.full(t.size, 77),
    "almost constant": lambda t, random: t == 150,
    "square wave": lambda t, random: t // 37 % 2 * 4000,
    "alternating": lambda t, random: t % 2 * 4095,
    "saturated": lambda t, random: np.clip(random.normal(size=t.size) * 3000 + 500, 0, 1023).astype(int),
    "white noise": lambda t, random: random.integers(0, 4096, t.size),
    "one artifact": lambda t, random: random.integers(0, 6, t.size) + 4000 * (t == 260),
    "ramp": lambda t, random: t * 11 % 4096,
}
WIDE_SIGNALS = {
    "white noise": lambda t, random: random.integers(-32_768, 32_768, t.size),
    "huge artifact": lambda t, random: random.integers(-9, 10, t.size) - 32_000 * (t == 200),
    "alternating": lambda t, random: np.where(t % 2, 1 << 19, -(1 << 19) + 1) + random.integers(0, 2, t.size),
    "walk": lambda t, random: np.cumsum(random.integers(-900, 901, t.size)),
}


def recordings(signals, name, channels=1):
    t = np.arange(600)
    return np.stack([signals[name](t, np.random.default_rng(seed)) for seed in range(channels)], axis=1)


@pytest.mark.parametrize("name", NARROW_SIGNALS)
def test_odd_recordings(name):
    samples = recordings(NARROW_SIGNALS, name, channels=2)
    for model in (GENTLE, NONSENSE[0], DENSE_MODEL, NONSENSE[1]):
        check(samples, model)
    check(samples, ALONE_MODEL)


@pytest.mark.parametrize("name", WIDE_SIGNALS)
def test_large_alphabets(name, unguarded):
    samples = recordings(WIDE_SIGNALS, name).astype(np.int32)
    for model in (DENSE_MODEL, NONSENSE[1]):
        payload = check(samples, model)
        out = io.BytesIO()
        write_file(ArraySource(samples, 20_000), out, learned(model), payload=payload)
        assert reference.decode(out.getvalue(), models=[model.file]) == samples.tobytes()


@pytest.mark.parametrize("frames", [0, 1, 2, 31, 32, 33, 257])
def test_lengths(frames):
    samples = known_signal(300)[:frames]
    for model in (GENTLE, DENSE_MODEL, ALONE_MODEL):
        out = io.BytesIO()
        write_file(ArraySource(samples, 20_000), out, learned(model), n1(), embed_model=True)
        recording = spikey.decompress(out.getvalue())
        np.testing.assert_array_equal(recording.samples, samples)
        assert reference.decode(out.getvalue(), [n1().to_bytes()]) == samples.tobytes()
        if frames > 2:
            check(samples, model)


@pytest.mark.parametrize("model", [GENTLE, *NONSENSE], ids=["gentle", "lstm", "dense"])
def test_the_guard(model, monkeypatch):
    """A network is never worse than the adaptive predictors, and a file that does without says nothing of it."""
    compare_networks(monkeypatch, True)
    both = known_signal(400)
    for samples in (both, both[:40], (both // 64).astype(np.int16), np.zeros_like(both), both[:1]):
        layout = Layout(samples.shape[1], 20_000, "int16")
        (got,) = encode_smallest([samples], [layout], learned(model), n1())
        (plain,) = encode_smallest([samples], [layout], GUARD, n1())
        assert len(got.payload) <= len(plain.payload)
        used = got.payload[0] & 15 == 4
        if model is not GENTLE and len(samples) > 1 and samples.any():
            (wide,) = encode_smallest([samples], [layout], preset_method("fast"), n1())
            smaller = min(plain.payload, wide.payload, key=len)
            assert not used and (model.architecture.type == "lstm" or len(got.payload) == len(smaller))
        files = []
        for method, embed in ((learned(model), True), (GUARD, False)):
            out = io.BytesIO()
            write_file(ArraySource(samples, 20_000), out, method, n1(), embed_model=embed)
            files.append(out.getvalue())
        with Reader(files[0]) as reader:
            assert bool(reader.model_id) == used
        assert used or len(files[0]) <= len(files[1])
    compare_networks(monkeypatch, False)
    (got,) = encode_smallest([both], [Layout(2, 20_000, "int16")], learned(GENTLE), n1())
    assert got.payload[0] & 15 == 4, "where nothing is better, it is used"


def test_methods_that_contradict_the_model():
    samples = known_signal(100)
    payload = encode_block(samples, learned(GENTLE), n1())
    for wrong, says in (
        (bytes([payload[0] ^ 64]) + payload[1:], "does not fit its model"),
        (payload[:1] + b"\2" + payload[2:], "method that this version does not support"),
    ):
        with pytest.raises(DataError, match=says):
            decoded(wrong, samples, GENTLE)
    with pytest.raises(DataError, match="has no model id"):
        decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(n1))
    for cut in range(20):
        with pytest.raises(DataError, match="too early|at most"):
            decoded(payload[:cut], samples, GENTLE)


if __name__ == "__main__":
    print("\n".join(witness("large" in sys.argv)))
