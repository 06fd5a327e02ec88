"""A decoder of payloads of predictor 7, written from section 31 of docs/format.md alone; a NumPy element is a lane."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from kit.paths import SOURCE
from kit.reference import FLOATS, SIZES, Fields, read_levels, unpack_bytes, values_of

F = np.float32
COUNTS = np.load(SOURCE / "spikey" / "data" / "tables" / "wide.npz")["counts"].astype(np.int64)
RATES = [(F(2.0**-fast), F(2.0**-slow)) for fast, slow in ((5, 9), (4, 7), (3, 6), (6, 9), (9, 10))]
SCALES = [F(2.0 ** (i // 4 - 4) * np.sqrt(np.sqrt(2.0 ** (i % 4)))) for i in range(112)]
BOOSTS = [F(2.0 ** (i // 2) * np.sqrt(2.0 ** (i % 2))) for i in range(40)]
PROFILE = [0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4]
LANES = (8, 64)
PAST = 32
FARTHEST = F(2**22)
LOWEST = 2**16


def decode_wide(payload, frames, count, tables, sample_type):
    """For each channel its values, as `decode_payload` gives them."""
    fields = Fields(payload)
    first = fields.u8()
    lanes = LANES[first >> 4 & 7]
    levels = read_descriptions(fields, payload, first & 128, tables, sample_type)
    groups = read_groups(fields, count)
    assert sorted(channel for group in groups for channel in group) == list(range(count))
    if len(groups) == 1:
        bodies = [fields.take(len(payload) - fields.at)]
    else:
        front = payload[: fields.at]
        sizes = [(fields.varint(), fields.u32()) for _ in groups]
        bodies = [fields.take(size) for size, _ in sizes]
        assert [zlib.crc32(front + body) for body in bodies] == [check for _, check in sizes]
        assert fields.at == len(payload)
    values = {}
    for group, body in zip(groups, bodies, strict=True):
        decoded = decode_group(Fields(body), len(group), frames, lanes, levels, sample_type)
        values.update(zip(group, decoded, strict=True))
    return [values[channel] for channel in range(count)]


def read_descriptions(fields, payload, several, tables, sample_type):
    """The levels of each description."""
    levels, before = [], b""
    for _ in range(fields.varint() + 1):
        flags = fields.u8()
        if flags == 15:
            assert sample_type in FLOATS
            levels.append({"codes": 1, "bits": 0, "packed": True})
            continue
        repeated = flags >> 4
        converter = fields.varint() if flags & 8 and several else 0
        inside = Fields(before[:repeated] + payload[fields.at :])
        level = read_levels(flags & 7, inside, sample_type)
        assert repeated <= len(before) and repeated <= inside.at
        fields.at += inside.at - repeated
        before = inside.data[: inside.at]
        level["edges"] = edges_for(level, tables, converter) if flags & 8 else None
        levels.append(level)
    return levels


def edges_of(level, centre):
    """What gives the edge of a code, and what its position, from a centre, in binary64."""
    if level["edges"] is None:
        return (lambda c: c - 0.5 - centre), (lambda c: float(c - centre))
    edges = np.array(level["edges"], np.int64)
    middles = ((edges[:-1] + edges[1:]) / 128).astype(F)
    edges = (edges / 64).astype(F)
    edges[0], edges[-1] = -(2.0**22), 2.0**22
    return (lambda c: float(edges[c]) - centre), (lambda c: float(middles[c]) - centre)


def edges_for(level, tables, converter):
    """The edges of a description's codes, of the converter's table, or one LSB apart outside of it."""
    edges = tables["converters"][converter]
    if "offset" not in tables:
        assert len(edges) == level["codes"] + 1
        return edges
    assert level["codes"] <= 2**16 and not level["bits"]
    distance = level["offset"] - tables["offset"]
    assert level["step"] == tables["step"] and distance % level["step"] == 0
    first, last = distance // level["step"], len(edges) - 1
    inside = [min(max(first + c, 0), last) for c in range(level["codes"] + 1)]
    return [edges[i] + 64 * (first + c - i) - 64 * first for c, i in enumerate(inside)]


def read_groups(fields, count):
    if count == 1:
        return [[0]]
    groups, expected = [], 0
    for _ in range(fields.varint() + 1):
        groups.append([])
        for _ in range(fields.varint() + 1):
            groups[-1].append(expected + fields.signed())
            expected = groups[-1][-1] + 1
        assert len(groups[-1]) <= 32
    return groups


def decode_group(fields, count, frames, lanes, levels, sample_type):
    channels = read_channels(Numbers(fields.take(fields.varint())), count, levels)
    lows = []
    for channel in channels:
        packed = "packed" in levels[channel.level]
        lows.append(fields.take(fields.varint() if packed else (frames * levels[channel.level]["bits"] + 7) // 8))
    if any(not channel.constant for channel in channels):
        state = np.frombuffer(fields.take(4 * lanes), "<u4").astype(np.int64)
        words = np.frombuffer(fields.take(len(fields.data) - fields.at), "<u2").astype(np.int64)
        coder = Coder(state, words)
        for channel in channels:
            if not channel.constant:
                Lanes(channel, channels, frames, lanes, levels[channel.level]).decode(coder)
        assert coder.at == len(words) and (coder.state == LOWEST).all()
    assert fields.at == len(fields.data)
    out = []
    for channel, low in zip(channels, lows, strict=True):
        if "packed" in levels[channel.level]:
            assert channel.constant and channel.centre == 0
            size = SIZES[sample_type]
            data = unpack_bytes(low, frames * size)
            out.append([data[at : at + size] for at in range(0, len(data), size)])
            continue
        codes = [channel.centre] * frames if channel.constant else channel.codes
        assert all(0 <= code < levels[channel.level]["codes"] for code in codes)
        out.append(values_of(levels[channel.level], codes, low, sample_type))
    return out


# ---------------------------------------------------------------- the numbers of a group


class Numbers:
    """The binary range decoder."""

    def __init__(self, data):
        self.data, self.at, self.range, self.value = data, 0, 2**32 - 1, 0
        self.chances = {}
        for _ in range(4):
            self.shift()

    def shift(self):
        byte = self.data[self.at] if self.at < len(self.data) else 0
        self.value, self.at = (self.value << 8 | byte) % 2**32, self.at + 1

    def divide(self, bound):
        bit = int(self.value < bound)
        if bit:
            self.range = bound
        else:
            self.value -= bound
            self.range -= bound
        while self.range < 2**24:
            self.range <<= 8
            self.shift()
        return bit

    def bit(self, context, index=0):
        p = self.chances.get((context, index), 2048)
        bit = self.divide((self.range >> 12) * p)
        self.chances[context, index] = p + ((4096 - p) >> 4) if bit else p - (p >> 4)
        return bit

    def number(self, context):
        digits = 0
        while digits < 25 and self.bit(context, digits):
            digits += 1
        value = 1
        for i in range(digits):
            bit = self.bit(context, 26 + min(digits, 11)) if i == 0 else self.divide(self.range >> 1)
            value = 2 * value + bit
        return value - 1

    def signed(self, context):
        value = self.number(context)
        return value >> 1 if value % 2 == 0 else -(value + 1) // 2


@dataclass
class Channel:
    """What a group's numbers have of a channel; those of an imagined one before the first."""

    level: int = 0
    centre: int = 0
    constant: bool = False
    others: list = field(default_factory=list)
    bits: int = 0
    scale: int = 0
    pair: int = 0
    shape: int = 0
    extend: bool = False
    start: int = 0
    boosts: list = field(default_factory=lambda: [0] * 5)
    own: list = field(default_factory=list)
    across: list = field(default_factory=list)
    codes: list = field(default_factory=list)
    rows: object = None


