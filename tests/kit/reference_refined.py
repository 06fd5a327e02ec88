"""A decoder of payloads of predictor 9, written from section 33 of docs/format.md alone, in vectors of inputs."""

from __future__ import annotations

import math

import numpy as np

from kit.reference import SIZES, Fields, RangeDecoder, clamp, unpack_bytes, values_of
from kit.reference_wide import Numbers, edges_of, read_descriptions
from spikey.model.fixed_point import NORMAL

NORMAL_COUNTS = [int(n) for n in NORMAL]
RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 1024)
INVERSE = [1 / d for d in (0.81, 0.98, 1.14, 1.51, 2.48, 8.0)]
MOST = 32 + 12 * 7, 8 + 6 * 7  # inputs
OUTSIDE = 40


def log2(v):
    part, e = math.frexp(v)
    if part < 0.7071067811865476:
        part, e = part * 2, e - 1
    s = (part - 1) / (part + 1)
    q = s * s
    return e + s * (2.885390081777927 + q * (0.961796693925976 + q * (0.577078016355585 + q * 0.412198583111132)))


def exp2(v):
    k = math.floor(v + 0.5)
    f, total = v - k, 0.0001540353039338
    for c in (0.0013333558146428, 0.0096181291076285, 0.0555041086648216, 0.2402265069591007, 0.6931471805599453, 1.0):
        total = c + f * total
    return math.ldexp(total, k)


