"""Payloads of the wide engine: honest ones, and mutations that know how they are built, down to the coded numbers.

An input is frames, channels and type of a block, with a checksum as a block's header has one, and a payload. That
checksum is wrong where groups have right checksums of changed contents, which these do not show.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from unittest import mock

import numpy as np
from fuzzing.mutate import mutated
from fuzzing.symbols import head_of, read_head_of

from spikey.base.errors import SpikeyError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.codec.encode import encode_block
from spikey.codec.payload import Lookup, Payload
from spikey.codec.registry import preset_method
from spikey.codec.wide import engine
from spikey.codec.wide.descriptions import CALIBRATED, PACKED
from spikey.codec.wide.payload import LANES, SEVERAL, Directory, parse
from spikey.levels.advancing import Advancing
from spikey.levels.affine import Affine
from spikey.levels.line import Line, Run
from spikey.levels.n1 import N1_VALUES, N1Levels
from spikey.levels.scaled import Patch, Scale, Scaled
from spikey.levels.table import Table
from spikey.model.calibration import Calibration, n1

TYPES = ("int16", "int8", "uint8", "uint16", "int32", "uint32", "float32", "float64")
PREFIX = struct.Struct("<HBB")  # frames, channels, type
SOME = 4  # one of so many inputs is decoded in part as well
MOST_FRAMES, MOST_CHANNELS = 320, 64
ABSURD = (0, 1, 2, 7, 31, 32, 127, 255, 1023, 1024, 65535, 1 << 20, 1 << 24, (1 << 32) - 1, 1 << 32, 1 << 33, 1 << 62)


def block_of(data: bytes) -> tuple[Payload, bool]:
    """The payload of an input, and whether what stands for the block's header is as it was written."""
    head = data[: PREFIX.size].ljust(PREFIX.size, b"\0")
    check = data[PREFIX.size : PREFIX.size + 4]
    frames, count, kind = PREFIX.unpack(head)
    payload = data[PREFIX.size + 4 :]
    shape = frames % MOST_FRAMES + 1, count % MOST_CHANNELS + 1
    return Payload(payload, *shape, np.dtype(TYPES[kind % len(TYPES)])), zlib.crc32(head).to_bytes(4, "little") == check


def input_of(payload: bytes, samples: np.ndarray) -> bytes:
    """An input."""
    head = PREFIX.pack(len(samples) - 1, samples.shape[1] - 1, TYPES.index(samples.dtype.name))
    return head + zlib.crc32(head).to_bytes(4, "little") + payload


LOOKUP = Lookup(n1)


def run(data: bytes, checked: bool) -> None:
    """Decode a payload, whole and in parts; what several groups with right checksums give must have been written."""
    payload, right = block_of(data)
    try:
        (samples,) = engine.decode([payload], LOOKUP)
    except SpikeyError:
        if len(data) % SOME == 0:
            engine.decode_some(payload, LOOKUP, range(0, payload.count, 3))
        raise
    if len(data) % SOME == 0:
        engine.facts(payload, LOOKUP)
        some = range(payload.count - 1, -1, -2)
        part, damaged = engine.decode_some(payload, LOOKUP, some)
        if damaged or part.tobytes() != np.ascontiguousarray(samples[:, list(some)]).tobytes():
            raise AssertionError("some channels are not what they are among all")
    if checked and right and len(parse(payload).groups) > 1 and samples.tobytes() not in _written():
        raise AssertionError("changed groups give other samples, and no checksum fails")


@cache
def _written() -> frozenset[bytes]:
    return frozenset(samples.tobytes() for samples, _ in _blocks())


def inputs() -> list[bytes]:
    """Payloads of all kinds of levels, of one group and of several, with 8 and with 32 lanes."""
    method, found = preset_method("fast"), []
    for samples, calibration in _blocks():
        for enough in (1 << 30, 1):
            with mock.patch.object(engine, "ENOUGH", enough):
                payload = encode_block(samples, method, calibration)
            if payload is not None:
                found.append(input_of(payload, samples))
    return found


@cache
def _blocks() -> tuple[tuple[np.ndarray, Calibration | None], ...]:
    return tuple(_made())


