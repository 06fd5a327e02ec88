"""Parity packets: any `m` of them replace any `m` lost packets of the set they protect.

A Cauchy code over the field of 256 elements (Bloemer et al., "An XOR-based erasure-resilient coding scheme", 1995):
parity i is the sum of all packets, packet j multiplied by 1 / (i + 32 + j).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

import numpy as np

from spikey.base.errors import DataError
from spikey.stream.authentication import Authenticator
from spikey.stream.packet import CHECK, HEAD, MARK, MARKS, NUMBERS, PARITY, Packet, tag_size, write_packet

MOST_PARITY = 32  # packets of one set
SET = 12  # packets protected at once
NAME = 5  # bytes that name a protected packet: group and number
SHARE = SET * NAME + 2  # bytes by which a parity packet is larger than the packets it protects
SETS = 64  # that a receiver holds


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Powers of the generator 2 modulo x^8 + x^4 + x^3 + x^2 + 1, twice over, and logarithms."""
    power = np.zeros(512, dtype=np.uint8)
    logarithm = np.zeros(256, dtype=np.int64)
    value = 1
    for i in range(255):
        power[i] = power[i + 255] = value
        logarithm[value] = i
        value = value << 1 ^ (0x11D if value & 0x80 else 0)
    return power, logarithm


def _times(factor: int, data: np.ndarray) -> np.ndarray:
    power, logarithm = _tables()
    return np.where(data == 0, 0, power[logarithm[data] + logarithm[factor]]).astype(np.uint8) if factor else data * 0


def _inverse(value: int) -> int:
    power, logarithm = _tables()
    return int(power[255 - logarithm[value]])


def _coefficient(parity: int, index: int) -> int:
    return _inverse(parity ^ (MOST_PARITY + index))


def _content(packet: bytes) -> bytes:
    """What parity protects of a packet: all but the stream, group and number, which are named, and the checksum. A tag
    is protected, as the receiver verifies it in a recovered packet, and cannot make one.
    """
    return packet[:1] + packet[HEAD.size - 1 : len(packet) - (0 if tag_size(packet) else CHECK.size)]


def parity_packets(
    packets: list[bytes], count: int, stream: int, number: int, authenticator: Authenticator | None = None
) -> list[bytes]:
    """`count` parity packets for up to SET packets; number: counts the sets of the stream."""
    contents = [_content(packet) for packet in packets]
    size = max(map(len, contents)) + 2
    rows = np.zeros((len(packets), size), dtype=np.uint8)
    for row, content in zip(rows, contents, strict=True):
        row[:2] = len(content) >> 8, len(content) & 255
        row[2 : 2 + len(content)] = np.frombuffer(content, dtype=np.uint8)
    names = b"".join(packet[5:10] for packet in packets)
    out = []
    for parity in range(count):
        total = np.zeros(size, dtype=np.uint8)
        for index, row in enumerate(rows):
            total ^= _times(_coefficient(parity, index), row)
        body = names + total.tobytes()
        out.append(write_packet(PARITY, stream, parity, number, len(packets), body, authenticator=authenticator))
    return out


class Repair:
    """Recovers packets from parity. It holds a bounded number of sets and of packets."""

    def __init__(self, stream: int):
        self._stream = stream
        self._sets: OrderedDict[int, dict[int, Packet]] = OrderedDict()
        self._seen: OrderedDict[bytes, bytes] = OrderedDict()
        self._newest: int | None = None

    def is_new(self, packet: Packet) -> bool:
        """Whether a parity packet did not come before, and is of no set that is long over."""
        behind = 0 if self._newest is None else (self._newest - packet.number) & NUMBERS
        return not SETS <= behind <= NUMBERS // 2 and packet.group not in self._sets.get(packet.number, {})

    def see(self, packet: bytes) -> None:
        """Note a packet that arrived."""
        self._seen[packet[5:10]] = packet
        while len(self._seen) > SETS * SET:
            self._seen.popitem(last=False)

    def recover(self, packet: Packet) -> list[bytes]:
        """Note a parity packet, and return the packets that can now be recovered."""
        size = len(packet.body) - packet.frames * NAME
        if not 0 < packet.frames <= SET or packet.group >= MOST_PARITY or size < 2:
            raise DataError("a parity packet is malformed")
        members = self._sets.setdefault(packet.number, {})
        members[packet.group] = packet
        if self._newest is None or (packet.number - self._newest) & NUMBERS <= NUMBERS // 2:
            self._newest = packet.number
        while len(self._sets) > SETS:
            self._sets.popitem(last=False)
        names = [packet.body[i * NAME : (i + 1) * NAME] for i in range(packet.frames)]
        lost = [index for index, name in enumerate(names) if name not in self._seen]
        alike = [p for p in members.values() if p.frames == packet.frames and len(p.body) == len(packet.body)]
        if not lost or len(alike) < len(lost):
            return []
        chosen = alike[: len(lost)]
        sums = [np.frombuffer(p.body, dtype=np.uint8)[packet.frames * NAME :].copy() for p in chosen]
        for index, name in enumerate(names):
            if index not in lost:
                content = _content(self._seen[name])
                if len(content) + 2 > size:
                    raise DataError("a parity packet does not fit the packets it names")
                row = np.zeros(size, dtype=np.uint8)
                row[:2] = len(content) >> 8, len(content) & 255
                row[2 : 2 + len(content)] = np.frombuffer(content, dtype=np.uint8)
                for total, p in zip(sums, chosen, strict=True):
                    total ^= _times(_coefficient(p.group, index), row)
        matrix = [[_coefficient(p.group, index) for index in lost] for p in chosen]
        found = []
        for index, row in zip(lost, _solve(matrix, sums), strict=True):
            length = int(row[0]) << 8 | int(row[1])
            content = row[2 : 2 + length].tobytes()
            if not 2 <= length <= size - 2 or content[0] & 0xF0 not in MARKS or content[0] & PARITY:
                raise DataError("a parity packet recovers an invalid packet")
            group, number = names[index][0], int.from_bytes(names[index][1:], "little")
            found.append(self._packet(content, group, number))
        return found

    def _packet(self, content: bytes, group: int, number: int) -> bytes:
        """A packet of what parity protects of it."""
        if content[0] & 0xF0 == MARK:
            return write_packet(content[0] & 15, self._stream, group, number, content[1], content[2:])
        return HEAD.pack(content[0], self._stream, group, number, content[1]) + content[2:]


def _solve(matrix: list[list[int]], sums: list[np.ndarray]) -> list[np.ndarray]:
    """Gaussian elimination over the field; a Cauchy matrix always has an inverse."""
    size = len(matrix)
    for column in range(size):
        pivot = next(row for row in range(column, size) if matrix[row][column])
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        sums[column], sums[pivot] = sums[pivot], sums[column]
        scale = _inverse(matrix[column][column])
        matrix[column] = [_product(scale, value) for value in matrix[column]]
        sums[column] = _times(scale, sums[column])
        for row in range(size):
            factor = matrix[row][column]
            if row != column and factor:
                matrix[row] = [a ^ _product(factor, b) for a, b in zip(matrix[row], matrix[column], strict=True)]
                sums[row] = sums[row] ^ _times(factor, sums[column])
    return sums


def _product(one: int, other: int) -> int:
    power, logarithm = _tables()
    return int(power[logarithm[one] + logarithm[other]]) if one and other else 0
