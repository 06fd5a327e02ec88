"""Forged blocks, files and archives: bounded work, bounded memory, and errors of Spikey's own."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest

import spikey
from kit.golden import DENSE, known_model
from kit.writing import front_of, write_file
from spikey.base.errors import DataError, UsageError
from spikey.base.limits import Limits, allowed
from spikey.codec.adaptive import networks
from spikey.codec.adaptive.plan import Plan
from spikey.codec.adaptive.syntax import channels_in
from spikey.codec.cut import block_shape
from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block
from spikey.codec.low_bits import pack_bits, unpack_bits
from spikey.codec.method import LARGEST, Method, learned
from spikey.codec.payload import Lookup, Payload, needs_model
from spikey.codec.survey import Channel
from spikey.container import archive_writer
from spikey.container.archive import Archive
from spikey.container.archive_writer import ArchiveWriter
from spikey.container.contents import packed_record
from spikey.container.entries import TOGETHER, Entry
from spikey.container.extra import MOST_FILES, Extra, SideFile, read_metadata
from spikey.container.layout import Header
from spikey.container.reader import Reader
from spikey.files.archives import compress_archive
from spikey.files.extraction import verify_member
from spikey.files.settings import Settings
from spikey.levels.affine import Affine
from spikey.levels.table import Table
from spikey.model.trained import MOST_WEIGHTS, Architecture
from spikey.recording.layout import Layout
from spikey.recording.readable import ArraySource
from spikey.recording.wav import canonical_head
from spikey.report.self_test import known_signal

MODEL = known_model(DENSE)


def alone(payload: bytes, frames: int, count: int, dtype: str = "int16", companions=None) -> np.ndarray:
    """A block decoded by itself."""
    return decode_block(
        Payload(payload, frames, count, np.dtype(dtype), companions=companions), Lookup(model=lambda: MODEL)
    )


@pytest.mark.parametrize("bit", [4, 5, 7])
def test_bits_of_the_method_that_are_not_in_use_are_refused(bit):
    samples = known_signal(300)[:, :1]
    payload = encode_block(samples, Method(), None)
    assert (alone(payload, *samples.shape) == samples).all()
    with pytest.raises(DataError, match="is coded by a method that this version does not support"):
        alone(bytes([payload[0] | 1 << bit]) + payload[1:], *samples.shape)


# --- a companion that is described by a table that its samples are not in ---


def pair(frames: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A channel, and one that follows it."""
    signal = known_signal(frames)[:, :1] // 64
    return signal, (signal + np.arange(frames)[:, None] % 3).astype(np.int16)


def with_table(payload: bytes, table: tuple[int, ...]) -> bytes:
    """A payload coded with one companion, which it describes by another table."""
    method = Method("max", lanes=1, references=4)
    payload, front = bytes(payload), front_of(method, channels_in(payload, 1)[:1], 1)
    assert payload.startswith(front)
    return front_of(method, [Channel(Table(table))], 1) + payload[len(front) :]


@pytest.mark.parametrize(
    "table", [(0, 1), (-5, 3), (1 << 30, 1 << 31), (-(1 << 31), 1 << 31), (0,), tuple(range(4000, 4300))]
)
def test_a_companion_that_is_not_in_its_table_is_an_error_of_the_data(table):
    companion, samples = pair()
    payload = encode_block(samples, Method("max", lanes=1, references=4), None, companion)
    assert (alone(payload, *samples.shape, companions=lambda: companion) == samples).all()
    with pytest.raises(DataError, match="other recordings than the given ones"):
        alone(with_table(payload, table), *samples.shape, companions=lambda: companion)


def test_a_table_that_equals_the_samples_only_modulo_their_type_is_refused():
    companion, samples = pair()
    payload = encode_block(samples, Method("max", lanes=1, references=4), None, companion)
    with pytest.raises(DataError, match="other recordings than the given ones"):
        alone(with_table(payload, (7 - 65536, 7 + 65536)), 400, 1, companions=lambda: np.full_like(companion, 7))


