"""Damaged and hostile payloads of interpolated blocks: one sentence, and what is undamaged is decoded."""

from __future__ import annotations

import zlib
from unittest import mock

import numpy as np
import pytest

from kit.blocks import packed
from kit.interpolated import half_band, interpolated, sampled
from spikey.base.errors import DamagedError, DataError
from spikey.base.wire import varint, zigzag
from spikey.codec.decode import decode_block, decode_some, groups_in
from spikey.codec.encode import encode_block
from spikey.codec.interpolated import engine
from spikey.codec.interpolated.payload import parse
from spikey.codec.method import Method
from spikey.codec.payload import Lookup, Payload, facts_of
from spikey.codec.registry import PRESETS
from spikey.codec.survey import Block
from spikey.container.reader import Reader

FAST = PRESETS["fast"].method


def signal() -> np.ndarray:
    """More channels than one group has, of which two are not interpolated."""
    samples = interpolated(sampled(600, 42), half_band())
    samples[:, [3, 30]] = np.random.default_rng(1).normal(0, 20, (len(samples), 2))
    return samples.astype(np.int16)


SAMPLES = signal()


def encoded(samples: np.ndarray) -> bytes:
    """The payload of an interpolated block."""
    (block,) = engine.encode([Block(samples, None)], Method(), [None])
    assert block is not None
    return block.payload


LISTED = encoded(SAMPLES)
SMALL = encoded(SAMPLES[:, :2])
with mock.patch.object(engine, "SELDOM", -1):  # so that nothing is listed
    PAYLOAD = encoded(SAMPLES)


def payload_of(data: bytes, like: np.ndarray = SAMPLES) -> Payload:
    """A payload of samples of this shape and type."""
    return Payload(data, *like.shape, like.dtype)


def fails(data: bytes, like: np.ndarray = SAMPLES) -> str:
    """The one sentence that a payload is refused with."""
    with pytest.raises(DataError) as raised:
        decode_block(payload_of(data, like))
    text = str(raised.value)
    assert text.startswith("the block") and "\n" not in text
    return text


