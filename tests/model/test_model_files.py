"""Trained networks as files and records: what comes back, and one sentence for whatever is wrong with one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zlib
from dataclasses import asdict

import numpy as np
import pytest

import spikey
from kit.golden import LSTM
from kit.networks import ALONE_MODEL, DENSE_MODEL, GENTLE, one_sentence
from kit.writing import write_file
from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.base.wire import varint
from spikey.codec.encode import encode_block
from spikey.codec.method import learned
from spikey.coding.packed_bytes import pack_bytes
from spikey.container import layout as lay
from spikey.container.reader import Reader
from spikey.model import tensor_file, trained
from spikey.model.calibration import n1
from spikey.model.trained import EXACT, FORMAT, Architecture, architecture, find, load
from spikey.recording.readable import ArraySource
from spikey.report.self_test import known_signal

pytestmark = pytest.mark.usefixtures("nothing_in_use", "no_comparison")


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
