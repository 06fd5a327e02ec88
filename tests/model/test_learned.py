"""Trained networks: integers as specified, side by side as one by one, and one sentence for whatever is wrong with one.

`python test_learned.py` prints digests of what a few networks code; threads and compilation must not change them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import zlib
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit import reference
from kit.golden import ALONE, DENSE, LSTM, known_model
from kit.paths import SOURCE, TESTS
from kit.writing import compare_networks, cut_into, payloads_of, write_file
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.base.jit import kernel
from spikey.base.wire import varint
from spikey.cli import app
from spikey.codec.adaptive.networks import MANY
from spikey.codec.decode import decode_block, decode_blocks
from spikey.codec.encode import encode_block, encode_blocks, encode_smallest
from spikey.codec.method import MOST_REFERENCES, Method, learned
from spikey.codec.syntax import Lookup, Payload
from spikey.coding.packed_bytes import pack_bytes
from spikey.container import embedding, hold, writer
from spikey.container import layout as lay
from spikey.container.blocks import BlockDecoder
from spikey.container.reader import Reader
from spikey.files import compress, decompress, encoding
from spikey.files.batch import compress_together, decompress_together
from spikey.files.decompress import verify_file
from spikey.files.settings import Settings
from spikey.model import tensor_file, trained
from spikey.model.calibration import n1
from spikey.model.learned import network_of
from spikey.model.lstm import LstmTogether
from spikey.model.network import infer
from spikey.model.trained import EXACT, FORMAT, Architecture, Model, architecture, find, load, reach_of
from spikey.recording.layout import Layout, pack
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from spikey.report.self_test import known_signal

GENTLE = known_model(LSTM, down=9)  # refines a little, so that it beats linear prediction
DENSE_MODEL, ALONE_MODEL = known_model(DENSE), known_model(ALONE)
NONSENSE = [known_model(LSTM, down=0), known_model(DENSE, down=0)]
GUARD = Method("lpc", lanes=2, references=MOST_REFERENCES)
LENGTHS = [200, 33, 1, 257, 32, 300, 2, 31, 150, 256, 0]
runner = CliRunner()
# Outputs are written again and again.
compress_file, decompress_file = (
    partial(do, overwrite=True) for do in (compress.compress_file, decompress.decompress_file)
)


@pytest.fixture(autouse=True)
def nothing_in_use(monkeypatch, tmp_path):
    """Models that another test has brought into use, or that are shipped, are unknown."""
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.setattr(trained, "_places", [])
    monkeypatch.setattr(trained, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(trained, "OWN", tmp_path / "own")
    monkeypatch.delenv("SPIKEY_MODELS", raising=False)


@pytest.fixture
def unguarded(monkeypatch):
    """The network is used for every block, whether it pays or not."""

    def coded(blocks, layouts, method, calibration, companions=None):
        return encode_blocks(blocks, method, calibration)

    monkeypatch.setattr(encoding, "encode_smallest", coded)


def decoded(payload: bytes, samples: np.ndarray, model: Model) -> np.ndarray:
    return decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(n1, lambda: model))


def check(samples: np.ndarray, model: Model, coder: str = "arithmetic") -> bytes:
    """There and back with the network; in 32 bits, so that no payload is larger than the samples are."""
    samples = samples.astype(np.int32)
    payload = encode_block(samples, learned(model, coder), n1())
    assert payload is not None
    np.testing.assert_array_equal(decoded(payload, samples, model), samples)
    return payload


def wav(samples: np.ndarray) -> bytes:
    layout = Layout(samples.shape[1], 20_000, "int16")
    return canonical_head(layout, len(samples)) + pack(samples, layout)


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
    cases = [(small, MANY, 12, "arithmetic"), (small, 1, 20, "arithmetic"), (ALONE_MODEL, 1, 20, "rice")]
    if large:
        cases = [(known_model(replace(LSTM, hidden=64, layers=1)), 2 * MANY, 34, "arithmetic")]
    for model, count, frames, coder in cases:
        blocks = [signal[40 * at : 40 * at + frames - at, :1] for at in range(count)]
        payloads = [payload or b"" for payload in payloads_of(blocks, learned(model, coder), n1())]
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
    check(samples, ALONE_MODEL, "rice")


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
    for model, coder in ((GENTLE, "arithmetic"), (DENSE_MODEL, "arithmetic"), (ALONE_MODEL, "rice")):
        out = io.BytesIO()
        write_file(ArraySource(samples, 20_000), out, learned(model, coder), n1(), embed_model=True)
        recording = spikey.decompress(out.getvalue())
        np.testing.assert_array_equal(recording.samples, samples)
        assert reference.decode(out.getvalue(), [n1().to_bytes()]) == samples.tobytes()
        if frames > 2:
            check(samples, model, coder)


@pytest.fixture(autouse=True)
def no_comparison(monkeypatch):
    """These networks win nothing: they would never be used, and the files with one inside are larger than allowed."""
    compare_networks(monkeypatch, False)
    monkeypatch.setattr(writer, "most_bytes", lambda size: 1 << 40)
    monkeypatch.setattr(hold, "_covers", lambda spared, cost: True)


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
            assert not used and (model.architecture.type == "lstm" or got.payload == plain.payload)
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
        (bytes([payload[0] ^ 64]) + payload[1:], "its model is not for"),
        (payload[:1] + b"\2" + payload[2:], "method that this version does not know"),
    ):
        with pytest.raises(DataError, match=says):
            decoded(wrong, samples, GENTLE)
    with pytest.raises(DataError, match="does not name"):
        decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(n1))
    for cut in range(20):
        with pytest.raises(DataError, match="too early|at most"):
            decoded(payload[:cut], samples, GENTLE)


# ---------------------------------------------------------------- models as files


def junk() -> dict[str, bytes]:
    """What is not a model, or not one that can be used."""
    built, tensors = asdict(LSTM), GENTLE.tensors

    def model(changed=None, metadata=None, mark=FORMAT, **architecture):
        described = {**built, **architecture}
        return tensor_file.write(mark, {**tensors, **(changed or {})}, {"architecture": described, **(metadata or {})})

    def row(name, value):
        weight = tensors[name].copy()
        weight[1] = value
        return {name: weight}

    good = GENTLE.file
    length = int.from_bytes(good[:8], "little")
    cases = {
        "nothing": b"",
        "noise": np.random.default_rng(0).bytes(3000),
        "text": b"once upon a time",
        "a pickle": pickle.dumps({"model": [1, 2, 3], "run": os.getcwd}),
        "a calibration": n1().to_bytes(),
        "another version": model(mark="spikey model 2"),
        "truncated": good[:-1],
        "half": good[: len(good) // 2],
        "more bytes": good + b"\0",
        "bytes in front": b"\0" + good,
        "a huge header": (1 << 62).to_bytes(8, "little") + good[8:],
        "spaces": (length + 8).to_bytes(8, "little") + good[8 : 8 + length] + b" " * 8 + good[8 + length :],
        "a sum of 2^24": model(row("layer0.weight", 32_767)),
        "a sum of 2^24 in the head": model(row("head.weight", -32_768)),
        "a large bias": model({"head.bias": np.array([EXACT, 0], np.int32)}),
        "the least bias": model({"head.bias": np.array([0, -(1 << 31)], np.int32)}),
        "wide weights": model({"head.weight": tensors["head.weight"].astype(np.int32)}),
        "narrow biases": model({"head.bias": tensors["head.bias"].astype(np.int16)}),
        "a flat weight": model({"head.weight": tensors["head.weight"].ravel()}),
        "a short bias": model({"head.bias": tensors["head.bias"][:1]}),
        "one tensor more": model({"more": np.zeros(1, np.int16)}),
        "no architecture": tensor_file.write(FORMAT, tensors, {}),
        "an architecture in words": tensor_file.write(FORMAT, tensors, {"architecture": "lstm"}),
        "one key more": model(heads=2),
    }
    less = dict(tensors)
    del less["head.bias"]
    cases["one tensor less"] = tensor_file.write(FORMAT, less, {"architecture": built})
    for key, value in [
        ("type", "transformer"),
        ("type", ["lstm"]),
        ("type", "fixed_input_nn"),
        ("alone", 1),
        ("alone", True),
        ("delta", None),
        ("lags", 0),
        ("lags", True),
        ("lags", 4),
        ("hidden", 10**9),
        ("hidden", 8.0),
        ("layers", -1),
        ("layers", 10**30),
    ]:
        cases[f"{key} {value}"] = model(**{key: value})
    text = good[8 : 8 + length].rstrip()
    deep = text.replace(b'\\"name\\"', b'\\"deep\\": ' + b"[" * 990 + b"]" * 990 + b', \\"name\\"')
    for name, header in (("deep metadata", deep), ("floats", text.replace(b'"I16"', b'"F16"', 1))):
        header += b" " * (-len(header) % 8)
        cases[name] = len(header).to_bytes(8, "little") + header + good[8 + length :]
    return cases


def with_record(content: bytes) -> bytes:
    """A file that a network coded, whole in itself, whose record of the model holds `content`."""
    samples, out = known_signal(100), io.BytesIO()
    payload = encode_block(samples, learned(GENTLE), n1())
    write_file(ArraySource(samples, 20_000), out, learned(GENTLE), n1(), payload=payload)
    with Reader(out.getvalue()) as reader:
        header = reader.header
    header.records = [(lay.MODEL, content)]
    head = header.write()
    check = zlib.crc32(samples.tobytes(), zlib.crc32(payload, zlib.crc32(head)))
    return head + payload + check.to_bytes(4, "little")


def embedded(model: bytes) -> bytes:
    return hashlib.sha256(model).digest()[:4] + varint(len(model)) + pack_bytes(model)


def one_sentence(error: BaseException, *parts: str) -> None:
    text = str(error)
    assert isinstance(error, DataError) and "\n" not in text and len(text) < 600, text
    assert all(part in text for part in parts), (parts, text)


def test_the_record_is_put_together_as_it_should_be():
    np.testing.assert_array_equal(spikey.decompress(with_record(embedded(GENTLE.file))).samples, known_signal(100))


@pytest.mark.parametrize("name", junk())
def test_no_model_is_refused_in_one_sentence(name, tmp_path):
    data = junk()[name]
    with pytest.raises(DataError) as error:
        load(data)
    one_sentence(error.value, "model: ")
    path = tmp_path / "junk.safetensors"
    path.write_bytes(data)
    for read in (load, trained.named):
        with pytest.raises(DataError) as error:
            read(str(path))
        one_sentence(error.value, str(path))
    packed = with_record(embedded(data))
    for salvage in (False, True):
        with Reader(packed, salvage=salvage) as reader, pytest.raises(DataError) as error:
            reader[:]
        one_sentence(error.value, "the data: ")


def test_records_that_hold_no_model():
    name, packed = GENTLE.id, embedded(GENTLE.file)
    for content, says in [
        (b"", "too early"),
        (b"abc", "too early"),
        (name, f"model {name.hex()} is needed and was not found"),
        (name + b"\xff", "too early"),
        (name + varint(1 << 62), "at most"),
        (name + varint(1 << 27) + b"\0", "at most"),
        (name + varint(5) + b"\0abc", "holds 3 bytes where 5 were packed"),
        (name + varint(5) + b"\7abc", "method"),
        (b"abcd" + packed[4:], f"names model {b'abcd'.hex()} but holds {name.hex()}"),
        (name + embedded(DENSE_MODEL.file)[4:], f"names model {name.hex()} but holds {DENSE_MODEL.id.hex()}"),
        (packed[:-20], ""),
    ]:
        with Reader(with_record(content)) as reader, pytest.raises(DataError) as error:
            reader[:]
        one_sentence(error.value, "the data: ", says)
    with Reader(with_record(embedded(DENSE_MODEL.file))) as reader, pytest.raises(DamagedError) as error:
        reader[:]  # a model, and the file's own: only the checksum can tell that it is not the one
    one_sentence(error.value, "checksum")


def test_files_and_folders_that_hold_no_model(tmp_path, monkeypatch):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="cannot be read"):
            load(path)
    with pytest.raises(UsageError, match="there is no model 'none'"):
        trained.named("none")
    path = tmp_path / "large.safetensors"
    path.write_bytes(GENTLE.file)
    monkeypatch.setattr(trained, "LARGEST_FILE", len(GENTLE.file) - 1)
    with pytest.raises(DataError, match=f"larger than the {len(GENTLE.file) - 1} bytes"):
        load(path)
    monkeypatch.setenv("SPIKEY_MODELS", str(tmp_path))
    with pytest.raises(DataError, match="was not found"):
        find(GENTLE.id)


def test_models_come_back_from_their_files(tmp_path):
    for model in (GENTLE, DENSE_MODEL, ALONE_MODEL):
        path = tmp_path / "a.safetensors"
        path.write_bytes(model.file)
        again = load(path)
        assert (again.file, again.id, again.architecture) == (model.file, model.id, model.architecture)
        assert again.metadata == {"name": "golden"}
        assert hashlib.sha256(model.file).digest()[:4] == model.id
    text = json.loads(json.loads(GENTLE.file[8 : 8 + GENTLE.file[0] + 256 * GENTLE.file[1]])["__metadata__"]["spikey"])
    assert text["format"] == FORMAT and text["architecture"] == asdict(LSTM)


def test_configurations_describe_architectures():
    sizes = {"hidden_size": 5, "num_layers": 1, "fixed_input_size": 4, "delta": False}
    assert architecture("lstm", input_size=1, **sizes) == Architecture("lstm", True, 1, 5, 1, False)
    assert architecture("lstm", input_size=15, **sizes) == Architecture("lstm", False, 4, 5, 1, False)
    assert architecture("fixed_input_nn", input_size=1, **sizes) == Architecture("fixed_input_nn", True, 4, 5, 1, False)
    assert architecture("fixed_input_nn", input_size=9, **sizes).inputs == 15
    for kind, size in [("lstm", 2), ("lstm", 10), ("lstm", 7), ("fixed_input_nn", 11), ("lstm", 99_999)]:
        with pytest.raises(UsageError, match=r"^predictor"):
            architecture(kind, input_size=size, **sizes)


# ---------------------------------------------------------------- recordings as files


def test_a_model_that_is_missing(tmp_path, monkeypatch):
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    path.write_bytes(wav(simulate(700, 1, seed=5)))
    compress_file(path, packed, Settings(model=GENTLE, calibration=n1()))
    monkeypatch.setattr(trained, "_in_use", {})
    with Reader(packed) as reader:
        assert reader.model_id == GENTLE.id and len(reader.header.record(lay.MODEL)) == 4
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other.safetensors").write_bytes(DENSE_MODEL.file)
    (tmp_path / "models" / "junk.safetensors").write_bytes(b"junk")
    monkeypatch.setenv("SPIKEY_MODELS", os.pathsep.join([str(tmp_path / "models"), str(tmp_path / "none")]))
    for salvage in (False, True):
        with pytest.raises(DataError) as error:
            decompress_file(packed, out, salvage=salvage)
        parts = (packed, GENTLE.id.hex(), trained.SHIPPED, tmp_path / "models", tmp_path / "none", "SPIKEY_MODELS")
        one_sentence(error.value, *map(str, parts))
        assert not isinstance(error.value, DamagedError) and not out.exists()
    with pytest.raises(DataError, match=GENTLE.id.hex()):
        verify_file(packed)
    (tmp_path / "models" / "mine.safetensors").write_bytes(GENTLE.file)
    decompress_file(packed, out)
    assert out.read_bytes() == path.read_bytes()
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1()))
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.delenv("SPIKEY_MODELS")
    decompress_file(packed, out)
    assert out.read_bytes() == path.read_bytes()


def test_an_embedded_model_that_was_tampered_with(tmp_path):
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    path.write_bytes(wav(simulate(700, 1, seed=5)))
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1()))
    data = packed.read_bytes()
    with Reader(packed) as reader:
        record = reader.header.record(lay.MODEL)
    start = data.index(record)
    for at in [*range(start, start + 12), *range(start + 12, start + len(record), 41), start + len(record) - 1]:
        packed.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(DataError) as error:
            decompress_file(packed, out)
        one_sentence(error.value, str(packed))
        assert not out.exists()
        ((_, result),) = decompress_together([(packed, out)])
        one_sentence(result, str(packed))
    for end in range(start, start + len(record), 173):
        packed.write_bytes(data[:end])
        with pytest.raises(DataError) as error:
            decompress_file(packed, out, salvage=True)
        one_sentence(error.value, str(packed))


def test_a_model_too_large_to_embed(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(simulate(700, 1, seed=5)))
    monkeypatch.setattr(embedding, "LARGEST_RECORD", 1000)
    with pytest.raises(UsageError, match="at most 1,000 can be embedded"):
        compress_file(path, tmp_path / "a.spky", Settings(model=GENTLE, embed_model=True, calibration=n1()))
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    compress_file(path, tmp_path / "a.spky", Settings(model=GENTLE, calibration=n1()))


@pytest.mark.parametrize("jobs", [1, 2])
def test_blocks_of_several_channels(tmp_path, monkeypatch, jobs):
    cut_into(monkeypatch, 64, 2)
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    samples = simulate(300, 3, seed=2)
    path.write_bytes(wav(samples))
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1(), jobs=jobs))
    decompress_file(packed, out, jobs=jobs)
    assert out.read_bytes() == path.read_bytes()
    assert reference.decode(packed.read_bytes(), [n1().to_bytes()]) == path.read_bytes()
    assert verify_file(packed, jobs).original == path.stat().st_size
    with Reader(packed) as reader:
        assert len(reader.blocks) == 10
        assert {reader.method_bytes(block)[0] & 15 for block in reader.blocks} >= {4}
        np.testing.assert_array_equal(reader[70:200:7, 1:], samples[70:200:7, 1:])


def test_a_damaged_block_harms_no_other(tmp_path, monkeypatch, unguarded):
    cut_into(monkeypatch, 64, 2)
    ahead = []
    monkeypatch.setattr(BlockDecoder, "provide", _counted(BlockDecoder.provide, ahead))
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    samples = simulate(300, 3, seed=2)
    path.write_bytes(wav(samples))
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1()))
    assert len(ahead) == 10
    data = packed.read_bytes()
    with Reader(packed) as reader:
        blocks = reader.blocks
    victim, front = blocks[2], data[: blocks[0].offset - 40]
    assert GENTLE.id in front
    for at, byte in [
        (victim.offset, 0x05),  # another method
        (victim.offset + 1, 7),  # lanes
        (victim.offset + 4, 255),  # what a channel is like, or the size of a stream
        (victim.offset + victim.size // 2, None),  # a stream
        (victim.offset + victim.size - 1, None),
    ]:
        wrong = bytearray(data)
        wrong[at] = wrong[at] ^ 1 if byte is None else byte
        packed.write_bytes(wrong)
        with pytest.raises(DamagedError) as error:
            decompress_file(packed, out)
        assert error.value.ranges == [victim.extent] and not out.exists()
        _, lost = decompress_file(packed, out, salvage=True)
        assert lost == [victim.extent]
        wanted = samples.copy()
        wanted[64:128, :2] = 0
        assert out.read_bytes() == wav(wanted)
        out.unlink()
        with pytest.raises(DamagedError) as error:
            verify_file(packed)
        assert error.value.ranges == [victim.extent]
    packed.write_bytes(data[:-30])  # no index
    _, lost = decompress_file(packed, out, salvage=True)
    assert not lost and out.read_bytes() == path.read_bytes()


def _counted(provide, calls):
    def counted(decoder, block, samples):
        calls.append(block)
        provide(decoder, block, samples)

    return counted


# ---------------------------------------------------------------- many recordings


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Recordings of all lengths and kinds, and what is none."""
    path = tmp_path_factory.mktemp("recordings")
    for length in LENGTHS:
        (path / f"{length:03}.wav").write_bytes(wav(simulate(length, 1, seed=length)))
    for seed in range(3):
        (path / f"long{seed}.wav").write_bytes(wav(simulate(600 + seed, 1 + seed, seed=seed)))
    even = (known_signal(400) // 64).astype(np.int16)
    (path / "even.wav").write_bytes(wav(even))
    content = wav(even)
    (path / "float.wav").write_bytes(content.replace(b"\x10\0\0\0\1\0", b"\x10\0\0\0\3\0", 1))
    (path / "bad.wav").write_bytes(b"RIFF")
    (path / "tail.wav").write_bytes(content + b"and more" * 9)
    (path / "long tail.wav").write_bytes(content + bytes(70_000))
    return path


@pytest.mark.parametrize("model", [GENTLE, NONSENSE[1]], ids=["gentle", "nonsense"])
@pytest.mark.parametrize("verify", [True, False])
def test_many_recordings_at_once(folder, tmp_path, model, verify):
    settings = Settings(model=model, embed_model=True, verify=verify)
    sources = [*sorted(folder.glob("*.wav")), folder / "none.wav"]
    if model is not GENTLE:
        sources = sources[:4]
    (tmp_path / "one").mkdir()
    work = [(source, tmp_path / source.with_suffix(".spky").name) for source in sources]
    results = compress_together(work, settings)
    assert [source for source, _ in results] == sources
    used = 0
    for (source, result), (_, packed) in zip(results, work, strict=True):
        alone = tmp_path / "one" / packed.name
        if source.stem in ("bad", "none"):
            assert isinstance(result, DataError) and str(source) in str(result) and not packed.exists()
            continue
        assert result == compress_file(source, alone, settings), source
        assert packed.read_bytes() == alone.read_bytes()
        assert bool(result.note) == (source.stem == "float")
        with Reader(packed) as reader:
            used += bool(reader.model_id)
    assert used >= 3 if model is GENTLE else used == 0
    packed = sorted(tmp_path.glob("*.spky"))
    victim = tmp_path / "long1.spky" if model is GENTLE else packed[-1]
    data = bytearray(victim.read_bytes())
    data[-9] ^= 1
    victim.write_bytes(data)
    (tmp_path / "text.spky").write_bytes(b"once upon a time")
    packed += [tmp_path / "text.spky", tmp_path / "none.spky"]
    restored = [(path, tmp_path / f"{path.stem}.wav") for path in packed]
    for (path, target), (name, result) in zip(restored, decompress_together(restored), strict=True):
        assert path == name
        if path.stem in (victim.stem, "text", "none"):
            assert isinstance(result, DataError) and str(path) in str(result) and not target.exists()
        else:
            assert target.read_bytes() == (folder / target.name).read_bytes()
            assert result == decompress_file(path, target)


def test_one_recording_twice_and_outputs_that_cannot_be(folder, tmp_path):
    source, missing = folder / "long0.wav", tmp_path / "no" / "a"
    work = [(source, tmp_path / "a"), (source, missing), (source, tmp_path / "b")]
    settings = Settings(model=GENTLE, embed_model=True)
    first, wrong, second = (result for _, result in compress_together(work, settings))
    assert first == second and isinstance(wrong, UsageError) and str(missing) in str(wrong)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    work = [(tmp_path / "a", tmp_path / "c"), (tmp_path / "a", missing), (tmp_path / "a", tmp_path / "d")]
    first, wrong, second = (result for _, result in decompress_together(work))
    assert first == second and isinstance(wrong, UsageError)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes() == source.read_bytes()


# ---------------------------------------------------------------- the command line


def run(*arguments: str | Path, fails: type[SpikeyError] | None = None) -> str:
    """What a command says on standard output, or the error it ends with."""
    force = ["--force"] if arguments[0] in ("compress", "decompress") else []
    done = runner.invoke(app, [*(str(argument) for argument in arguments), *force])
    if fails is not None:
        assert isinstance(done.exception, fails), (done.output, done.exception)
        assert "\n" not in str(done.exception)
        return str(done.exception)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A folder of models that is known."""
    path = tmp_path / "models"
    path.mkdir()
    gentle = Model(LSTM, GENTLE.tensors, {"name": "gentle"})
    (path / "a.safetensors").write_bytes(gentle.file)
    (path / "b.safetensors").write_bytes(b"junk")
    (path / "notes.txt").write_text("not a model")
    monkeypatch.setenv("SPIKEY_MODELS", str(path))
    return path


def test_models_are_listed(models, monkeypatch):
    text = run("models")
    model = load(models / "a.safetensors")
    for part in ("gentle", model.id.hex(), "lstm", "2 x 8", "unusable", "b.safetensors"):
        assert part in text
    first, second = json.loads(run("models", "--json"))
    assert (first["name"], first["id"], first["bytes"]) == ("gentle", model.id.hex(), len(model.file))
    assert first["architecture"] == asdict(LSTM) and second["problem"].startswith(str(models / "b.safetensors"))
    monkeypatch.delenv("SPIKEY_MODELS")
    assert "no models" in run("models") and json.loads(run("models", "--json")) == []


def test_the_options_of_models(folder, models, tmp_path, monkeypatch):
    source, packed, out = folder / "long0.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    model = load(models / "a.safetensors")
    for name, embed in (("gentle", False), (models / "a.safetensors", True)):
        run("compress", source, packed, "--model", name, *["--embed-model"] * embed)
        (facts,) = json.loads(run("info", "--json", packed))
        expected = {"predictor": "learned", "model": model.id.hex(), "model_embedded": embed, "lanes": 1}
        assert expected.items() <= facts.items()
        run("decompress", packed, out)
        assert out.read_bytes() == source.read_bytes()
    assert "learned" in run("info", packed)
    for options, says in [
        (["--model", "gentle", "--preset", "balanced"], "--preset or --model"),
        (["--embed-model"], "--embed-model needs a trained model"),
        (["--embed-model", "--preset", "balanced"], "--embed-model needs a trained model"),
        (["--model", "gently"], "gentle"),
    ]:
        assert says in run("compress", source, tmp_path / "x", *options, fails=UsageError)
    junk_path = models / "b.safetensors"
    assert str(junk_path) in run("compress", source, tmp_path / "x", "--model", junk_path, fails=DataError)
    assert not (tmp_path / "x").exists()
    run("compress", source, packed, "--model", "gentle")
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.delenv("SPIKEY_MODELS")
    assert model.id.hex() in run("decompress", packed, out, fails=DataError)
    run("decompress", packed, out, "--model", models / "a.safetensors")
    assert out.read_bytes() == source.read_bytes()


def test_folders_of_recordings(folder, models, tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    for path in sorted(folder.glob("*.wav")):
        if path.stem not in ("bad", "float"):
            (good / path.name).write_bytes(path.read_bytes())
    run("compress", good, tmp_path / "out", "--model", "gentle", "--jobs", "2")
    run("compress", good / "long0.wav", tmp_path / "long0.spky", "--model", "gentle")
    assert (tmp_path / "long0.spky").read_bytes() == (tmp_path / "out" / "good" / "long0.spky").read_bytes()
    run("decompress", tmp_path / "out", tmp_path / "back", "--jobs", "2")
    assert {p.name for p in (tmp_path / "back" / "good").iterdir()} == {p.name for p in good.iterdir()}
    for path in good.iterdir():
        assert (tmp_path / "back" / "good" / path.name).read_bytes() == path.read_bytes()
    run("verify", tmp_path / "out")


def test_configurations_of_networks(folder, models, tmp_path, monkeypatch):
    source, packed, out = folder / "long0.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    monkeypatch.setenv("SPIKEY_MODELS", "")
    config = tmp_path / "c.yaml"
    sizes = "{type: lstm, input_size: 13, hidden_size: 8, num_layers: 2}"
    config.write_text(f"name: Mine\npredictor: {sizes}\ntraining: {{save_path: {tmp_path / 'made'}}}\n")
    command = ["compress", "--config", config, source, packed]
    trained.SHIPPED.mkdir()
    stand_in = trained.SHIPPED / "n1-lstm-small.safetensors"
    stand_in.write_bytes(ALONE_MODEL.file)
    done = runner.invoke(app, list(map(str, command)))
    assert done.exit_code == 0, done.exception
    for part in ("Mine.safetensors is missing", f"main.py {config} Mine", "n1-lstm-small"):
        assert part in done.output
    packed.unlink()
    stand_in.unlink()
    run(*command, "--preset", "realtime")  # the predictor is not needed then
    run(*command, "--model", models / "a.safetensors")
    run("decompress", "--config", config, packed, out)
    assert out.read_bytes() == source.read_bytes()
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "Mine.safetensors").write_bytes(DENSE_MODEL.file)
    assert "train it again" in run(*command, fails=UsageError)
    (tmp_path / "made" / "Mine.safetensors").write_bytes(GENTLE.file)
    run(*command)
    with Reader(packed) as reader:
        assert reader.model_id == GENTLE.id
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.setattr(trained, "_places", [])
    assert GENTLE.id.hex() in run("decompress", packed, out, fails=DataError)
    run("decompress", "--config", config, packed, out)
    assert out.read_bytes() == source.read_bytes()


if __name__ == "__main__":
    print("\n".join(witness("large" in sys.argv)))