def read_channels(numbers, count, levels):
    channels, before, centre = [], Channel(), 0
    for place in range(count):
        constant, level = bool(numbers.bit(0)), numbers.number(44)
        centre += numbers.signed(1)
        assert level < len(levels) and 0 <= centre < levels[level]["codes"]
        channel = Channel(level, centre, constant)
        channels.append(channel)
        if constant:
            continue
        order, many = 8 * numbers.number(2), numbers.number(3)
        assert order <= 32 and many <= 4
        channel.others = [place - 1 - numbers.number(4) for _ in range(many)]
        assert all(other >= 0 and not channels[other].constant for other in channel.others)
        channel.bits, channel.scale = before.bits + numbers.signed(5), before.scale + numbers.signed(6)
        assert 3 <= channel.bits <= 14 and 0 <= channel.scale < 112
        channel.pair, channel.shape = numbers.number(7), numbers.number(8)
        channel.extend = bool(numbers.bit(9))
        channel.start = before.start + numbers.signed(10) if channel.extend else 0
        assert abs(channel.start) <= 64
        channel.boosts = [boost + numbers.signed(11 + i) for i, boost in enumerate(before.boosts)]
        assert all(0 <= boost < 40 for boost in channel.boosts)
        up = channel.bits - before.bits
        for weights, earlier, size, context, last in (
            (channel.own, before.own, order, 16, 15),
            (channel.across, before.across, 3 * many, 32, 11),
        ):
            for i in range(size):
                v = earlier[i] if i < len(earlier) else 0
                expected = max(min(v << up, 2**17), -(2**17)) if up >= 0 else (v + (1 << (-up - 1))) >> -up
                weights.append(expected + numbers.signed(context + min(i, last)))
                assert abs(weights[-1]) <= 2**17
        before = channel
    return channels


