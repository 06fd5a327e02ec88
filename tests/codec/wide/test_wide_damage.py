"""Damaged payloads of the wide engine: one sentence, bounded memory and time, and a damaged group loses only itself."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from functools import cache

import numpy as np
import pytest

import spikey
from kit.wide import LOOKUP, encoded, made
from spikey.base.errors import DataError
from spikey.base.wire import varint, zigzag
from spikey.codec.decode import decode_block, groups_in
from spikey.codec.encode import encode_block
from spikey.codec.method import LARGEST, Method
from spikey.codec.payload import Payload, facts_of
from spikey.codec.wide import engine, header
from spikey.codec.wide.fit import SIZE
from spikey.codec.wide.payload import Directory, parse
from spikey.container.reader import Reader
from spikey.levels.advancing import Advancing
from spikey.levels.affine import Affine
from spikey.levels.line import Line, Run
from spikey.levels.scaled import Patch, Scale, Scaled
from spikey.levels.table import Table

SAMPLES = made("walks", (200, 70), "int16")
PAYLOAD = encoded(SAMPLES)
NARROW = made("walks", (120, 3), "int16")
SMALL = encoded(NARROW)
FIRST = bytes([7])  # of a payload: the predictor, and eight lanes


def payload_of(data: bytes, like: np.ndarray = SAMPLES) -> Payload:
    """A payload of samples of this shape and type."""
    return Payload(data, *like.shape, like.dtype)


def fails(payload: Payload) -> str:
    """The one sentence that a payload is refused with."""
    with pytest.raises(DataError) as raised:
        decode_block(payload, LOOKUP)
    text = str(raised.value)
    assert text.startswith("the block") and "\n" not in text
    return text


def directory(data: bytes = PAYLOAD) -> Directory:
    """A payload taken apart."""
    return parse(payload_of(data))


def test_a_payload_that_ends_early_is_refused_wherever_that_is():
    for data, like in ((PAYLOAD, SAMPLES), (SMALL, NARROW)):
        for size in {*range(min(len(data), 300)), *range(0, len(data), 37), len(data) - 1}:
            fails(payload_of(data[:size], like))


def test_a_payload_with_more_bytes_is_refused():
    for data, like in ((PAYLOAD, SAMPLES), (SMALL, NARROW)):
        for more in (b"\0", b"\0\0", b"\xff" * 10, data):
            fails(payload_of(data + more, like))


def test_no_changed_bit_of_several_groups_gives_other_samples():
    for place in range(len(PAYLOAD)):
        changed = bytearray(PAYLOAD)
        changed[place] ^= 1 << place % 8
        try:
            found = decode_block(payload_of(bytes(changed)), LOOKUP)
        except DataError:
            continue
        assert (found == SAMPLES).all(), place


def test_a_damaged_group_loses_only_itself():
    groups = directory().groups
    assert len(groups) == 3
    for place, channels in enumerate(groups):
        changed = bytearray(PAYLOAD)
        changed[directory().places[place][0] + 9] ^= 4
        assert f"the block, group {place}: is damaged, its checksum does not match" == fails(payload_of(bytes(changed)))
        samples, lost = engine.decode_some(payload_of(bytes(changed)), LOOKUP, range(70))
        assert lost == sorted(channels)
        others = np.setdiff1d(np.arange(70), channels)
        assert (samples[:, others] == SAMPLES[:, others]).all() and not samples[:, lost].any()


def test_a_wrong_size_of_a_group_loses_only_that_group():
    groups = [PAYLOAD[start:end] for start, end in directory().places]
    sizes, data = [len(group) for group in groups], b"".join(groups)
    front = PAYLOAD[: len(PAYLOAD) - len(data) - sum(len(varint(size)) + 4 for size in sizes)]
    for wrong in (sizes[1] - 5, sizes[1] + 5):
        entries = b"".join(
            varint(wrong if place == 1 else size) + zlib.crc32(one, zlib.crc32(front)).to_bytes(4, "little")
            for place, (size, one) in enumerate(zip(sizes, groups, strict=True))
        )
        assert len(front + entries + data) == len(PAYLOAD)
        _, lost = engine.decode_some(payload_of(front + entries + data), LOOKUP, range(70))
        assert lost == sorted(directory().groups[1])


def test_what_comes_before_the_directory_belongs_to_every_group():
    """A damaged description or list of groups must not give other samples."""
    size = sum(end - start + len(varint(end - start)) + 4 for start, end in directory().places)
    for place in range(len(PAYLOAD) - size):
        for bit in range(8):
            changed = bytearray(PAYLOAD)
            changed[place] ^= 1 << bit
            try:
                samples, lost = engine.decode_some(payload_of(bytes(changed)), LOOKUP, range(70))
            except DataError:
                continue
            assert len(lost) == 70 and not samples.any()


def test_some_channels_without_the_others():
    for wanted in ([0], [69, 3, 41], range(70), []):
        samples, damaged = engine.decode_some(payload_of(PAYLOAD), LOOKUP, wanted)
        assert (samples == SAMPLES[:, list(wanted)]).all() and damaged == []
    groups = directory().groups
    broken = bytearray(PAYLOAD)
    broken[-1] ^= 1  # in the last group
    kept = [int(channel) for channel in groups[0]]
    samples, damaged = engine.decode_some(payload_of(bytes(broken)), LOOKUP, kept)
    assert (samples == SAMPLES[:, kept]).all() and damaged == []
    assert engine.decode_some(payload_of(bytes(broken)), LOOKUP, [int(groups[2][0])])[1] == [groups[2][0]]


def test_a_single_group_has_no_checksum_of_its_own():
    assert groups_in(payload_of(SMALL, NARROW)).channels == []
    assert groups_in(payload_of(encode_block(NARROW, Method()), NARROW)).channels == []
    assert [len(group) for group in groups_in(payload_of(PAYLOAD)).channels] == [
        len(group) for group in directory().groups
    ]


def test_a_reader_that_salvages_restores_undamaged_groups_of_a_block():
    samples = made("walks", (33_000, 70), "int16")  # two blocks
    data = bytearray(spikey.compress(samples, 30_000, "fast"))
    with spikey.open(bytes(data)) as reader:
        block = reader.structure.blocks[-1]
        groups = parse(Payload(reader.payload(block), block.frames, block.channels, samples.dtype)).groups
    data[block.offset + block.size - 40] ^= 1
    with spikey.open(bytes(data)) as reader, pytest.raises(DataError, match="fails its checksum|is damaged"):
        reader[:]
    with Reader(bytes(data), salvage=True) as reader:
        found, lost = reader[:], reader.lost
    gone = sorted(groups[-1])
    assert sorted(channel for _, _, low, high in lost for channel in range(low, high)) == gone
    assert {extent[:2] for extent in lost} == {(block.first_frame, block.first_frame + block.frames)}
    wrong = np.flatnonzero((found != samples).any(axis=0))
    assert sorted(wrong) == gone
    assert not found[block.first_frame :, gone].any()
    assert (found[: block.first_frame] == samples[: block.first_frame]).all()


# --- groups, levels, and sizes that no encoder writes ---


@cache
def still(count: int) -> bytes:
    """The head of a group of constant channels, all of the first description."""
    out = np.zeros(64 + count, np.uint8)
    size = header.write_numbers(np.zeros((count, header.COLUMNS), np.int64), np.zeros((count, SIZE)), out)
    return out[:size].tobytes()


def described(levels: bytes, count: int, groups: list[list[int]] | None = None) -> bytes:
    """A payload of constant channels of one description; groups: channels, with gaps as they are coded."""
    out = FIRST + varint(0) + levels
    groups = [list(range(at, min(at + 32, count))) for at in range(0, count, 32)] if groups is None else groups
    if count > 1:
        out += varint(len(groups) - 1)
        expected = 0
        for channels in groups:
            out += varint(len(channels) - 1)
            for channel in channels:
                out += varint(zigzag(channel - expected))
                expected = channel + 1
    heads = [varint(len(head)) + head for head in map(still, map(len, groups))]
    if len(groups) > 1:
        front = zlib.crc32(out)
        out += b"".join(varint(len(head)) + zlib.crc32(head, front).to_bytes(4, "little") for head in heads)
    return out + b"".join(heads)


@pytest.mark.parametrize(
    "groups",
    [
        [[0, 1, 2, 3], [4, 5, 6]],
        [[0, 1, 2, 3], [3, 5, 6, 7]],
        [[0, 1, 2, 3, 4, 5, 6, 7], [0]],
        [[0, 1, 2, 3, 4, 5, 6, 8]],
        [[-1, 1, 2, 3, 4, 5, 6, 7]],
        [[0, 1, 2, 3, 4, 5, 6, 1 << 40]],
    ],
)
def test_groups_that_repeat_or_omit_channels_are_refused(groups):
    even = bytes([Affine.number]) + Affine(5, 1).write()
    like = np.zeros((100, 8), np.int16)
    decode_block(payload_of(described(even, 8, [[3, 2, 1], [0, 4, 7, 6, 5]]), like), LOOKUP)
    assert "has groups that do not cover its channels" in fails(payload_of(described(even, 8, groups), like))


def test_a_payload_of_a_few_bytes_costs_what_its_samples_do():
    even = bytes([Affine.number]) + Affine(5, 1).write()
    for frames, count in ((LARGEST, 1), (LARGEST // 32, 32), (LARGEST // 384, 384)):
        payload = Payload(described(even, count), frames, count, np.dtype(np.int16))
        tracemalloc.start()
        start = time.process_time()
        try:
            decode_block(payload, LOOKUP)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3.5 * LARGEST * 4 and time.process_time() - start < 8, (frames, count)


def test_words_that_run_out_end_the_decoding():
    """A few bytes of a large block are refused at once."""
    data = encoded(made("walks", (400, 1), "int16"))
    start = time.process_time()
    fails(Payload(data, LARGEST, 1, np.dtype(np.int16)))
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("levels", "dtype"),
    [
        (Scaled(Scale(0.5), Affine(4), tuple(Patch(2 * n, 1, n) for n in range(50))), "float32"),
        (Advancing(Line(tuple(Run(n, n, 3) for n in range(50))), Affine(2)), "int32"),
        (Scaled(Scale(0.5), Advancing(Line(tuple(Run(n, n, 3) for n in range(50))), Affine(2))), "float64"),
    ],
    ids=["patches", "runs", "runs of floats"],
)
def test_levels_with_more_exceptions_than_samples_can_have_are_refused(levels, dtype):
    """Thousands of channels could share them."""
    like = np.zeros((200, 3), dtype)
    text = fails(payload_of(described(bytes([levels.number]) + levels.write(), 3), like))
    assert "more exceptions than its samples can have" in text


def test_a_table_that_very_many_channels_share_is_made_once():
    levels = Table(tuple(range(4096)))
    like = np.zeros((4, 60_000), np.int16)
    start = time.process_time()
    found = decode_block(payload_of(described(bytes([2]) + levels.write(), 60_000), like), LOOKUP)
    assert found.shape == like.shape and time.process_time() - start < 20


def test_patches_beyond_the_samples_name_the_block():
    levels = Scaled(Scale(0.5), Affine(4), (Patch(500, 9, 1),))
    like = np.zeros((200, 2), np.float32)
    text = fails(payload_of(described(bytes([levels.number]) + levels.write(), 2), like))
    assert text == "the block: a channel patches samples that it does not have"


def test_a_calibration_of_another_converter_is_refused():
    even = bytes([Affine.number | 8]) + Affine(5, 1).write()
    assert "has a calibration of 1024" in fails(payload_of(described(even, 2), np.zeros((50, 2), np.int16)))


def test_the_facts_of_damaged_payloads():
    for size in range(0, len(SMALL), 3):
        try:
            facts_of(payload_of(SMALL[:size], NARROW), LOOKUP)
        except DataError as error:
            assert "\n" not in str(error)
