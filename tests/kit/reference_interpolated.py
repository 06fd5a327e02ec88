"""A decoder of payloads of predictor 8, written from section 32 of docs/format.md alone, in Python's integers."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from kit.reference import FLOATS, SIGNED, Fields, clamp
from kit.reference_wide import Numbers, decode_wide

BITS = (8, 8, 16, 16, 32, 32, 32, 32, 32)
OF_BITS = {8: 0, 16: 2, 32: 5}


def decode_interpolated(payload, frames, count, tables, sample_type):
    """For each channel its values, as `decode_payload` gives them."""
    fields, width = Fields(payload), BITS[sample_type]
    assert fields.u8() == 8
    scale = read_scale(fields) if sample_type in FLOATS else None
    factor = fields.varint() + 2
    assert factor <= 4
    behind, runs = read_runs(fields, frames, factor)
    predict, offset, step, side, flags = read_filter(fields, factor, width)
    apart, listed = flags & 8, flags & 16
    others = []
    for _ in range(fields.varint()):
        others.append((others[-1] + 1 if others else 0) + fields.varint())
    inside = [channel for channel in range(count) if channel not in others]
    assert inside and all(channel < count for channel in others)
    contexts = contexts_of(behind, runs, side) if apart else [None] * frames
    numbers = Numbers(fields.take(fields.varint())) if apart else None
    sizes = [fields.varint() for _ in range((not listed) + bool(others))]
    checksums = [fields.u32() for _ in range(len(sizes) + 1)]
    assert zlib.crc32(payload[: fields.at]) == fields.u32()
    payloads = [fields.take(size) for size in [*sizes, len(payload) - fields.at - sum(sizes)]]
    assert [zlib.crc32(one) for one in payloads] == checksums and all(one[0] & 15 == 7 for one in payloads)
    left = sum(d > 0 and context is None for d, context in zip(behind, contexts, strict=True))
    assert left or listed
    sampled = decode_wide(payloads[0], behind.count(0), len(inside), tables, sample_type)
    if apart:
        edges, exceptions = read_numbers(numbers, contexts, len(inside), left, listed)
    between = exceptions if listed else decode_wide(payloads[1], left, len(inside), tables, OF_BITS[width])
    values = [[] for _ in range(count)]
    for place, (channel, known, differences) in enumerate(zip(inside, sampled, between, strict=True)):
        numbers = iter(edges[place]) if apart else None
        known_numbers = [(integer(value, scale, sample_type) - offset) // step for value in known]
        known, differences, before = iter(known), iter(differences), 0
        for d, context in zip(behind, contexts, strict=True):
            if d == 0:
                before += 1
                values[channel].append(next(known))
            else:
                b = next(differences if context is None else numbers)
                m = ((predict(known_numbers, before, d) + b) * step + offset) % 2**width
                if m >= 2 ** (width - 1) and (scale or SIGNED[sample_type]):
                    m -= 2**width
                values[channel].append(m if scale is None else scaled(m, scale))
    if others:
        rest = decode_wide(payloads[-1], frames, len(others), tables, sample_type)
        for channel, known in zip(others, rest, strict=True):
            values[channel] = known
    return values


def read_scale(fields):
    form, gain = fields.u8(), struct.unpack("<d", fields.take(8))[0]
    assert form < 4
    return form & 1, gain, struct.unpack("<d", fields.take(8))[0] if form & 2 else None


def scaled(m, scale):
    single, gain, offset = scale
    kind = np.float32 if single else np.float64
    value = kind(m) * kind(gain)
    return value if offset is None else value + kind(offset)


def integer(value, scale, sample_type):
    if scale is None:
        return value
    kind = FLOATS[sample_type]
    sample = np.float64(np.frombuffer(value, kind)[0] if isinstance(value, bytes) else kind(value))
    nearest = np.rint((sample - (scale[2] or 0.0)) / scale[1])
    return int(nearest) if abs(nearest) < 2**31 else 0


def read_runs(fields, frames, factor):
    """How far each frame is behind a sampled one, and the run of each."""
    runs = []
    for run in range(fields.varint() + 1):
        first = runs[-1][0] + 1 + fields.varint() if run else 0
        runs.append((first, fields.varint()))
        assert runs[-1][1] < factor and first < frames
    ends = [first for first, _ in runs[1:]] + [frames]
    behind = [(k - phase) % factor for (first, phase), end in zip(runs, ends, strict=True) for k in range(end - first)]
    assert 0 in behind and any(behind)
    return behind, [
        run for run, ((first, _), end) in enumerate(zip(runs, ends, strict=True)) for _ in range(first, end)
    ]


def contexts_of(behind, runs, side):
    """The context of each edge; None of other frames."""
    total = [sum(d == 0 for d, one in zip(behind, runs, strict=True) if one == run) for run in range(runs[-1] + 1)]
    contexts, before = [], [0] * len(total)
    for d, run in zip(behind, runs, strict=True):
        left, right = before[run], total[run] - before[run]
        edge = d > 0 and min(left, right) < side
        contexts.append(min(left, right, 15) + 16 * (right < left) if edge else None)
        before[run] += d == 0
    return contexts


def read_numbers(numbers, contexts, count, left, listed):
    """Of each channel its edges, and what is listed of other frames."""
    edges, exceptions = [], []
    for _ in range(count):
        edges.append([numbers.signed(context) for context in contexts if context is not None])
        exceptions.append([0] * left)
        i = numbers.number(32) if listed else left
        while i < left:
            exceptions[-1][i] = numbers.signed(33)
            i += 1 + numbers.number(32)
        assert i == left
    return edges, exceptions


def read_filter(fields, factor, width):
    side, flags, bits = fields.varint() + 1, fields.u8(), fields.varint()
    rule = flags & 3
    assert side <= 32 and flags < 32 and flags & 24 != 16 and rule < 3 and bits <= 40
    bias = 0 if rule == 2 else fields.signed()
    total = (factor - 1) * 2 * side
    taps = [fields.signed() for _ in range((total + 1) // 2 if flags & 4 else total)]
    if flags & 4:
        taps += taps[: total // 2][::-1]
    filters = [taps[at : at + 2 * side] for at in range(0, total, 2 * side)]
    assert all(sum(map(abs, row)) <= 2 ** (60 - width) for row in filters)
    low = fields.signed()
    high = low + fields.varint()
    offset, step = fields.signed(), fields.varint() + 1

    def predict(numbers, before, d):
        places = (clamp(before - side + k, 0, len(numbers) - 1) for k in range(2 * side))
        total = sum(tap * numbers[place] for tap, place in zip(filters[d - 1], places, strict=True))
        if rule == 0:
            p = (total + bias) >> bits
        elif rule == 1:
            p = (total + bias) >> bits if total >= 0 else -((bias - total) >> bits)
        else:
            p, part = divmod(total, 2**bits)
            p += 2 * part > 2**bits or (2 * part == 2**bits and p % 2)
        return clamp(p, low, high)

    return predict, offset, step, side, flags