def _made() -> Iterator[tuple[np.ndarray, Calibration | None]]:
    rng = np.random.default_rng(17)

    def walk(frames: int, count: int, spread: float = 3.0) -> np.ndarray:
        common = np.cumsum(rng.normal(0, spread, (frames, 1)), axis=0)
        return np.rint(common + rng.normal(0, spread, (frames, count)))

    def stretched(frames: int, count: int) -> np.ndarray:
        return N1_VALUES[np.clip(walk(frames, count) + 512, 0, 1023).astype(int)]

    yield walk(120, 1).astype(np.int16), None
    yield walk(300, 2).astype(np.int16), None
    yield walk(40, 6).astype(np.int16), None
    yield walk(41, 5, 200).astype(np.int16), None
    yield walk(40, 40).astype(np.int16), None
    mixed = walk(48, 36).astype(np.int16)
    mixed[:, ::5] = 7
    mixed[:, 1] = np.arange(48) // 15 % 2 * 30000
    mixed[37, 3] = 32767
    yield mixed, None
    yield mixed[:, :4], None
    yield np.clip(walk(90, 2), -128, 127).astype(np.int8), None
    yield (walk(40, 33) % 256).astype(np.uint8), None
    yield (walk(44, 3) * 12 + 30000).astype(np.uint16), None
    yield (walk(150, 2, 1000) * 4096).astype(np.int32), None
    wide = rng.integers(0, 1 << 24, (40, 3)) * 3
    yield wide.astype(np.int32), None
    yield wide.astype(np.uint32), None
    yield stretched(100, 2), n1()
    yield stretched(40, 34), n1()
    yield stretched(60, 3), None
    table = np.array([-900, -20, 0, 1, 50, 700, 5000, 5100, 5200, 9000])
    yield table[np.clip(walk(300, 2, 1), -4, 5).astype(int) + 4].astype(np.int16), None
    yield (np.arange(300)[:, None] * [41, 3000] + 700 * (np.arange(300)[:, None] > 90)).astype(np.int32), None
    yield walk(60, 3).astype(np.float32) * np.float32(0.195), None
    patched = walk(300, 2).astype(np.float32) * np.float32(0.195)
    patched[50:90] = np.nan
    yield patched, None
    loose = walk(120, 2) * 0.25
    loose[:, 1] = rng.normal(size=120)
    yield loose, None
    yield (np.arange(300)[:, None] / 30_000 + [7.5, 80.25]), None


@dataclass
class Taken:
    """An input taken apart, to be changed and put together again, possibly absurdly.

    levels: the bytes of each description. groups: channels. data: the bytes of each group.
    """

    front: bytes
    method: int
    levels: list[bytes]
    groups: list[list[int]]
    data: list[bytes]

    def copy(self) -> Taken:
        """Another one, to be changed."""
        groups = [list(channels) for channels in self.groups]
        return Taken(self.front, self.method, list(self.levels), groups, list(self.data))

    def bytes(self, rng: random.Random) -> bytes:
        """The input; a checksum for each group that is right, where none was left out."""
        out = bytes([self.method]) + varint(max(len(self.levels) - 1, 0)) + b"".join(self.levels)
        if sum(map(len, self.groups)) != 1 or len(self.groups) != 1:
            out += varint(max(len(self.groups) - 1, 0))
            expected = 0
            for channels in self.groups:
                out += varint(max(len(channels) - 1, 0))
                for channel in channels:
                    out += varint(zigzag(channel - expected))
                    expected = channel + 1
        if len(self.groups) > 1:
            sum_of = zlib.crc32(out)
            for data in self.data:
                size = len(data) if rng.random() < 0.98 else rng.choice(ABSURD)
                out += varint(size) + zlib.crc32(data, sum_of).to_bytes(4, "little")
        return self.front + out + b"".join(self.data)


@lru_cache(maxsize=500)
def take(data: bytes) -> tuple[Taken, Directory] | None:
    """An input taken apart; None where it is too damaged for that."""
    payload, _ = block_of(data)
    try:
        found = parse(payload)
    except SpikeyError:
        return None
    several = bool(payload.data[0] & SEVERAL)
    levels = []
    for one, converter in found.descriptions:
        number = varint(converter - 1) if several and converter else b""
        flags = PACKED if one is None else one.number | CALIBRATED * bool(converter)
        levels.append(bytes([flags]) + number + (b"" if one is None else one.write()))
    groups = [channels.tolist() for channels in found.groups]
    front = data[: PREFIX.size].ljust(PREFIX.size, b"\0") + bytes(4)
    return Taken(front, payload.data[0], levels, groups, [bytes(each or b"") for each in found.data]), found


def changed(data: bytes, others: Sequence[bytes], words: Sequence[bytes], rng: random.Random) -> bytes:
    """An input with some changes: of bytes, or of what they stand for."""
    if rng.random() < 0.35:
        return mutated(data, others, words, rng)
    taken = take(data)
    if taken is None:
        return mutated(data, others, words, rng)
    parts, directory = taken[0].copy(), taken[1]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_CHANGES)(parts, directory, rng)
    return parts.bytes(rng)


def _method(parts: Taken, _: Directory, rng: random.Random) -> None:
    parts.method = rng.choice((parts.method ^ 1 << rng.randrange(4, 8), parts.method ^ 16))


def _groups(parts: Taken, _: Directory, rng: random.Random) -> None:
    groups, kind = parts.groups, rng.randrange(6)
    one = rng.choice(groups)
    if kind == 0:
        rng.shuffle(one)
    elif kind == 1 and one:
        one[rng.randrange(len(one))] = rng.choice((-1, 0, *ABSURD))
    elif kind == 2 and one:
        one.append(rng.choice(one))
    elif kind == 3 and one:
        rng.choice(groups).append(one.pop())
    elif kind == 4:
        groups.append([])
        parts.data.append(rng.choice(parts.data))
    else:
        rng.shuffle(parts.data)