def test_the_rest_of_an_archive_is_restored(tmp_path):
    """One member's payload is forged, its checksum right as far as it can be: the others come back."""
    companion, samples = pair(3000)
    third = known_signal(3000)[:, 1:]
    for name, content in (("a", companion), ("b", samples), ("c", third)):
        head = canonical_head(Layout(1, 19_531, "int16"), len(content))
        (tmp_path / f"{name}.wav").write_bytes(head + content.tobytes())
    members = [(f"{name}.wav", tmp_path / f"{name}.wav") for name in "abc"]
    compress_archive(members, tmp_path / "x.spky", Settings(preset="max", calibration=None))
    with Archive(tmp_path / "x.spky") as opened:
        entry = next(entry for entry in opened.entries if entry.kind == TOGETHER)
        spoilt = {name for name in opened if entry.name in {name, *opened.needed(name)}}
        with Reader(b"".join(opened.bytes_of(entry.name)), companions=Counted(1)) as reader:
            block = reader.structure.blocks[0]
            payload, front = reader.payload(block), reader.structure.front
        held = [(each, b"".join(opened.bytes_of(each.name))) for each in opened.entries]
    changed = front + with_table(payload, (0, 1))
    changed += struct.pack("<I", zlib.crc32(samples.tobytes(), zlib.crc32(changed)))
    assert {"a.wav", "b.wav", "c.wav"} - spoilt
    path = tmp_path / "forged.spky"
    path.write_bytes(archived(held, entry.number, changed))
    with Archive(path) as opened, pytest.raises(DataError, match=entry.name):
        verify_member(opened, entry.name)
    with Archive(path, salvage=True) as opened:
        for each in opened.entries:
            if each.name in spoilt:
                with pytest.raises(DataError):
                    opened.open(each.number)[:]
            else:
                assert opened[each.name][:].tobytes() == (tmp_path / each.name).read_bytes()[44:]


class Counted:
    """Stands for companions that nobody reads."""

    def __init__(self, count: int):
        self.count = count


def archived(held, number: int, content: bytes) -> bytes:
    """An archive of members, one of them with another content."""
    out = io.BytesIO()
    with ArchiveWriter(out) as writer:
        for entry, data in held:
            data = content if entry.number == number else data
            writer.add(replace(entry, size=len(data)), [data])
    return out.getvalue()


# --- work and memory ---


