"""A decoder of telemetry packets from docs/telemetry.md alone, in plain Python, slow, independent of the package.

Packets come in order; some may be missing. Nothing here guards against damage or forgery.
"""

from __future__ import annotations

import math
import zlib
from fractions import Fraction
from types import SimpleNamespace

from kit.reference import Fields, clamp
from kit.reference_telemetry_header import COSINES, TAGS, Coder, read_description, up
from kit.reference_telemetry_near import NEAR_POWER_ROWS, OWN_ROWS, footprints, near_places

ROOTS = (65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194)
RATE, NOISE, POWER, SPREAD, SCALE, LEVEL, WEAK = range(7)  # of a profile, and rows of the tables
RANGES = ((0, 15), (0, 160), (-512, 352), (0, 3), (0, 120), (-65536, 65536), (0, 15))
BURST_ROW, TROUGH_ROW, OCTAVES_ROW, POWER_ROWS, LOW_ROWS, WAVE_ROWS = 7, 8, 9, 10, 22, 1786


def exp2(e):
    """2^(e / 8) in whole numbers."""
    return max(ROOTS[e % 8] * 2 ** (e // 8) >> 16, 1) if e >= 0 else 1


class Decoder:
    """Decodes the packets of a stream one after another."""

    def __init__(self):
        self.d = None

    def packet(self, data):
        """Contents by their names in `PacketContents`; None where only steps 1 to 3 can be read, or no key came."""
        check = TAGS[data[0] & 0xF8]
        if check == 3:
            assert zlib.crc32(data[:-3]) & 0xFFFFFF == int.from_bytes(data[-3:], "little")
        fields, flags = Fields(data[:-check]), data[0] & 7
        fields.u8()
        number = int.from_bytes(fields.take(2), "little")
        assert fields.varint() == len(data) - check - fields.at
        description = read_description(Fields(fields.take(fields.varint()))) if flags & 1 else None
        if self.d is None:
            if description is None:
                return None
            self.d, self.next, self.pending = description, description.packet, []
            self.epoch, self.profile, self.coming, self.blind = None, None, {}, 0
            if self.next:
                self.gap(self.next)
        n = self.next + (number - self.next) % 65536
        if n > self.next:
            self.gap(n)
        self.next = n + 1
        if description is not None:
            assert description.packet == n and description.stream == self.d.stream
        contents = self.payload(n, flags, Coder(fields.take(len(data) - check - fields.at)))
        if contents is None:
            self.gap(n + 1)
        return contents

    def gap(self, n):
        """There is nothing of the packets before n."""
        self.blind = n * self.d.frames + self.d.wait + self.d.resolution

    def epoch_of(self, n):
        """Number, first packet and packets of the epoch of packet n."""
        d, number, first = self.d, 0, 0
        length = min(max(d.epoch // 8, 4 * d.parts), d.epoch)
        while n >= first + length:
            number, first, length = number + 1, first + length, min(2 * length, d.epoch)
        return number, first, length

    def parts(self, n):
        d, (_, first, length) = self.d, self.epoch_of(n)
        if n == 0 and d.frames >= 0.1 * d.rate:
            return range(d.parts)
        i, m = n - first - length // 2, length - length // 2
        if i < 0:
            return []
        total = 2 * d.parts
        return [j % d.parts for j in range(up(total * i, m), min(up(total * (i + 1), m), total))]

    def take_profile(self, n):
        d, epoch = self.d, self.epoch_of(n)[0]
        if epoch == self.epoch:
            return
        if n == 0:
            scale = clamp(d.noise - 10, *RANGES[SCALE])
            self.profile = [[9, d.noise, 4 * d.noise - 64, 1, scale, 0, 9]] * d.channels
        elif self.epoch == epoch - 1 and len(self.coming) == d.channels:
            self.profile = [self.coming[c] for c in range(d.channels)]
        else:
            self.profile = None
        self.epoch, self.coming = epoch, {}

    def payload(self, n, flags, coder):
        d = self.d
        self.take_profile(n)
        start, end = n * d.frames, (n + 1) * d.frames
        if flags & 2:
            end = start + coder.evenly(d.frames + 1)
        for part in self.parts(n):
            for c in range(8 * part, min(8 * part + 8, d.channels)):
                self.coming[c] = read_profile(coder)
        if n == 0 and d.frames >= 0.1 * d.rate:
            self.profile = [self.coming[c] for c in range(d.channels)]
        dropped = coder.exp_golomb() if flags & 4 else 0
        if self.profile is None:
            return None
        out = SimpleNamespace(first_frame=start, end_frame=end, dropped=dropped)
        burst = coder.symbol(BURST_ROW)
        if d.distances:
            rates = [max(profile[RATE] - 2 * burst, 0) for profile in self.profile]
            events = near_places(coder, d, start, rates)
        else:
            events = self.places(coder, start, RATE, 2 * burst)
        half = d.resolution // 2
        out.event_frames, out.event_channels = [f + half for f, _ in events], [c for _, c in events]
        if d.waves:
            self.pending += [(f + d.resolution - 1 + d.wait, f + half, c) for f, c in events]
        due = [(f, c) for last, f, c in self.pending if last < end]
        self.pending = [each for each in self.pending if each[0] >= end]
        if start < self.blind:
            due = []
        self.read_power(coder, out, start, end)
        blocks = self.turns(start, end, 64 * d.decimation, 64 * d.decimation, 0) if d.coefficients else []
        size = coder.evenly(40) if blocks or due or d.weak else 0
        self.read_low(coder, out, blocks, size)
        quality = clamp(max((3 * size - 37) // 10, (size - 21) // 2), 0, 9)
        weak = []
        if d.weak and not coder.flag(7):
            weak = self.places(coder, start, WEAK, 0)
        rougher = max(min(quality + 3, 5), quality)
        weak = [(max(f - d.wait + half, 0), c, self.wave(coder, c, rougher)) for f, c in weak]
        waves, out.left_out_waves = [], 0
        if d.distances and due:
            waves = footprints(coder, d, due, lambda c: self.wave(coder, c, quality, True))
            out.left_out_waves = len(due) - len(waves)
        else:
            for f, c in due:
                if coder.flag(6):
                    out.left_out_waves += 1
                else:
                    waves.append((f, c, f + coder.symbol(TROUGH_ROW), self.wave(coder, c, quality), False))
        waves += [(f, c, f, wave, False) for f, c, wave in weak]
        for i, name in enumerate(("wave_frames", "wave_channels", "trough_frames", "waves", "wave_scaled")):
            setattr(out, name, [each[i] for each in waves])
        out.event_frames += [f for f, _, _ in weak]
        out.event_channels += [c for _, c, _ in weak]
        out.weak = len(weak)
        return out

    def places(self, coder, start, field, less):
        """First frames and channels of the places that are taken."""
        d, found = self.d, []
        for s in range(d.slots):
            for c in range(d.channels):
                if coder.flag(max(self.profile[c][field] - less, 0)):
                    found.append((start + s * d.slot + coder.evenly(d.places) * d.resolution, c))
        return found

    def turns(self, start, end, period, spread, first):
        """k, channel and moment of what has its moment in a packet, k * period + spread * c / C; k from `first` on."""
        found = []
        for k in range(max((start - spread) // period, first), end // period + 1):
            for c in range(self.d.channels):
                moment = k * period + Fraction(spread * c, self.d.channels)
                if start < moment <= end and moment > 0:
                    found.append((k, c, moment))
        return found

    def read_power(self, coder, out, start, end):
        d = self.d
        turns = self.turns(start, end, d.bin, d.bin // 2, 1) if d.bin else []
        out.left_out_power = 0
        if turns and coder.flag(7):
            out.left_out_power, turns = len(turns), []
        steps = (1 + coder.flag(0) if coder.flag(2) else 0) if turns else 0
        out.power_bins, out.power_channels = [k - 1 for k, _, _ in turns], [c for _, c, _ in turns]
        out.power, before, last = [], 0, -2
        for c in out.power_channels:
            row = POWER_ROWS + 4 * steps + self.profile[c][SPREAD]
            if d.distances:
                row = NEAR_POWER_ROWS + 14 * steps + (clamp(before + 6, 0, 12) if c == last + 1 else 13)
            v = coder.signed(row)
            before, last = v, c
            square = exp2(min(self.profile[c][POWER] + v * 2**steps + steps, 352))
            out.power.append((square if steps else square * 1069 >> 10) / 4096)

    def read_low(self, coder, out, blocks, size):
        d = self.d
        out.left_out_low = 0
        if blocks and coder.flag(7):
            out.left_out_low, blocks = len(blocks), []
        out.low_channels = [c for _, c, _ in blocks]
        out.low_ends = [math.ceil(moment) // d.decimation for _, _, moment in blocks]
        out.low = [self.block(coder, self.profile[c], size) for c in out.low_channels]

    def block(self, coder, profile, size):
        coefficients, a, b = [], 0, 0
        for k in range(self.d.coefficients):
            band = k if k < 5 else 5 + (k - 5) // 3 if k < 14 else min(8 + (k - 14) // 7, 13)
            value = coder.signed(LOW_ROWS + (14 * min(size // 3, 13) + band) * 9 + min(2 * a + b, 8))
            a, b = min(abs(value), 9), a
            coarser = clamp(2 * (size - 10), 0, 24) if k >= 21 else 0
            coefficients.append(value * exp2(2 * profile[SCALE] - 32 + 2 * size + coarser))
        level = 64 * self.d.middle + (profile[LEVEL] * exp2(2 * profile[SCALE]) >> 2)
        return [(sum(COSINES[k][i] * v for k, v in enumerate(coefficients)) + 2**13 >> 14) + level for i in range(64)]

    def wave(self, coder, c, quality, own=False):
        octaves = coder.symbol(OCTAVES_ROW)
        step = exp2(2 * self.profile[c][NOISE] - 7 + 4 * quality) << min(octaves, 12)
        components, largest, a, b = [], 0, 0, 0
        for k in range(12):
            group = sum(largest >= least for least in (2, 4, 8))
            first = OWN_ROWS + (3 * quality + k) * 16 if own and k < 3 else WAVE_ROWS + (12 * quality + k) * 16
            value = coder.signed(first + 4 * group + min(a + b, 3))
            a, b, largest = min(abs(value), 4), a, max(largest, abs(value))
            components.append(value * step)
        rows = zip(components, self.d.basis, strict=True)
        return [sum(column) + 2**12 >> 13 for column in zip(*([v * w for w in row] for v, row in rows), strict=True)]


def read_profile(coder):
    """Of a channel."""
    profile = [0] * 7
    profile[RATE], profile[WEAK] = coder.symbol(RATE), coder.symbol(WEAK)
    for field in (NOISE, SCALE):
        profile[field] = 4 * coder.unsigned(field)
        profile[field] += coder.evenly(4)
    profile[POWER] = 4 * profile[NOISE] - 64 + coder.signed(POWER)
    profile[SPREAD] = coder.evenly(4)
    profile[LEVEL] = coder.signed(LEVEL)
    return [clamp(value, *ends) for value, ends in zip(profile, RANGES, strict=True)]