def _number(rng: random.Random) -> int:
    return rng.choice((rng.choice(ABSURD), rng.randrange(1 << rng.randrange(1, 34))))


def _inner(rng: random.Random) -> Affine | Table | N1Levels | Advancing:
    kind = rng.randrange(4)
    line = Affine(_number(rng) + 1, rng.choice((-1, 1)) * _number(rng), _number(rng) + 1, rng.randrange(14))
    if kind == 0:
        return line
    if kind == 1:
        start = rng.choice((-1, 1)) * (_number(rng) & (1 << 34) - 1)
        steps = [rng.choice((1, 1, 5, (_number(rng) & (1 << 34) - 1) + 1)) for _ in range(rng.choice((1, 3, 1000)))]
        return Table(tuple(np.cumsum([start, *steps], dtype=object).tolist()))
    if kind == 2:
        return N1Levels()
    firsts = sorted(rng.sample(range(1, 200), rng.choice((0, 1, 7, 30))))
    step = rng.choice((-1, 1)) * _number(rng)
    runs = [Run(first, _number(rng), step) for first in (0, *firsts)]
    return Advancing(Line(tuple(runs), fraction=rng.randrange(1 << 32)), line)


def _levels(parts: Taken, _: Directory, rng: random.Random) -> None:
    kind, at = rng.randrange(5), rng.randrange(len(parts.levels))
    if kind == 0:
        parts.levels[at] = bytes([parts.levels[at][0] ^ 1 << rng.randrange(8)]) + parts.levels[at][1:]
    elif kind == 1:
        parts.levels.append(rng.choice(parts.levels))
    elif kind == 2 and len(parts.levels) > 1:
        del parts.levels[at]
    elif kind == 3:
        inner = _inner(rng)
        parts.levels[at] = bytes([inner.number | CALIBRATED * (rng.random() < 0.3)]) + inner.write()
    else:
        ends = sorted(rng.sample(range(400), 2 * rng.choice((0, 1, 3, 20))))
        patches = [Patch(a, b - a, rng.getrandbits(32)) for a, b in zip(ends[::2], ends[1::2], strict=True)]
        scale = Scale(rng.choice((0.0, 0.195, -1e300, 1e-320)), rng.choice((0.0, 1e30)), rng.random() < 0.5)
        levels = Scaled(scale, _inner(rng), tuple(patches))
        parts.levels[at] = bytes([levels.number]) + levels.write()


def _split(data: bytes) -> tuple[bytes, bytes]:
    """A group's head, and what follows it."""
    cursor = Cursor(data)
    try:
        return cursor.take(cursor.varint(len(data))), cursor.rest()
    except SpikeyError:
        return b"", data


def _head(parts: Taken, directory: Directory, rng: random.Random) -> None:
    place = rng.randrange(len(parts.data))
    if place >= len(directory.groups):
        return
    head, rest = _split(parts.data[place])
    count = len(directory.groups[place])
    numbers, stored = read_head_of(head, count, len(directory.descriptions))
    head = head_of(numbers, stored, rng)
    size = len(head) if rng.random() < 0.97 else rng.choice(ABSURD)
    parts.data[place] = varint(size) + head + rest


def _words(parts: Taken, _: Directory, rng: random.Random) -> None:
    place = rng.randrange(len(parts.data))
    head, rest = _split(parts.data[place])
    kind = rng.randrange(6)
    at = rng.randrange(len(rest) + 1)
    if kind == 0:
        rest = rest[:at]
    elif kind == 1:
        rest += rng.randbytes(2 * rng.randrange(1, 800))
    elif kind == 2:
        lanes = rng.choice(LANES)
        rest = rng.randbytes(4 * lanes + 2 * rng.randrange(2000))
    elif kind == 3:
        rest = bytes(len(rest))
    elif kind == 4:
        rest = rest[:at] + rng.randbytes(8) + rest[at + 8 :]
    else:
        rest = b"\xff" * len(rest)
    parts.data[place] = varint(len(head)) + head + rest


def _other(parts: Taken, _: Directory, rng: random.Random) -> None:
    """A group of another input."""
    parts.data[rng.randrange(len(parts.data))] = rng.choice(_pieces())


@cache
def _pieces() -> list[bytes]:
    return [data for one in inputs() if (found := take(one)) is not None for data in found[0].data]


def _bytes(parts: Taken, _: Directory, rng: random.Random) -> None:
    place = rng.randrange(len(parts.data))
    parts.data[place] = mutated(parts.data[place], parts.data, (), rng)


_CHANGES = [_method, _groups, _levels, _levels, _head, _head, _head, _head, _words, _words, _other, _bytes, _bytes]