def test_a_payload_that_ends_early_or_has_more_bytes_is_refused():
    for size in {*range(len(SMALL) // 2), *range(0, len(SMALL), 13), len(SMALL) - 1}:
        fails(SMALL[:size], SAMPLES[:, :2])
    for more in (b"\0", b"\xff" * 9, SMALL):
        fails(SMALL + more, SAMPLES[:, :2])


def test_no_changed_bit_gives_other_samples_of_some_channels():
    wanted, lookup = [0, 3, 17, 41], Lookup()
    front = len(PAYLOAD) - sum(len(one.data) for one in inner())
    for place in [*range(front), *range(front, len(PAYLOAD), 29)]:
        changed = bytearray(PAYLOAD)
        changed[place] ^= 1 << place % 8
        try:
            found, damaged = engine.decode_some(payload_of(bytes(changed)), lookup, wanted)
        except DataError:
            assert place < front
            continue
        for column, channel in enumerate(wanted):
            if channel in damaged:
                assert not found[:, column].any()
            else:
                np.testing.assert_array_equal(found[:, column], SAMPLES[:, channel])
        assert damaged or place >= front


def inner() -> list[Payload]:
    """The payloads in it."""
    parts = parse(payload_of(PAYLOAD))
    assert parts.between is not None and parts.rest is not None
    return [parts.sampled, parts.between, parts.rest]


def test_no_changed_bit_of_a_list_gives_other_samples():
    parts = parse(payload_of(LISTED))
    assert parts.between is None and parts.rest is not None
    for place in range(len(LISTED) - len(parts.sampled.data) - len(parts.rest.data)):
        changed = bytearray(LISTED)
        changed[place] ^= 1 << place % 8
        with pytest.raises(DataError):
            engine.decode_some(payload_of(bytes(changed)), Lookup(), [0])
    found, damaged = engine.decode_some(payload_of(LISTED), Lookup(), [41, 3, 0])
    assert not damaged
    np.testing.assert_array_equal(found, SAMPLES[:, [41, 3, 0]])


def test_a_damaged_group_loses_only_itself():
    groups = groups_in(payload_of(PAYLOAD)).channels
    assert sorted(channel for group in groups for channel in group) == list(range(42)) and len(groups) == 3
    assert groups[2].tolist() == [3, 30]
    sizes = [len(one.data) for one in inner()]
    for place, lost in ((len(PAYLOAD) - 5, [groups[2]]), (len(PAYLOAD) - sum(sizes[1:]) - 5, [groups[1]])):
        changed = bytearray(PAYLOAD)
        changed[place] ^= 255
        found, damaged = decode_some(payload_of(bytes(changed)), Lookup(), range(42))
        assert damaged == sorted(np.concatenate(lost).tolist())
        whole = [channel for channel in range(42) if channel not in damaged]
        np.testing.assert_array_equal(found[:, whole], SAMPLES[:, whole])


def test_damage_of_the_frames_between_loses_no_other_channels():
    changed, sizes = bytearray(PAYLOAD), [len(one.data) for one in inner()]
    changed[len(PAYLOAD) - sizes[2] - 5] ^= 255
    found, damaged = decode_some(payload_of(bytes(changed)), Lookup(), range(42))
    assert 0 < len(damaged) < 40 and not {3, 30} & set(damaged)
    whole = [channel for channel in range(42) if channel not in damaged]
    np.testing.assert_array_equal(found[:, whole], SAMPLES[:, whole])


def test_a_reader_reads_one_channel_and_what_a_damaged_file_has_left():
    data = packed(SAMPLES, FAST, block_frames=600)
    with Reader(data) as reader:
        assert [len(reader.decoder.groups(block).channels) for block in reader.structure.blocks] == [3, 3]
        np.testing.assert_array_equal(reader[:, 30], SAMPLES[:, 30])
        np.testing.assert_array_equal(reader[550:700, [41, 3]], SAMPLES[550:700, [41, 3]])
    changed = bytearray(data)
    with Reader(data) as reader:
        block = reader.structure.blocks[1]
        changed[block.offset + block.size - 5] ^= 255
    with Reader(bytes(changed)) as reader:
        np.testing.assert_array_equal(reader[:, :3], SAMPLES[:, :3])
        with pytest.raises(DamagedError):
            reader[:, 3]


# ---------------------------------------------------------------- what no encoder writes


def by_wide(samples: np.ndarray) -> bytes:
    """A payload of the predictor wide."""
    payload = encode_block(samples, FAST)
    assert payload is not None
    return payload


INNER = [by_wide(SAMPLES[::2, :2]), by_wide(SAMPLES[1::2, :2] % 3)]


def front_of(
    *,
    first: int = 8,
    factor: int = 2,
    runs: tuple[int, ...] = (0,),
    side: int = 1,
    flags: int = 0,
    bits: int = 1,
    bias: int = 1,
    taps: tuple[int, ...] = (1, 1),
    low: int = -100,
    high: int = 100,
    offset: int = 0,
    step: int = 1,
    others: tuple[int, ...] = (),
    edges: bytes = b"",
    sizes: tuple[int, ...] | None = None,
    payloads: list[bytes] = INNER,
) -> bytes:
    """A payload of linear interpolation, with right checksums."""
    out = bytes([first]) + varint(factor - 2) + varint((len(runs) - 1) // 2) + b"".join(map(varint, runs))
    out += varint(side - 1) + bytes([flags]) + varint(bits) + (b"" if flags & 3 == 2 else varint(zigzag(bias)))
    out += b"".join(varint(zigzag(tap)) for tap in taps)
    out += varint(zigzag(low)) + varint(high - low) + varint(zigzag(offset)) + varint(step - 1)
    out += varint(len(others)) + b"".join(map(varint, others))
    out += edges
    out += b"".join(map(varint, (len(payloads[0]),) if sizes is None else sizes))
    out += b"".join(zlib.crc32(one).to_bytes(4, "little") for one in payloads)
    return out + zlib.crc32(out).to_bytes(4, "little") + b"".join(payloads)


def test_what_the_following_changes_is_right():
    found = decode_block(payload_of(front_of(), SAMPLES[:, :2]))
    np.testing.assert_array_equal(found[::2], SAMPLES[::2, :2])
    decode_block(payload_of(front_of(taps=(1,), flags=4), SAMPLES[:, :2]))
    decode_block(payload_of(front_of(flags=2), SAMPLES[:, :2]))


@pytest.mark.parametrize(
    "change",
    [
        {"first": 24},
        {"factor": 5},
        {"factor": 1 << 40},
        {"runs": (2,)},
        {"runs": (0, 2000, 1)},
        {"runs": (0, *[0, 1] * 400)},
        {"side": 33, "taps": (0,) * 66},
        {"side": 1 << 50},
        {"flags": 3},
        {"flags": 16},
        {"flags": 32},
        {"bits": 41},
        {"bias": (1 << 60) + 1},
        {"bias": -(1 << 61)},
        {"taps": (1 << 44, 1)},
        {"taps": (1 << 61, 1 << 61)},
        {"low": -(1 << 18), "high": 0},
        {"high": 1 << 60},
        {"offset": 1 << 20},
        {"offset": -(1 << 61)},
        {"step": 1 << 20},
        {"others": (0, 0)},
        {"others": (2,), "sizes": (1, 1)},
        {"sizes": (0,)},
        {"sizes": (1 << 40,)},
    ],
    ids=str,
)
def test_absurd_fields_are_refused(change):
    fails(front_of(**change), SAMPLES[:, :2])


def test_the_largest_numbers_do_not_overflow():
    like = np.zeros((1200, 2), np.int16)
    for rule in range(3):
        data = front_of(taps=((1 << 44) - 1, 1), bits=0, bias=1 << 60, flags=rule, low=-(1 << 17), high=1 << 17)
        decode_block(payload_of(data, like))
        decode_block(payload_of(front_of(step=1 << 17, offset=-(1 << 17), low=-(1 << 17), high=1 << 17), like))


def test_samples_of_another_type_are_refused():
    for dtype in ("float32", "int64", "uint64"):
        with pytest.raises(DataError):
            decode_block(Payload(front_of(), 1200, 2, np.dtype(dtype)))


def test_a_payload_within_is_one_of_the_predictor_wide():
    other = encode_block(SAMPLES[::2, :2], Method())
    assert other is not None
    for one in (SMALL, other, b"\0" * 9, b""):
        fails(front_of(payloads=[INNER[0], one]), SAMPLES[:, :2])
        fails(front_of(payloads=[one, INNER[1]]), SAMPLES[:, :2])


def test_edges_of_any_bytes_are_numbers():
    like = SAMPLES[:, :2]
    between = by_wide(SAMPLES[1::2, :2][1:] % 3)  # of one frame less: the last one has no sampled frame behind it
    for coded in (b"", b"\0", b"\xff" * 50, bytes(range(99))):
        edges = varint(len(coded)) + coded
        found = decode_block(payload_of(front_of(flags=8, edges=edges, payloads=[INNER[0], between]), like))
        np.testing.assert_array_equal(found[::2], like[::2])
    fails(front_of(flags=8, edges=varint(1 << 40), payloads=[INNER[0], between]), like)
    fails(front_of(flags=8, edges=varint(0)), like)
    fails(
        front_of(flags=24, edges=varint(0), sizes=(), payloads=INNER[:1]), like
    )  # zeros are gaps beyond the last frame
    far = {"side": 32, "taps": (0,) * 64, "flags": 8, "edges": varint(0)}
    text = fails(front_of(**far, runs=(0, *[39, 0] * 29)), like)  # runs so short that all frames are edges
    assert text.endswith("in a way that this version does not support")


def test_facts_of_damaged_payloads_are_refused():
    changed = bytearray(PAYLOAD)
    changed[5] ^= 8
    with pytest.raises(DataError):
        facts_of(payload_of(bytes(changed)))
