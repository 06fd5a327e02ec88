"""Packets of telemetry and the numbers in them, for `kit.reference_telemetry`; from docs/telemetry.md alone."""

from __future__ import annotations

import bisect
import itertools
import math
import struct
from types import SimpleNamespace

import numpy as np

from kit.paths import SOURCE
from kit.reference import Fields, RangeDecoder, clamp

_stored = np.load(SOURCE / "spikey" / "data" / "tables" / "telemetry.npz")
COUNTS, BASIS, COSINES = (_stored[name].tolist() for name in ("counts", "basis", "cosines"))
CUMULATIVE = [list(itertools.accumulate(row, initial=0)) for row in COUNTS]
TAGS = {0x90: 3, 0x98: 4, 0xA0: 8, 0xA8: 16}  # bytes of the check, by the first byte without its flags
# Threshold, refractory time, band, resolution, power's bins and edge, LFP band's edge, polarity, waveforms, match,
# neighbours, column.
USUAL = [4.5, 1.0, 300.0, 5000.0, 0.0, 50.0, 1000.0, 250.0, 0.0, 1.0, 5.0, 0.0, 0.0]


def up(a, b):
    """a / b, rounded up."""
    return -(-a // b)


def packets_of(data):
    """The packets of a file."""
    assert data[:4] == b"SPKT"
    at = 4
    while at < len(data):
        fields = Fields(data[at : at + 16])
        check = TAGS[fields.u8() & 0xF8]
        fields.take(2)
        length = fields.varint() + fields.at + check
        yield data[at : at + length]
        at += length


class Coder(RangeDecoder):
    """The numbers of a payload."""

    def evenly(self, n):
        share = 2**24 // n
        i = min(self.target() // share, n - 1)
        self.take(i * share, share)
        return i

    def flag(self, c):
        one = 2 ** (23 - c)
        if self.target() < one:
            self.take(0, one)
            return 1
        self.take(one, 2**24 - one)
        return 0

    def symbol(self, row):
        at = self.target()
        i = bisect.bisect_right(CUMULATIVE[row], at) - 1
        self.take(CUMULATIVE[row][i], COUNTS[row][i])
        return i

    def exp_golomb(self):
        value = 1
        for _ in range(self.evenly(21)):
            value = 2 * value + self.evenly(2)
        return value - 1

    def unsigned(self, row):
        value = self.symbol(row)
        return value + self.exp_golomb() if value == 32 else value

    def signed(self, row):
        value = self.symbol(row) - 16
        if abs(value) < 16:
            return value
        return (1 if value > 0 else -1) * (16 + self.exp_golomb())


def read_description(fields):
    """The stream's, and the frames that follow from it."""
    assert fields.u8() == 1
    d = SimpleNamespace()
    d.stream, r, d.budget = struct.unpack("<Iff", fields.take(12))
    kinds = fields.u8()
    d.channels, d.packet, slots, d.epoch, unusual = (fields.varint() for _ in range(5))
    settings = [struct.unpack("<f", fields.take(4))[0] if unusual >> i & 1 else u for i, u in enumerate(USUAL)]
    d.left_out = tuple(fields.varint() for _ in range(4))
    d.noise, codes = fields.varint(), 1024
    if kinds >> 4 == 1:  # affine
        fields.signed(), fields.varint()
        top = fields.varint()
        codes = (top >> fields.varint()) + 1
    d.middle, d.rate, d.slots = codes // 2, r, slots
    d.slot = max(math.floor(0.75 * r / 1000 + 1e-9), 1)
    d.frames = d.slot * slots
    d.resolution = max(round(settings[4] * r / 1000), 1)
    d.places = up(d.slot, d.resolution)
    d.pre, post = math.ceil(0.5 * r / 1000 - 1e-9), math.ceil(0.9 * r / 1000 - 1e-9)
    d.snippet, d.wait = d.pre + post, max(round(0.15 * r / 1000), 1) - 1 + post
    d.bin, d.decimation = round(settings[5] * r / 1000), max(round(r / 625), 1)
    d.coefficients = min(math.ceil(settings[7] / (r / d.decimation / 128)), 64)
    d.waves = settings[9] != 0
    d.weak = d.waves and settings[10] != 0
    near, column = int(settings[11]), int(settings[12])
    d.distances = ([column, 1, column + 1, column - 1] if column else [1][:near]) + list(range(2, near + 1))
    d.basis = basis(r, d.pre, d.snippet)
    d.parts = up(d.channels, 8)
    return d


def basis(rate, pre, snippet):
    """Of waveforms, for a rate."""
    if abs(20_000 / rate - 1) < 0.04 and snippet == 28:
        return BASIS
    rows = []
    for row in BASIS:
        vector = []
        for i in range(snippet):
            at = clamp((i - pre) * (20_000 / rate) + 10, 0.0, 27.0)
            low = min(int(at), 26)
            vector.append(row[low] + (at - low) * (row[low + 1] - row[low]))
        for other in rows:
            product = dot(vector, other)
            vector = [v - o * product for v, o in zip(vector, other, strict=True)]
        length = dot(vector, vector) ** 0.5
        rows.append([v / length if length > 1e-6 else 0.0 for v in vector])
    return [[math.floor(v * 2**13 + 0.5) for v in row] for row in rows]


def dot(a, b):
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += x * y
    return total