def test_low_bits_take_no_more_memory_than_samples(monkeypatch):
    """A block of 6.3 MB of low bits took 900 MB."""
    count = LARGEST
    data = np.arange(count * 12 // 8, dtype=np.uint8).tobytes()
    tracemalloc.start()
    try:
        values = unpack_bits(data, count, 12)
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < 16 * count
        assert pack_bits(values, 12) == data
        assert tracemalloc.get_traced_memory()[1] < 32 * count
    finally:
        tracemalloc.stop()
    for count in (1, 7, 8, 9, (1 << 16) - 1, 1 << 16, (1 << 16) + 5):
        for bits in (1, 3, 12):
            some = np.arange(count) * 2654435761 % (1 << bits)
            packed = pack_bits(some, bits)
            assert len(packed) == (count * bits + 7) // 8
            assert (unpack_bits(packed, count, bits) == some).all()


def constant(frames: int, count: int, size: int = 2) -> bytes:
    """A payload of the trained network whose streams are empty."""
    return front_of(learned(MODEL), [Channel(Affine(size))] * count) + bytes(count - 1)


def test_a_block_of_more_work_than_is_allowed_is_refused_before_it_is_decoded(monkeypatch):
    weights = MODEL.architecture.weights
    payload = constant(100, 3)
    alone(payload, 100, 3)
    monkeypatch.setattr(allowed, "work", 300 * weights - 1)
    monkeypatch.setattr(networks, "_fill", None)
    with pytest.raises(DataError, match=f"SPIKEY_MOST_WORK={300 * weights}"):
        alone(payload, 100, 3)


def test_a_small_file_with_a_large_model_is_refused(monkeypatch):
    """Some kilobytes would have taken 1.8 hours a block."""
    out = io.BytesIO()
    samples = np.zeros((1 << 17, 1), dtype=np.int16)
    write_file(ArraySource(samples, 20_000), out, learned(MODEL), embed_model=True, payload=constant(len(samples), 1))
    assert len(out.getvalue()) < 6000
    monkeypatch.setattr(allowed, "work", 1 << 20)
    with pytest.raises(DataError, match="SPIKEY_MOST_WORK"):
        spikey.decompress(out.getvalue())


def test_the_writer_holds_the_limit(monkeypatch):
    """Its blocks are shorter; what takes too much even so is coded without the network."""
    weights = MODEL.architecture.weights
    for work in (weights * 4096, weights * (1 << 17), 1 << 40):
        monkeypatch.setattr(allowed, "work", work)
        method = learned(MODEL)
        for channels in (1, 2, 16, 300):
            frames, together = block_shape(Layout(channels, 1, "int16"), 1 << 22, method)
            if work > weights << 16:
                assert frames * together * weights <= work
    samples = known_signal(600)
    monkeypatch.setattr(allowed, "work", weights * 1199)
    assert encode_block(samples, learned(MODEL)) is None
    monkeypatch.setattr(allowed, "work", weights * 1200)
    payload = encode_block(samples, learned(MODEL))
    assert payload is None or needs_model(payload)


def test_starting_many_channels_counts_as_work(monkeypatch):
    """The predictor max takes milliseconds to start, however few the frames."""
    count = 1 << 12
    monkeypatch.setattr(allowed, "work", 1 << 35)
    payload = front_of(Method("max", lanes=1), [Channel(Affine(2))] * count)
    with pytest.raises(DataError, match="SPIKEY_MOST_WORK"):
        alone(payload, 8, count)
    assert encode_block(np.arange(2, dtype=np.int16)[:, None] + np.zeros((1, count), np.int16), Method("max")) is None


def test_a_stream_longer_than_its_samples_can_need_is_refused():
    """The coder pads all streams to the longest: one long stream of 256 took 256 times its bytes."""
    channel = Channel(Affine(2))
    long = bytes([255]) * 30_000
    sizes = b"\x00" * 255
    with pytest.raises(DataError, match="longer than its samples"):
        alone(front_of(learned(MODEL), [channel] * 256) + sizes + long, 400, 256)
    with pytest.raises(DataError, match="more than its samples"):
        alone(front_of(Method(), [channel]) + b"\0" + bytes(300), 100, 1)


def test_blocks_decoded_together_are_bounded(monkeypatch):
    monkeypatch.setattr(networks, "SAMPLES_TOGETHER", 1000)
    blocks = [Plan(Method(), None, [Channel(Affine(2))], np.zeros((1, 300), np.int32), [], 600) for _ in range(8)]
    assert [len(places) for places, _ in networks._alike(blocks)] == [3, 3, 2]


def test_models_of_too_many_weights_are_neither_written_nor_read():
    assert Architecture("lstm", False, 8, 1024, 2).weights <= MOST_WEIGHTS
    with pytest.raises(DataError, match="at most 16,777,216"):
        Architecture("lstm", False, 8, 2048, 16)


def test_headers_and_archives_are_no_larger_than_they_can_be_read(monkeypatch):
    header = Header(Layout(1, 1, "int16"), 0, 0, True, records=[(99, bytes(1 << 20))] * 4)
    with pytest.raises(UsageError, match="too large"):
        header.write()
    with pytest.raises(UsageError, match="16,777,216 channels"):
        Header(Layout((1 << 24) + 1, 1, "int16"), 0, 0, True).write()
    monkeypatch.setattr(archive_writer, "MOST_MEMBERS", 1)
    writer = ArchiveWriter(io.BytesIO())
    writer.add(Entry(0, "a", 1), [b"a"])
    with pytest.raises(UsageError, match="make several"):
        writer.add(Entry(0, "b", 1), [b"b"])


@pytest.mark.parametrize("rate", [10**400, "fast", None, float("nan"), -1])
def test_impossible_rates_are_one_sentence(rate):
    with pytest.raises(UsageError, match="finite number of Hz, not .{1,60}$"):
        spikey.compress(np.zeros(10, np.int16), rate)


def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SPIKEY_MOST_WORK", "123")
    monkeypatch.setenv("SPIKEY_MOST_CHUNK", "")
    assert (Limits().work, Limits().chunk) == (123, 1 << 32)
    for wrong in ("x", "0", "-1", "1e9", "²"):
        monkeypatch.setenv("SPIKEY_MOST_CHUNK", wrong)
        with pytest.raises(UsageError, match="SPIKEY_MOST_CHUNK"):
            _ = Limits().chunk


def test_a_limit_in_the_environment_that_is_not_a_number_is_one_sentence(tmp_path):
    out = io.BytesIO()
    source = ArraySource(np.zeros((9, 1), np.int16), 1)
    write_file(source, out, learned(MODEL), embed_model=True, payload=constant(9, 1))
    (tmp_path / "a.spky").write_bytes(out.getvalue())
    command = [sys.executable, "-m", "spikey", "verify", str(tmp_path / "a.spky")]
    environment = {**os.environ, "SPIKEY_MOST_WORK": "much"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode and "Traceback" not in done.stderr and "SPIKEY_MOST_WORK=much" in done.stderr


def test_side_files_are_as_many_as_the_format_allows_on_both_sides():
    entry = {"name": "a", "size": 0}
    for count in (MOST_FILES, MOST_FILES + 1):
        files = [{**entry, "name": str(number)} for number in range(count)]
        record = packed_record(json.dumps({"files": files}).encode())
        if count <= MOST_FILES:
            assert len(read_metadata(record, "x")["files"]) == count
        else:
            with pytest.raises(DataError, match="malformed|side files"):
                read_metadata(record, "x")
    with pytest.raises(UsageError, match="10,000"):
        Extra({}, tuple(SideFile(str(number), "", 0) for number in range(MOST_FILES + 1))).to_json()