# ---------------------------------------------------------------- the samples of a channel


class Coder:
    """The states of all lanes, and the words that they share."""

    def __init__(self, state, words):
        self.state, self.words, self.at = state, words, 0

    def fill(self, lane):
        if self.state[lane] < LOWEST:
            self.state[lane] = self.state[lane] << 16 | self.words[self.at]
            self.at += 1

    def take(self, low, high):
        """Remove a symbol of the counts `low` to `high` from every lane."""
        slot = self.state & 16383
        assert (low <= slot).all() and (slot < high).all()
        self.state = (high - low) * (self.state >> 14) + slot - low
        for lane in range(len(self.state)):
            self.fill(lane)

    def bits(self, count, lane):
        slot = int(self.state[lane]) & 16383
        rest = 14 - count
        self.state[lane] = ((self.state[lane] >> 14) << rest) + slot % 2**rest
        self.fill(lane)
        return slot >> rest

    def escape(self, lane):
        digits = self.bits(5, lane)
        assert digits <= 28
        value = 0
        if digits > 14:
            value = self.bits(digits - 14, lane)
        if digits:
            value = value << min(digits, 14) | self.bits(min(digits, 14), lane)
        return value >> 1 if value % 2 == 0 else -(value + 1) // 2


class Lanes:
    """A channel in lanes. Its rows stay with it, for channels that look at it."""

    def __init__(self, channel, channels, frames, lanes, level):
        self.channel, self.frames, self.lanes, self.level = channel, frames, lanes, level
        self.steps = -(-frames // lanes)
        self.rows = channel.rows = np.zeros((PAST + self.steps + 2, lanes), F)
        one = F(2.0**channel.bits)
        self.own = [F(w) / one for w in channel.own]
        across = [F(w) / one for w in channel.across]
        self.others = [(channels[o].rows, across[3 * k : 3 * k + 3]) for k, o in enumerate(channel.others)]
        self.counts = COUNTS[channel.shape]
        self.edges = None
        if level["edges"] is not None:
            edges = np.array(level["edges"], np.int64)
            middles = (edges[:-1] + edges[1:]) / 128
            edges = edges / 64
            edges[0], edges[-1] = -(2.0**22), 2.0**22
            self.edges, self.middles = (part.astype(F) - np.float64(channel.centre) for part in (edges, middles))
            self.edges, self.middles = self.edges.astype(F), self.middles.astype(F)

    def decode(self, coder):
        full, more = divmod(self.frames, self.lanes)
        self.fast = np.full(self.lanes, SCALES[self.channel.scale], F)
        self.slow = self.fast.copy()
        codes = np.zeros((self.steps, self.lanes), np.int64)
        for t in range(self.steps):
            active = np.arange(self.lanes) < (self.lanes if t < full else more)
            self.step(t, active, coder, codes)
            if t == 0 and self.channel.extend:
                self.rows[:PAST] = self.rows[PAST]
        for lane in range(self.lanes):
            behind = PAST + full + (lane < more)
            self.rows[behind, lane] = (
                self.rows[PAST, lane + 1] if lane + 1 < self.lanes else self.rows[behind - 1, lane]
            )
        self.channel.codes = [int(c) for lane in range(self.lanes) for c in codes[: full + (lane < more), lane]]

    def predict(self, t):
        mean = np.zeros(self.lanes, F)
        if t == 0 and self.channel.extend:
            if self.others:
                mean = F(self.channel.start) / F(16) * self.others[0][0][PAST]
            return mean
        past = [self.rows[PAST + t - 1 - i] for i in range(len(self.own) if t else 0)]
        for i in range(0, len(past), 8):
            p = [w * row for w, row in zip(self.own[i : i + 8], past[i : i + 8], strict=True)]
            mean = mean + (((p[0] + p[1]) + (p[2] + p[3])) + ((p[4] + p[5]) + (p[6] + p[7])))
        for rows, (a, b, c) in self.others:
            mean = mean + (a * rows[PAST + t - 1] + (b * rows[PAST + t] + c * rows[PAST + t + 1]))
        return mean

    def below(self, coarse, shift, mean, per):
        """Counts below coarse codes int64 (lanes,)."""
        if self.edges is None:
            edge = coarse.astype(F) * F(2) ** shift.astype(F) - F(0.5)
        else:
            edge = self.edges[np.minimum(coarse << shift, self.level["codes"])]
        cell = np.clip((edge - mean) * per + F(4096), F(0), F(8192))
        return self.counts[cell.astype(np.int64)]

    def step(self, t, active, coder, codes):
        boost = BOOSTS[self.channel.boosts[PROFILE[t]]] if t < 16 else F(1)
        mean = np.clip(self.predict(t), -FARTHEST, FARTHEST)
        scale = np.clip((self.fast + self.slow) * F(0.5) * boost, F(1 / 16), F(2**20))
        per = F(256) / scale
        octave = np.frexp(scale)[1] - 1
        shift = np.clip(octave - (3 if self.edges is None else 6), 0, 14).astype(np.int64) * active
        slot = coder.state & 16383
        top = self.counts[-1]
        escaped = active & (slot >= top)
        coarse = self.search(slot, active & ~escaped, shift, mean, scale, per)
        low, high = self.below(coarse, shift, mean, per), self.below(coarse + 1, shift, mean, per)
        low, high = np.where(escaped, top, low), np.where(escaped, 16384, high)
        coder.take(np.where(active, low, 0), np.where(active, high, 16384))
        for lane in np.flatnonzero(escaped):
            coarse[lane] = self.expected(mean[lane], int(shift[lane])) + coder.escape(lane)
        position = np.clip(coarse.astype(F) * F(2) ** shift.astype(F), -FARTHEST, FARTHEST)
        extra = np.zeros(self.lanes, np.int64)
        if shift.any():
            extra = (coder.state & 16383) >> (14 - shift)
            coder.take(extra << (14 - shift), (extra + 1) << (14 - shift))
        if self.edges is None:
            position = position + extra.astype(F)
            codes[t] = position.astype(np.int64) + self.channel.centre
        else:
            codes[t] = np.where(active, (coarse << shift) + extra, 0)
            position = self.middles[codes[t]]
        self.rows[PAST + t] = np.where(active, position, F(0))
        error = np.abs(position - mean) * (F(1) / boost)
        fast, slow = RATES[self.channel.pair]
        self.fast, self.slow = (
            np.maximum(s + (np.minimum(error, F(8) * s) - s) * rate, F(1 / 16))
            for s, rate in ((self.fast, fast), (self.slow, slow))
        )

    def search(self, slot, wanted, shift, mean, scale, per):
        """The coarse codes whose counts the slots lie in."""
        if self.edges is None:
            reach = 17 * scale.astype(np.float64)
            low, high = (np.floor((mean + r) / 2.0**shift).astype(np.int64) for r in (-reach, reach))
            low, high = low - 2, high + 3
        else:
            low, high = np.zeros(self.lanes, np.int64), ((self.level["codes"] - 1) >> shift) + 1
        low, high = np.where(wanted, low, 0), np.where(wanted, high, 1)
        while (high - low > 1).any():
            middle = (low + high) >> 1
            right = self.below(middle, shift, mean, per) <= slot
            low, high = np.where(right, middle, low), np.where(right, high, middle)
        return low

    def expected(self, mean, shift):
        """The coarse code that escapes are counted from."""
        if self.edges is None:
            return int(np.floor((mean + F(0.5)) * F(2.0**-shift)))
        return int(np.sum(self.edges[1:-1] <= mean)) >> shift