def decode_refined(payload, frames, count, tables, sample_type):
    """For each channel its values, as `decode_payload` gives them."""
    fields = Fields(payload)
    first = fields.u8()
    assert first & 127 == 9
    levels = read_descriptions(fields, payload, first & 128, tables, sample_type)
    settings, channels = read_numbers(Numbers(fields.take(fields.varint())), count, levels)
    lows = []
    for channel in channels:
        level = levels[channel["level"]]
        packed = "packed" in level
        lows.append(fields.take(fields.varint() if packed else (frames * level["bits"] + 7) // 8))
    block = Block(settings, channels, levels, frames, RangeDecoder(payload[fields.at :]))
    values = {}
    for channel, low in zip(channels, lows, strict=True):
        level = levels[channel["level"]]
        if "packed" in level:
            assert channel["constant"]
            data, size = unpack_bytes(low, frames * SIZES[sample_type]), SIZES[sample_type]
            values[channel["index"]] = [data[at : at + size] for at in range(0, len(data), size)]
            continue
        codes = [channel["centre"]] * frames if channel["constant"] else block.channel(channel)
        values[channel["index"]] = values_of(level, codes, low, sample_type)
    return [values[index] for index in range(count)]


def read_numbers(numbers, count, levels):
    own, reach, trust, window, share = [numbers.number(0) for _ in range(5)]
    assert own <= 4 and reach <= 3 and trust <= 16 and 8 <= window <= 24 and share <= 8
    settings = own * 8, reach, 2.0**trust, 1 - 256 / 2**window, 1 / 2**share
    channels, expected, centre, near = [], 0, 0, 0
    for _ in range(count):
        index = expected + numbers.signed(4)
        expected = index + 1
        constant, level = bool(numbers.bit(1)), numbers.number(2)
        centre += numbers.signed(3)
        assert 0 <= centre < levels[level]["codes"]
        channel = {"index": index, "constant": constant, "level": level, "centre": centre, "near": []}
        if not constant:
            near += numbers.signed(5)
            assert 0 <= near <= 12
            known = [other for other in channels if not other["constant"]]
            known.sort(key=lambda other: (abs(other["index"] - index), other["index"]))
            at = -1
            for k in range(near):
                at += 1 + numbers.number(6 + k)
                channel["near"].append(known[at])
        channels.append(channel)
    assert sorted(channel["index"] for channel in channels) == list(range(count))
    return settings, channels


class Regression:
    """Of one channel after another."""

    def __init__(self, most, trust, share):
        self.most, self.trust, self.share = most, trust, share
        self.usual, self.products, self.known = np.zeros(most), np.zeros((most, most)), [False] * most

    def begin(self, n):
        self.n, known = n, np.array(self.known[:n])
        self.w, self.m, self.G = np.where(known, self.usual[:n], 0.0), np.zeros(n), np.zeros((n, n))
        total = np.zeros(n)
        for j in range(n):
            total += self.products[:n, j] * self.w[j]
        self.pull = self.trust * total + self.w

    def learn(self, samples, kept):
        """samples: inputs, target and weight of each."""
        self.G *= kept
        self.m *= kept
        four = len(samples) // 4 * 4
        for at in range(0, four, 4):
            (a, x, p), (b, y, q), (c, z, r), (d, t, s) = samples[at : at + 4]
            va, vb, vc, vd = a * p, b * q, c * r, d * s
            self.m += (va * x + vb * y) + (vc * z + vd * t)
            self.G += (np.outer(va, a) + np.outer(vb, b)) + (np.outer(vc, c) + np.outer(vd, d))
        for u, y, d in samples[four:]:
            v = u * d
            self.m += v * y
            self.G += np.outer(v, u)

    def solve(self):
        n = self.n
        A = np.tril(self.G).T + self.trust * np.triu(self.products[:n, :n])
        A[np.arange(n), np.arange(n)] += 1.0
        z = self.m + self.pull
        for k in range(n):
            least = 1e-10 * (self.G[k, k] + self.trust * self.products[k, k] + 1.0)
            one = 1.0 / math.sqrt(max(A[k, k], least))
            A[k, k:] *= one
            A[k, k] = one
            z[k] *= one
            for i in range(k + 1, n):
                A[i, i:] -= A[k, i] * A[k, i:]
            z[k + 1 :] -= A[k, k + 1 :] * z[k]
        for i in range(n - 1, -1, -1):
            self.w[i] = z[i] * A[i, i]
            z[:i] -= A[:i, i] * self.w[i]

    def pass_on(self, mass):
        n, one = self.n, 1.0 / (mass + self.trust)
        if n == self.most or not self.known[n]:
            before = self.products[:n, :n]
            lower = np.tril(before + ((self.G + self.trust * before) * one - before) * self.share)
            self.products[:n, :n] = lower + np.tril(lower, -1).T
        for i in range(n):
            self.usual[i] += (self.w[i] - self.usual[i]) * (self.share if self.known[i] else 1.0)
            self.known[i] = True


class Block:
    """What passes from channel to channel."""

    def __init__(self, settings, channels, levels, frames, coder):
        self.own, self.reach, trust, self.kept, share = settings
        self.levels, self.frames, self.coder = levels, frames, coder
        self.linear, self.spikes = Regression(MOST[0], trust, share), Regression(MOST[1], 256.0, share)
        self.theta = [0.0] * 8
        self.shares = [[0.07, 0.67, 0.22, 0.03, 0.008, 0.002] for _ in range(3)]
        self.f = self.g = self.a = self.b = 0.0
        self.mean, self.profile = 8.0, [0.0] * 16

    def channel(self, channel):
        """The codes of a channel; its positions, errors and how large these were stay with it."""
        level, near, own, centre = self.levels[channel["level"]], channel["near"], self.own, float(channel["centre"])
        n = level["codes"]
        edge, position = edges_of(level, centre)
        x, e, active = np.zeros(self.frames + 2 * OUTSIDE), np.zeros(self.frames + 2 * OUTSIDE), [0] * (self.frames + 2)
        channel |= {"x": x, "e": e, "active": active}
        linear, spikes = self.linear, self.spikes
        linear.begin(own + len(near) * (2 * self.reach + 1))
        spikes.begin(8 + min(len(near), 6) * 7)
        s, codes, length, at, total, mass, busy_mass = [self.mean] * 4, [], 32, 0, 0.0, 0.0, 0.0
        waiting, waiting_busy = [], []
        for t in range(self.frames):
            here = OUTSIDE + t
            across = [r["x"][here + q] for r in near for q in range(-self.reach, self.reach + 1)]
            inputs = np.array([*(x[here - 1 - i] for i in range(own)), *across])
            p = 0.0
            for i in [*range(own, linear.n), *range(own - 1, -1, -1)]:
                p += linear.w[i] * inputs[i]
            if t == 0:
                p = (self.f / (self.g + 1)) * near[0]["x"][OUTSIDE] if near else 0.0
            p = p if -(2.0**22) <= p <= 2.0**22 else 0.0
            less = max(self.profile[t], 1.0) if t < 16 else 1.0
            h = [0.0] * 3
            for q in range(3 if near else 0):
                loud = sum(r["active"][t + q] for r in near[:4])
                h[q] = log2(loud * (1 / (16.0 * len(near[:4]))) + 0.1)
            base = log2(s[3])
            F = [*(log2(v) - base for v in s[:3]), 1.0, *h]
            v = base + self.theta[3]
            for i in (0, 1, 2, 4, 5, 6):
                v += self.theta[i] * F[i]
            scale = exp2(clamp(v, -4.0, 20.0))
            busy, y, moved = t >= 16 and max(h) > 1.38, 0.0, p
            if busy:
                errors = [
                    *(e[here - 1 - i] for i in range(8)),
                    *(r["e"][here + q] for r in near[:6] for q in range(-3, 4)),
                ]
                for i, v in enumerate(errors):
                    y += spikes.w[i] * v
                y = clamp(y, -2 * scale, 2 * scale)
                moved = p + y * clamp(self.a / (self.b + 1), 0.0, 1.0)
            shares = self.shares[0 if h[1] < 0.7 else 1 if h[1] < 1.6 else 2]
            code = self.code(moved, scale * less * 1.2533141373155003, shares, edge, n, centre)
            codes.append(code)
            x[here] = np.float32(position(code))
            e[here] = np.float32(x[here] - p)
            error = abs(x[here] - moved)
            if t < 16:
                self.profile[t] += (min(error / self.mean, 1000.0) - self.profile[t]) * 0.1
            if t == 0:
                x[:here] = x[here]
                if near:
                    self.f += x[here] * near[0]["x"][OUTSIDE]
                    self.g += near[0]["x"][OUTSIDE] * near[0]["x"][OUTSIDE]
                inputs[:own] = x[here]
            size = error / less
            ratio = size / scale
            active[t + 1] = int(min(ratio * 16 + 0.5, 255.0))
            d = 1.0 if ratio <= 2 else 2 / ratio
            weight = d / (scale * less * scale * less)
            waiting.append((inputs, x[here], weight))
            if busy:
                waiting_busy.append((np.array(errors), x[here] - p, weight))
                self.a += d * (y / scale) * ((x[here] - p) / scale) - self.a / 256
                self.b += d * (y / scale) * (y / scale) - self.b / 256
            if t:
                k = 0.0003 * (1 - min(size / scale, 4.0))
                self.theta = [clamp(o - k * v, -4.0, 4.0) for o, v in zip(self.theta, [*F, 0.0], strict=True)]
            s = [max(v + (min(size, 8 * v) - v) * max(r, 1 / (t + 8)), 1 / 16) for v, r in zip(s, RATES, strict=True)]
            total += min(size, 8 * scale)
            if t + 1 == min(at + length, self.frames):
                kept = self.kept if length == 256 else 1.0
                linear.learn(waiting, kept)
                linear.solve()
                mass = mass * kept + len(waiting)
                if len(waiting_busy) >= 16 or t + 1 == self.frames:
                    spikes.learn(waiting_busy, 1.0)
                    spikes.solve()
                    busy_mass, waiting_busy = busy_mass + len(waiting_busy), []
                at, length, waiting = t + 1, min(2 * length, 256), []
        linear.pass_on(mass)
        spikes.pass_on(busy_mass)
        self.mean = max(total / self.frames, 1 / 16)
        active[0], active[-1] = active[1], active[-2]
        x[OUTSIDE + self.frames :] = x[OUTSIDE + self.frames - 1]
        return codes

    def code(self, p, deviation, q, edge, n, centre):
        shift = clamp(math.floor(log2(deviation)) - 9, 0, 20)
        inverse = 1 / deviation
        coarse = ((n - 1) >> shift) + 1
        count = min(coarse, 16384)
        first = clamp((math.floor(p + centre + 0.5) >> shift) - 8192, 0, coarse - count)
        room = 2**24 - count - (64 if count < coarse else 0)

        def parts(i):
            o = ((edge(min((first + i) << shift, n)) - p) * inverse) * 128
            for k in INVERSE:
                v = min(max(o * k + 1024, 0.0), 2047.999)
                j = int(v)
                yield NORMAL_COUNTS[j] + (NORMAL_COUNTS[j + 1] - NORMAL_COUNTS[j]) * (v - j)

        def below(i):
            if i <= 0 or i >= count:
                return 0 if i <= 0 else room + count
            total = 0.0
            for share, part in zip(q, parts(i), strict=True):
                total += share * part
            return min(int(total * (room / 2**24)), room) + i

        target = self.coder.target()
        if target >= room + count:
            self.coder.take(room + count, 2**24 - room - count)
            return min(self.bits(20), n - 1)
        low, high = 0, count
        while high - low > 1:
            half = (low + high) // 2
            low, high = (half, high) if below(half) <= target else (low, half)
        self.coder.take(below(low), below(low + 1) - below(low))
        explained = [b - a for a, b in zip(parts(low), parts(low + 1), strict=True)]
        v = 0.0
        for share, part in zip(q, explained, strict=True):
            v += share * part
        if v > 16:
            one, whole = (1 / 256) / v, 0.0
            for k, part in enumerate(explained):
                q[k] = max(q[k] * ((1 - 1 / 256) + part * one), 0.0001)
                whole += q[k]
            q[:] = [share * (1 / whole) for share in q]
        code = (first + low) << shift
        return min(code | self.bits(shift), n - 1)

    def bits(self, count):
        if count == 0:
            return 0
        value = self.coder.target() >> (24 - count)
        self.coder.take(value << (24 - count), 1 << (24 - count))
        return value
