"""A decoder of `.spky` files written from docs/format.md alone, in plain Python, slow, independent of the package."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import json
import math
import struct
import zlib
from itertools import pairwise

import numpy as np

from kit.paths import SOURCE

TABLES = SOURCE / "spikey" / "data" / "tables"
_tables = np.load(TABLES / "density.npz")
C, N, R, U = (_tables[name].tolist() for name in ("cumulative", "normal", "reciprocal", "update"))
L, H = (_tables[name].astype(np.int64) for name in ("sigmoid", "tangent"))
S = [2**38 // r for r in R]
NETWORK = {name: table.tolist() for name, table in np.load(TABLES / "balanced.npz").items()}
SMIN, SMAX = 131072, 26 * 65536 - 1
SIZES = (1, 1, 2, 2, 3, 4, 4, 4, 8)
SIGNED = (True, False, True, False, True, True, False)
FLOATS = {7: np.float32, 8: np.float64}
ARCHIVES = {6: ("n1-lstm-small", "stacked")}  # network, prior


def clamp(x, low, high):
    return min(max(x, low), high)


class Fields:
    """Reads fields one after another."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data)
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed(self):
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value + 1) // 2


# ---------------------------------------------------------------- the file


def decode(data, calibrations=(), models=(), companions=None, correction=None):
    """The restored file's bytes. calibrations, models: the bytes of those that are not in the file. companions: of all
    frames, a list of samples for each channel of other recordings. correction: of a lossy file, its correction file.
    """
    fields = Fields(data)
    assert fields.take(4) == b"SPKY" and fields.u8() == 1
    flags, kind, channels, rate = fields.u8(), fields.u8(), fields.varint(), fields.varint()
    rate = struct.unpack("<d", fields.take(8))[0] if rate == 1 else rate // 2
    frames = fields.varint()
    name = fields.take(4) if flags & 8 else b""
    records = {}
    for _ in range(fields.varint() if flags & 2 else 0):
        number = fields.varint()
        records.setdefault(number >> 1, fields.take(fields.varint()))
    known = [unpack_record(records[1])] if 1 in records else calibrations
    tables = next((read_calibration(c, calibrations) for c in known if hashlib.sha256(c).digest()[:4] == name), None)
    if 2 in records and len(records[2]) > 4:
        models = [unpack_record(records[2][4:])]
    model = next((read_model(m) for m in models if hashlib.sha256(m).digest()[:4] == records.get(2, b"")[:4]), None)
    sample_type, wrapper = kind & 15, kind >> 4
    front = data[: fields.at]

    def content(kind, frames, channels, payload, first=0):
        if kind != 0:
            return unpack_bytes(payload, frames)
        if payload[0] & 15 == 0:
            return payload[1:]
        if payload[0] & 15 == 5:
            return unpack_bytes(payload[1:], frames * channels * SIZES[sample_type])
        beside = [samples[first : first + frames] for samples in companions or ()]
        values = decode_payload(payload, frames, channels, tables, model, sample_type, beside)
        if sample_type in FLOATS:
            kind = FLOATS[sample_type]
            return b"".join(
                v if isinstance(v, bytes) else kind(v).tobytes() for frame in zip(*values, strict=True) for v in frame
            )
        size, signed = SIZES[sample_type], SIGNED[sample_type]
        return b"".join(v.to_bytes(size, "little", signed=signed) for frame in zip(*values, strict=True) for v in frame)

    parts = {0: [], 1: [], 2: [], 3: []}
    if flags & 1:
        payload = data[fields.at : -4]
        inside = content(3 if wrapper == 3 else 0, frames, channels, payload)
        assert zlib.crc32(front + payload + inside) == struct.unpack("<I", data[-4:])[0]
        parts[3 if wrapper == 3 else 0].append((0, frames, 0, channels, inside))
    else:
        assert zlib.crc32(front) == fields.u32()
        index = indexed(data, without_model(front, records.get(2, b"")))
        if index is None:
            assert wrapper == 0 and frames == 0
            index = grown(data, fields.at, channels)
        for body, (kind, first, count, first_channel, some, size), check, place in index:
            payload = data[place : place + size]
            mark = body + struct.pack("<I", check)
            mark = b"\xb5SB\n" + bytes([len(mark)]) + mark + struct.pack("<I", zlib.crc32(mark))
            assert data[place - len(mark) : place] == mark
            inside = content(kind, count, some, payload, first)
            assert zlib.crc32(body + payload + inside) == check
            if kind in parts:
                parts[kind].append((first, count, first_channel, some, inside))
    if wrapper == 3:
        return b"".join(part[-1] for part in parts[3])
    size = SIZES[sample_type]
    frames = frames or max((first + count for first, count, *_ in parts[0]), default=0)
    samples = bytearray(frames * channels * size)
    for first, count, first_channel, some, inside in parts[0]:
        for frame in range(count):
            at = ((first + frame) * channels + first_channel) * size
            samples[at : at + some * size] = inside[frame * some * size : (frame + 1) * some * size]
    assert bool(flags & 4) == (7 in records or 8 in records)
    if 7 in records:
        rests = None
        if correction is not None:
            assert hashlib.sha256(data).digest()[:16] in correction[:200]
            rests = decode(correction)
        samples = unbinned(samples, unpack_record(records[7]), channels, size, SIGNED[sample_type], rests)
    head, tail = (b"".join(part[-1] for part in parts[kind]) for kind in (1, 2))
    for number in (3, 4):
        if number in records and wrapper == 2:
            plain = unpack_record(records[number])
            head, tail = (head + plain, tail) if number == 3 else (head, tail + plain)
    if wrapper == 1:
        width = channels * size
        fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, int(rate), int(rate) * width, width, 8 * size)
        head = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVE" + fmt + b"data"
        head += struct.pack("<I", len(samples))
    return head + bytes(samples) + tail


def indexed(data, front):
    """The fields of each block as bytes and as numbers, its check and its place, by the index; None without one."""
    offset, check, magic = struct.unpack("<QI4s", data[-16:])
    index = Fields(data[offset:-16])
    if magic != b"YKPS" or zlib.crc32(index.data) != check or index.take(4) != b"\xb5SI\n":
        return None
    assert index.take(index.varint()) == front
    found = []
    for _ in range(index.varint()):
        start = index.at
        numbers = [index.varint() for _ in range(6)]
        body, check = index.data[start : index.at], index.u32()
        found.append((body, numbers, check, index.varint()))
    return found


def grown(data, at, channels):
    """The same of a file without an index: the blocks that follow each other from the header on, without a last stretch
    of only some channels.
    """
    found = []
    while data[at : at + 4] == b"\xb5SB\n" and at + 9 + data[at + 4] <= len(data):
        end = at + 5 + data[at + 4]
        if zlib.crc32(data[at + 5 : end]) != struct.unpack("<I", data[end : end + 4])[0]:
            break
        block = Fields(data[at + 5 : end])
        numbers = [block.varint() for _ in range(6)]
        if end + 4 + numbers[5] > len(data):
            break
        found.append((data[at + 5 : end - 4], numbers, block.u32(), end + 4))
        at = end + 4 + numbers[5]
    last = [numbers for _, numbers, *_ in found if numbers[1] == found[-1][1][1]]
    return found if sum(numbers[4] for numbers in last) == channels else found[: -len(last) or None]


def without_model(front, record):
    """A header in which the record of an embedded model holds its name only."""
    length = varint(len(record))
    place = front.find(b"\5" + length + record)
    if len(record) <= 4 or place < 0:
        return front
    return front[:place] + b"\5\4" + record[:4] + front[place + 1 + len(length) + len(record) :]


def varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def unbinned(samples, record, channels, size, signed, rests):
    """The samples that bins stand for; with rests, the original ones. All are bytes as in the file."""
    fields, starts, steps, axes = Fields(record), [], [], []
    fields.u8(), fields.varint(), fields.varint()
    for _ in range(fields.varint()):
        starts.append(fields.varint() + (starts[-1] if starts else 0))
        steps.append(fields.varint() + 1)
    for _ in range(channels):
        kind = fields.u8()
        affine = (fields.signed(), fields.varint() + 1, fields.varint() + 1) if kind & 1 else (None, 0, 1024)
        axes.append((*affine, bool(kind & 2)))
    out = bytearray()
    for at in range(0, len(samples), size):
        frame, channel = divmod(at // size, channels)
        offset, between, codes, exact = axes[channel]
        step = 1 if exact else [s for start, s in zip(starts, steps, strict=True) if start <= frame][-1]
        bin_ = int.from_bytes(samples[at : at + size], "little", signed=signed)
        code = bin_ * step + (codes // 2 if signed else 0)
        if rests is not None:
            code += int.from_bytes(rests[at : at + size], "little", signed=signed) - step // 2
        code = min(max(code, 0), codes - 1)
        value = int((65535 * code - 32768 * 1023) / 1023) if offset is None else offset + between * code
        out += value.to_bytes(size, "little", signed=signed)
    return out


def unpack_record(record):
    fields = Fields(record)
    size = fields.varint()
    return unpack_bytes(record[fields.at :], size)


def unpack_bytes(packed, size):
    method, content = packed[0], packed[1:]
    if method == 0:
        return content
    if method == 3:
        fields = Fields(content)
        before = fields.take(fields.varint())
        count = (size - len(before)) // 8
        after, line, width = fields.take((size - len(before)) % 8), read_line(fields), fields.u8()
        off = unpack_bytes(content[fields.at :], count * width) if width else content[fields.at :] * count
        elements = bytearray()
        for place in range(count):
            number = number_on(line, place, np.float64)
            number += int.from_bytes(off[place * width : (place + 1) * width], "little", signed=True)
            elements += struct.pack("<Q", number % 2**64)
        return before + bytes(elements) + after
    inflater = zlib.decompressobj(-15)
    data = inflater.decompress(content)
    assert inflater.eof and not inflater.unused_data and len(data) == size
    whole = size // method
    mixed = bytes(data[byte * whole + element] for element in range(whole) for byte in range(method))
    return mixed + data[whole * method :]


def read_line(fields):
    form, fraction, scale = fields.u8(), 0, 1.0
    assert form <= 2
    if form == 0:
        fraction = fields.varint()
        assert fraction < 2**32
    else:
        (scale,) = struct.unpack("<d", fields.take(8))
    runs, first, step = [], 0, 0
    for index in range(fields.varint() + 1):
        first += fields.varint() + 1 if index else 0
        start, offset = struct.unpack("<q", fields.take(8))[0], 0.0
        if form == 0:
            step += fields.signed()
        else:
            (offset,) = struct.unpack("<d", fields.take(8))
        runs.append((first, start, step, offset))
    return form, fraction, scale, runs


def number_on(line, frame, kind):
    """The number of a frame, modulo 2^64 (2^32 for single precision); kind: of floats, the type."""
    form, fraction, scale, runs = line
    first, start, step, offset = next(run for run in reversed(runs) if run[0] <= frame)
    k = frame - first
    if form == 0:
        return (start + step * k + ((fraction * k + 2**31) >> 32)) % 2**64
    count = (start + k + 2**63) % 2**64 - 2**63
    with np.errstate(all="ignore"):
        value = np.float64(count) * scale if form == 1 else np.float64(count) / scale
        if offset:
            value = value + np.float64(offset)
        return int.from_bytes(kind(value).tobytes(), "little")


def read_calibration(data, others=()):
    """Edges of the only converter, or lists of edges in `converters`; others: the bytes of calibrations it may name."""
    if data[:4] == b"wid\1":
        return read_widths(Fields(data), others)
    text, arrays = read_arrays(data, "spikey calibration 1")
    found = {name: array.tolist() for name, array in arrays.items()}
    found |= {name: text[name] for name in ("offset", "step") if name in text}
    found["converters"] = found["edges"] if arrays["edges"].ndim == 2 else [found["edges"]]
    return found


def read_widths(fields, others):
    """The compact form of a calibration."""
    fields.take(4)
    name = fields.take(fields.varint())
    added = fields.signed() if name else 0
    base = next((read_calibration(c, others) for c in others if name and hashlib.sha256(c).digest()[:4] == name), None)
    assert (base is None) == (not name) and len(name) in (0, 4)
    offset, step, n, converters = fields.signed(), fields.varint(), fields.varint(), fields.varint()
    prior = [fields.signed() for _ in range(fields.varint())]
    firsts = [fields.signed() for _ in range(converters)]
    rows = []
    for _ in range(1 if converters == 1 else converters + 1):
        begin, count = fields.varint(), fields.varint()
        inside = [k - 256 if k > 127 else k for k in fields.take(count)]
        rows.append([0] * begin + inside + [0] * (n - begin - count))
    assert fields.at == len(fields.data)
    common = [64] * n
    if base is not None:
        assert base["step"] == step and (offset - added - base["offset"]) % step == 0
        assert len(base["converters"]) == 1
        for c in range(n):
            at = (offset - added - base["offset"]) // step + c
            if 0 <= at < len(base["edges"]) - 1:
                common[c] = base["edges"][at + 1] - base["edges"][at]
    common = changed(common, rows[0])
    tables = [common] if converters == 1 else [changed(common, row) for row in rows[1:]]
    edges = [list(itertools.accumulate(table, initial=first)) for first, table in zip(firsts, tables, strict=True)]
    grid = {"offset": offset, "step": step} if step else {}
    return {"edges": edges[0], "converters": edges, "prior": prior} | grid


def changed(widths, differences):
    """Widths that differ by eighths of an octave."""
    factors = [round(2.0 ** (16 + k / 8)) for k in differences]
    new = [clamp((w * factor + 2**15) >> 16, 1, 2**12) for w, factor in zip(widths, factors, strict=True)]
    return [w if k == 0 else v for w, v, k in zip(widths, new, differences, strict=True)]


def read_model(data):
    text, arrays = read_arrays(data, "spikey model 1")
    built = text["architecture"]
    assert set(built) == {"type", "alone", "lags", "hidden", "layers", "delta"}
    inputs = built["lags"] if built["alone"] else 7 + 2 * built["lags"]
    lstm, hidden, below = built["type"] == "lstm", built["hidden"], inputs
    rows, own = (4 * hidden, hidden) if lstm else (hidden, 0)
    shapes = {}
    for layer in range(built["layers"]):
        shapes |= {f"layer{layer}.weight": (rows, below + own), f"layer{layer}.bias": (rows,)}
        below = hidden
    shapes |= {"head.weight": (2, inputs + hidden), "head.bias": (2,)}
    assert {name: array.shape for name, array in arrays.items()} == shapes
    for name, array in arrays.items():
        if name.endswith("weight"):
            outside = array.shape[1] if not lstm else inputs if name in ("layer0.weight", "head.weight") else 0
            reach = np.where(np.arange(array.shape[1]) < outside, 1024, 256)
            assert ((abs(array) * reach).sum(axis=1) + abs(arrays[name.replace("weight", "bias")]) < 2**24).all()
    return built, arrays


def read_arrays(data, kind):
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.loads(header.pop("__metadata__")["spikey"])
    assert text["format"] == kind
    arrays = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype = {"I32": "<i4", "I16": "<i2"}[entry["dtype"]]
        arrays[name] = np.frombuffer(data[8 + length :][start:end], dtype).reshape(entry["shape"]).astype(np.int64)
    return text, arrays


# ---------------------------------------------------------------- a payload


def decode_payload(payload, frames, count, tables, model, sample_type, beside=()):
    if payload[0] & 15 == 7:
        from kit.reference_wide import decode_wide

        return decode_wide(payload, frames, count, tables, sample_type)
    if payload[0] & 15 == 8:
        from kit.reference_interpolated import decode_interpolated

        return decode_interpolated(payload, frames, count, tables, sample_type)
    if payload[0] & 15 == 9:
        from kit.reference_refined import decode_refined

        return decode_refined(payload, frames, count, tables, sample_type)
    fields = Fields(payload)
    method, second = fields.u8(), fields.u8()
    predictor, delta = method & 15, bool(method & 64)
    assert not method & 0b10110000
    known, lanes = (second, 1) if predictor in ARCHIVES else (0, second)
    assert known in (0, len(beside))
    channels = []
    for _ in range(known + count):
        flags = fields.u8()
        channel = read_levels(flags & 7, fields, sample_type)
        channel["calibrated"], channel["start"] = bool(flags & 8), fields.u8()
        channel["references"] = [fields.varint() for _ in range(fields.u8())] if flags & 16 else []
        channels.append(channel)
    if predictor == 4:
        assert lanes == 1 and delta == model[0]["delta"] and not any(channel["references"] for channel in channels)
    streams_of_all = count if predictor == 4 else lanes
    sizes = [fields.varint() for _ in range(streams_of_all - 1)]
    lows = [fields.take((frames * channel["bits"] + 7) // 8) for channel in channels]
    streams = [fields.take(size) for size in sizes]
    streams.append(payload[fields.at :])
    state = [RangeDecoder(stream) for stream in streams]
    referred = {r for channel in channels for r in channel["references"]}
    residuals, values = {}, []
    for index, channel in enumerate(channels):
        codes, residuals[index] = [0] * frames, [0] * frames
        if index < known:
            assert channel["bits"] == 0 and not channel["references"]
            codes = codes_of(beside[index], channel)
            if channel["codes"] > 1:
                used = tables if channel["calibrated"] else None
                whiten(codes, residuals[index], channel, delta, used)
            continue
        if channel["codes"] > 1:
            crossing = index in referred or channel["references"]
            others = [residuals[r] for r in channel["references"]] if crossing else None
            coders = [state[index]] if predictor == 4 else state
            run(coders, codes, residuals[index], others, channel, predictor, delta, lanes, tables, model)
        values.append(values_of(channel, codes, lows[index], sample_type))
    return values


def values_of(channel, codes, low_bits, sample_type):
    """The values of a channel's codes, and of its low bits in bytes."""
    bits, packed = channel["bits"], int.from_bytes(low_bits, "little")
    low = [packed >> (frame * bits) & (1 << bits) - 1 for frame in range(len(codes))]
    values = [channel["value"](c, extra, t) for t, (c, extra) in enumerate(zip(codes, low, strict=True))]
    for frame, patch in channel.get("patches", {}).items():
        values[frame] = patch.to_bytes(8, "little")[: SIZES[sample_type]]
    return values


def codes_of(samples, channel):
    by_value = {channel["value"](c, 0): c for c in range(channel["codes"])}
    return [by_value[sample] for sample in samples]


def read_levels(kind, fields, sample_type):
    if kind == 0:

        def n1(c, *_):
            v = 65535 * c - 32768 * 1023
            return v // 1023 if v >= 0 else -(-v // 1023)

        return {"codes": 1024, "bits": 0, "value": n1}
    if kind == 1:
        offset, step, top, bits = fields.signed(), fields.varint() + 1, fields.varint(), fields.varint()
        return {
            "codes": (top >> bits) + 1,
            "bits": bits,
            "offset": offset,
            "step": step,
            "value": lambda c, low, *_: offset + step * ((c << bits) + low),
        }
    if kind == 3:
        form, gain = fields.u8(), struct.unpack("<d", fields.take(8))[0]
        offset = struct.unpack("<d", fields.take(8))[0] if form & 2 else None
        patches, end = {}, 0
        for _ in range(fields.varint() if form & 4 else 0):
            first = end + fields.varint()
            end = first + fields.varint() + 1
            patches |= dict.fromkeys(range(first, end), struct.unpack("<Q", fields.take(8))[0])
        inner = read_levels(fields.u8(), fields, None)
        rounded = np.float32 if form & 1 else np.float64

        def value(c, low, *frame):
            product = rounded(inner["value"](c, low, *frame)) * rounded(gain)
            return product if offset is None else product + rounded(offset)

        return inner | {"value": value, "patches": patches}
    if kind == 4:
        line, off = read_line(fields), read_levels(1, fields, None)
        assert line[0] == 0 or sample_type in FLOATS

        def advancing(c, low, frame):
            number = number_on(line, frame, FLOATS.get(sample_type)) + off["value"](c, low)
            bits = 64 if sample_type is None else 8 * SIZES[sample_type]
            number %= 2**bits
            if sample_type in FLOATS:
                return number.to_bytes(bits // 8, "little")
            signed = sample_type is None or SIGNED[sample_type]
            return number - 2**bits if signed and number >> (bits - 1) else number

        return off | {"value": advancing}
    if kind == 5:
        denominator = fields.varint() + 1
        numerator, codes = fields.varint() + denominator, fields.varint() + 1
        zero, phase, offset = fields.varint(), fields.varint(), fields.signed()

        def rescaled(c, *_):
            product = numerator * (c - zero) + phase
            return offset + (product // denominator if product >= 0 else -(-product // denominator))

        return {"codes": codes, "bits": 0, "value": rescaled}
    table = [fields.signed()]
    for _ in range(fields.varint()):
        table.append(table[-1] + fields.varint() + 1)
    return {"codes": len(table), "bits": 0, "value": lambda c, *_: table[c]}


def step(s):
    return (s - SMIN) >> 11


def stated(start):
    return min(SMIN + (start << 13), SMAX)


def opening(codes):
    return clamp((codes.bit_length() + 3) << 16, SMIN, SMAX)


def standard(d, r):
    return clamp((d * r) >> 16, -(2**19), 2**19 - 1)


def cumulative(table, z):
    o = z + 2**19
    k = o >> 9
    return table[k] + (((table[k + 1] - table[k]) * (o & 511)) >> 9)


def scaled(m):
    return [(c * (2**24 - m)) >> 24 for c in C]


def updated(s, row, z):
    return clamp(s + U[row][min(abs(z) >> 11, 96)], SMIN, SMAX)


def run(coder, codes, residual, others, channel, kind, delta, lanes, tables, model):
    frames, n, start_scale = len(codes), channel["codes"], channel["start"]
    steps = -(-frames // lanes)
    used = tables if channel["calibrated"] else None
    prior = used["prior"] if used else None
    scale = Scale(lanes, n, start_scale)
    if kind == 1:
        predictor = Linear(20, lanes, steps, n, delta, prior, start_scale)
    elif kind == 3:
        predictor = scale = Balanced(lanes, steps, n, delta, prior, start_scale)
    elif kind == 4:
        predictor = scale = Learned(model, steps, n, prior, start_scale)
    else:
        predictor = scale = Archive(ARCHIVES[kind], steps, n, delta, prior, start_scale, residual, others)
    if others is not None and kind not in ARCHIVES:
        predictor = Crossed(predictor, residual, others, lanes, steps)
    density = Wide(n) if n > 4096 else Narrow(n, used)
    if kind in ARCHIVES and n <= 4096:
        density = Mixed(n, used)
    loop(coder, codes, predictor, scale, density, lanes)


def whiten(codes, residual, channel, delta, used):
    """Residuals of a companion, whose codes are known."""
    frames, n, start = len(codes), channel["codes"], channel["start"]
    base = Linear(32, 1, frames, n, delta, used["prior"] if used else None, start)
    density = Wide(n) if n > 4096 else Narrow(n, used)
    loop([Known(codes)], codes, Crossed(base, residual, [], 1, frames), Scale(1, n, start), density, 1)


def loop(coder, codes, predictor, scale, density, lanes):
    frames = len(codes)
    steps = -(-frames // lanes)
    whole = 256 // lanes
    length, start = min(max(32 // lanes, 1), whole), 0
    while start < steps:
        end = min(start + length, steps)
        for t in range(start, end):
            for lane in range(lanes):
                if lane * steps + t < frames:
                    location = predictor.predict(lane, t)
                    k = step(scale.scale(lane, t))
                    code = codes[lane * steps + t] = coder[lane].code_symbol(density, location, k)
                    p = density.position(code)
                    scale.update_scale(lane, t, p - location, R[k])
                    predictor.update(lane, t, p, location, R[k])
        predictor.refit(start, end, length == whole)
        start, length = end, min(2 * length, whole)


class Scale:
    def __init__(self, lanes, codes, start):
        self.value, self.opening = [stated(start)] * lanes, opening(codes)

    def scale(self, lane, t):
        return self.value[lane] if t > 0 else self.opening

    def update_scale(self, lane, t, d, r):
        if t > 0:
            self.value[lane] = updated(self.value[lane], 2, standard(d, r))


# ---------------------------------------------------------------- predictors


class Linear:
    def __init__(self, order, lanes, steps, codes, delta, prior, start):
        self.order, self.delta, self.middle = order, delta, 32 * codes
        self.shift = 2 * max(codes.bit_length() - 10, 0)
        self.signal = [[0] * (order + steps) for _ in range(lanes)]
        self.last = [self.middle] * lanes
        self.r = [0] * (order + 1)
        if prior is not None and delta:
            s = min(S[step(stated(start))] >> 6, 64 * codes)
            for k in range(min(order + 1, len(prior))):
                self.r[k] = (prior[k] * 1000 * s * s) >> (16 + self.shift)
        self.weights = solve(self.r)

    def predict(self, lane, t):
        past = self.signal[lane][t : t + self.order]
        total = sum(w * x for w, x in zip(self.weights, past, strict=True))
        return clamp(self.last[lane] + ((32768 + total) >> 16), -(2**28), 2**28)

    def update(self, lane, t, p, location, r):
        if self.delta:
            self.signal[lane][self.order + t] = p - self.last[lane] if t > 0 else 0
            self.last[lane] = p
        else:
            self.signal[lane][self.order + t] = p - self.middle

    def refit(self, start, end, full):
        if full:
            self.r = [r - ((r * 13) >> 10) for r in self.r]
        for signal in self.signal:
            for k in range(self.order + 1):
                places = range(self.order + start, self.order + end)
                self.r[k] += sum(signal[t] * signal[t - k] for t in places) >> self.shift
        self.weights = solve(self.r)


def solve(r):
    order = len(r) - 1
    power = r[0] + (r[0] >> 13) + 1
    down = up = 0
    while power >> down >= 2**30:
        down += 1
    while power << up < 2**29:
        up += 1
    largest = (power >> down) << up
    a = [largest] + [clamp((x >> down) << up, -largest, largest) for x in r[1:]]
    x, error = [0] * order, a[0]
    for i in range(order):
        gain = ((a[i + 1] << 24) - sum(x[j] * a[i - j] for j in range(i))) // error
        if error < 256 or abs(gain) >= 2**24:
            break
        y = [x[j] - ((gain * x[i - 1 - j]) >> 24) for j in range(i)]
        if max([abs(gain), *map(abs, y)]) > 2**27:
            break
        x[: i + 1] = [*y, gain]
        error -= (((error * gain) >> 24) * gain) >> 24
    return [(v + 128) >> 8 for v in reversed(x)]


class Lms:
    def __init__(self, lanes, steps, codes, delta, prior, start):
        weights = [256 * w for w in Linear(16, 1, 0, codes, delta, prior, start).weights]
        if not delta:
            weights[-1] = 2**24
        self.delta, self.weights = delta, [weights.copy() for _ in range(lanes)]
        self.signal = [[0] * (16 + steps) for _ in range(lanes)]
        self.last, self.power, self.level = [32 * codes] * lanes, [0] * lanes, [16] * lanes

    def predict(self, lane, t):
        past = self.signal[lane][t : t + 16]
        total = sum(w * x for w, x in zip(self.weights[lane], past, strict=True))
        return clamp(self.last[lane] + ((2**23 + total) >> 24), -(2**28), 2**28)

    def update(self, lane, t, p, location, r):
        v = p - self.last[lane]
        if self.delta:
            self.last[lane] = p
            v = v if t > 0 else 0
        error = p - location
        if abs(error) * r > 3 * 2**32:
            error = (3 * 2**32) // r * (1 if error > 0 else -1)
        shift, past = self.level[lane] - 16, self.signal[lane][t : t + 16]
        half = 2**shift >> 1
        self.weights[lane] = [
            clamp(w + ((error * x + half) >> shift), 1 - 2**27, 2**27 - 1)
            for w, x in zip(self.weights[lane], past, strict=True)
        ]
        power = self.power[lane] + v * v - past[0] ** 2
        level = self.level[lane]
        while power >> level > 0:
            level += 1
        while level > 16 and power >> (level - 1) == 0:
            level -= 1
        self.power[lane], self.level[lane], self.signal[lane][16 + t] = power, level, v

    def refit(self, start, end, full):
        pass


class Balanced:
    rows = (4, 0, 1, 2, 3)

    def __init__(self, lanes, steps, codes, delta, prior, start):
        self.linear = Linear(32, lanes, steps, codes, delta, prior, start)
        self.values, self.errors = [[stated(start)] * 5 for _ in range(lanes)], [[0] * 8 for _ in range(lanes)]
        self.opening, self.middle, self.refined = opening(codes), 32 * codes, [0] * lanes

    def predict(self, lane, t):
        linear = self.linear.predict(lane, t)
        if t == 0:
            self.refined[lane] = self.opening
            return linear
        values = self.values[lane]
        mixed = (4 * values[1] + 17 * values[2] + 26 * values[3] + 17 * values[4]) >> 6
        j = step(clamp(mixed, SMIN, SMAX))

        def rel(d):
            return clamp((d * R[j]) >> 24, -1024, 1024)

        signal = self.linear.signal[lane]
        x = [clamp((v - mixed) >> 7, -1024, 1024) for v in values]
        x += [rel(linear - self.linear.last[lane]), rel((linear - self.middle) >> 3)]
        x += [rel(e) for e in self.errors[lane]]
        x += [rel(signal[32 + t - 1 - i] >> 1) for i in range(8)]
        x += [0] * 9
        first, bias, second, direct = (NETWORK[name] for name in ("first", "bias", "second", "direct"))
        octaves = sum(v * direct[0][i] + abs(v) * direct[1][i] for i, v in enumerate(x)) + bias[32] << 2
        share = sum(v * direct[2][i] + abs(v) * direct[3][i] for i, v in enumerate(x)) + bias[33] << 2
        for h in range(32):
            unit = min(max(bias[h] + sum(v * w for v, w in zip(x, first[h], strict=True)), 0) >> 10, 32767)
            octaves += unit * second[0][h]
            share += unit * second[1][h]
        octaves, share = clamp(octaves >> 6, -65536, 65536), clamp(share >> 6, -65536, 65536)
        self.refined[lane] = clamp(mixed + octaves, SMIN, SMAX)
        return clamp(linear + ((share * S[j]) >> 22), -(2**28), 2**28)

    def update(self, lane, t, p, location, r):
        self.linear.update(lane, t, p, location, r)

    def refit(self, start, end, full):
        self.linear.refit(start, end, full)

    def scale(self, lane, t):
        return self.refined[lane]

    def update_scale(self, lane, t, d, r):
        if t > 0:
            values = self.values[lane]
            self.values[lane] = [
                updated(v, row, standard(d, R[step(v)])) for v, row in zip(values, self.rows, strict=True)
            ]
            self.errors[lane] = [d, *self.errors[lane][:7]]


class Learned:
    rows = (4, 0, 1, 2, 3)

    def __init__(self, model, steps, codes, prior, start):
        built, arrays = model
        self.alone, self.delta, lags = built["alone"], built["delta"], built["lags"]
        self.base = None if self.alone else Linear(32, 1, steps, codes, self.delta, prior, start)
        self.network = (Lstm if built["type"] == "lstm" else Dense)(arrays, built["layers"])
        self.last = self.middle = 32 * codes
        self.values, self.errors, self.changes = [stated(start)] * 5, [0] * lags, [0] * lags
        self.opening = opening(codes)
        self.share = 0

    def predict(self, lane, t):
        self.location = base = self.last if self.alone else self.base.predict(0, t)
        if t == 0:
            self.refined = self.opening
            return base
        mixed = (4 * self.values[1] + 17 * self.values[2] + 26 * self.values[3] + 17 * self.values[4]) >> 6
        j = step(mixed)

        def rel(d):
            return clamp((d * R[j]) >> 24, -1024, 1024)

        changes = [rel(change >> 1) for change in self.changes]
        if self.alone:
            inputs = changes
        else:
            inputs = [clamp((v - mixed) >> 7, -1024, 1024) for v in self.values]
            inputs += [rel(base - self.last), rel((base - self.middle) >> 3)]
            inputs += [rel(error) for error in self.errors] + changes
        octaves, self.share = self.network(inputs)
        self.refined = clamp(mixed + octaves, SMIN, SMAX)
        return clamp(base + ((self.share * S[j]) >> 22), -(2**28), 2**28)

    def update(self, lane, t, p, location, r):
        change = p - self.last
        if self.delta:
            change, self.last = change if t > 0 else 0, p
        if not self.alone:
            self.base.update(0, t, p, self.location, r)
        self.changes = [change, *self.changes[:-1]]
        if t > 0:
            d = p - self.location
            self.values = [
                updated(v, row, standard(d, R[step(v)])) for v, row in zip(self.values, self.rows, strict=True)
            ]
            self.errors = [d, *self.errors[:-1]]

    def refit(self, start, end, full):
        if not self.alone:
            self.base.refit(start, end, full)

    def scale(self, lane, t):
        return self.refined

    def update_scale(self, lane, t, d, r):
        pass


class Network:
    """Called with the inputs of a step, it gives octaves and share; `arrays` are int64."""

    def __init__(self, arrays, layers):
        self.arrays, self.layers = arrays, layers

    def sums(self, name, values):
        total = self.arrays[f"{name}.weight"] @ values + self.arrays[f"{name}.bias"]
        assert (abs(total) < 2**24).all()
        return total

    def __call__(self, inputs):
        x = np.array(inputs, dtype=np.int64)
        return np.clip(self.sums("head", np.concatenate([x, self.units(x)])) >> 1, -(2**18), 2**18).tolist()


class Dense(Network):
    def units(self, x):
        for layer in range(self.layers):
            x = np.clip((self.sums(f"layer{layer}", x) + 256) >> 9, 0, 1024)
        return x


class Lstm(Network):
    def __init__(self, arrays, layers):
        super().__init__(arrays, layers)
        self.own, self.cells = np.zeros((2, layers, len(arrays["layer0.bias"]) // 4), dtype=np.int64)

    def units(self, x):
        def at(table, v):
            return table[np.clip(v + 2048, 0, 4095)]

        for layer in range(self.layers):
            i, f, g, o = np.split(self.sums(f"layer{layer}", np.concatenate([x, self.own[layer]])), 4)
            c = (at(L, f >> 9) * self.cells[layer] + ((at(L, i >> 9) * at(H, g >> 9)) << 2) + 8192) >> 14
            self.cells[layer] = c = np.clip(c, -(2**20), 2**20)
            self.own[layer] = x = (at(L, o >> 9) * at(H, c >> 8) + 2**19) >> 20
        return x


class Crossed:
    def __init__(self, base, residual, others, lanes, steps):
        self.base, self.residual, self.others, self.steps, self.lanes = base, residual, others, steps, lanes
        self.after = Linear(16, lanes, steps, 0, False, None, 0)
        self.after.shift = 8
        self.gains = [[0] * 7 for _ in others]
        self.products = [[0] * 7 for _ in others]
        self.power, self.weight = [0] * len(others), 0
        self.correction = [[0] * steps for _ in range(lanes)]
        self.location = [0] * lanes

    def predict(self, lane, t):
        self.location[lane] = base = self.base.predict(lane, t)
        return clamp(base + self.correction[lane][t] + self.after.predict(lane, t), -(2**28), 2**28)

    def update(self, lane, t, p, location, r):
        base = self.location[lane]
        self.base.update(lane, t, p, base, r)
        left = p - base - self.correction[lane][t] if t > 0 else 0
        final = p - location if t > 0 else 0
        self.after.update(lane, t, clamp(left, -(2**26), 2**26), 0, r)
        self.residual[lane * self.steps + t] = clamp(final, -(2**26), 2**26)

    def other(self, j, frame):
        return self.others[j][frame] if 0 <= frame < len(self.others[j]) else 0

    def refit(self, start, end, full):
        self.base.refit(start, end, full)
        self.after.refit(start, end, full)
        frames = len(self.residual)
        if full:
            self.weight -= (self.weight * 13) >> 10
            self.power = [q - ((q * 13) >> 10) for q in self.power]
            self.products = [[q - ((q * 13) >> 10) for q in row] for row in self.products]
        for lane in range(self.lanes):
            times = [t for t in range(start, end) if lane * self.steps + t < frames]
            self.weight += len(times)
            now = {t: self.after.signal[lane][16 + t] + self.correction[lane][t] for t in times}
            for j in range(len(self.others)):
                at = lane * self.steps
                for i in range(7):
                    self.products[j][i] += sum(now[t] * self.other(j, at + t - 3 + i) for t in times) >> 8
                self.power[j] += sum(self.other(j, at + t) ** 2 for t in times) >> 8
        for j in range(len(self.others)):
            q = self.power[j] + self.power[j] // max(self.weight, 1) * 128
            for i in range(7):
                down, product = 0, self.products[j][i]
                while max(q, abs(product)) >> down >= 2**46:
                    down += 1
                gain = ((product >> down) << 16) // ((q >> down) + 1)
                self.gains[j][i] = clamp(gain, -131072, 131072)
        for lane in range(self.lanes):
            for t in range(end, min(end + 256, self.steps)):
                terms = ((j, i) for j in range(len(self.others)) for i in range(7))
                total = sum(self.gains[j][i] * self.other(j, lane * self.steps + t - 3 + i) for j, i in terms)
                self.correction[lane][t] = clamp((32768 + total) >> 16, -(2**26), 2**26)


class Archive:
    def __init__(self, name, steps, codes, delta, prior, start, residual, others):
        built, arrays = archive_network(name)
        self.inner = Learned(({**built, "delta": delta}, arrays), steps, codes, prior, start)
        self.linear = self.inner.base
        if others is not None:
            self.inner.base = Crossed(self.linear, residual, others, 1, steps)
        self.others, self.delta = others or [], delta
        self.short, self.long = (Linear(order, 1, steps, codes, delta, prior, start) for order in (16, 64))
        self.quick = Lms(1, steps, codes, delta, prior, start)
        self.errors, self.changes, self.x = [0] * 8, [0] * 8, None
        mean, precision, self.pairs = archive_prior(name)
        self.regression = Regression(mean, precision, 25 * len(self.others))

    def predict(self, lane, t):
        self.inside = inside = self.inner.predict(0, t)
        a, b, self.c = self.short.predict(0, t), self.long.predict(0, t), self.quick.predict(0, t)
        if t == 0:
            return inside
        k = step(self.inner.scale(0, t))
        r = R[k]

        def small(d):
            return clamp(d, -2047, 2047)

        def rel(d):
            return clamp((d * r) >> 24, -1024, 1024)

        alone = self.inner.location if self.inner.base is self.linear else self.inner.base.location[0]
        units = self.inner.network.own[-1].tolist()
        x = [small(unit) for unit in units] + [small(self.inner.share >> 8), 64]
        x += [rel(d) for d in self.errors] + [rel(d) for d in self.changes]
        x += [small(((other - alone) * r) >> 21) for other in (a, b, self.c)]
        x += [small((units[i] * units[j]) >> 7) for i, j in self.pairs]
        for other in self.others:
            x += [rel(other[f]) if 0 <= f < len(other) else 0 for f in range(t + 8, t - 17, -1)]
        self.x = x
        told = sum(w * v for w, v in zip(self.regression.weights, x, strict=True))
        return clamp(inside + ((clamp(told >> 8, -131072, 131072) * S[k]) >> 22), -(2**28), 2**28)

    def update(self, lane, t, p, location, r):
        change = p - self.inner.last
        if self.delta and t == 0:
            change = 0
        self.inner.update(0, t, p, self.inside, r)
        self.short.update(0, t, p, location, r)
        self.long.update(0, t, p, location, r)
        self.quick.update(0, t, p, self.c, r)
        self.changes = [change, *self.changes[:-1]]
        if t > 0:
            d = p - self.inside
            self.errors = [d, *self.errors[:-1]]
            self.regression.samples.append((self.x, clamp((d * r) >> 24, -768, 768)))

    def refit(self, start, end, full):
        for part in (self.inner, self.short, self.long, self.regression):
            part.refit(start, end, full)

    def scale(self, lane, t):
        return self.inner.scale(0, t)

    def update_scale(self, lane, t, d, r):
        pass


@functools.cache
def archive_network(name):
    return read_model((TABLES.parent / "models" / f"{name[0]}.safetensors").read_bytes())


@functools.cache
def archive_prior(name):
    with np.load(TABLES / f"{name[1]}.npz") as arrays:
        mean, lower, pairs = (arrays[key].tolist() for key in ("mean", "precision", "pairs"))
    rows = [lower[i * (i + 1) // 2 :][: i + 1] for i in range(len(mean))]
    return mean, [[rows[max(i, j)][min(i, j)] for j in range(len(mean))] for i in range(len(mean))], pairs


class Regression:
    def __init__(self, mean, precision, more):
        own = len(mean)
        self.n = n = own + more
        mean = mean + [0.0] * more
        precision = [row + [0.0] * more for row in precision]
        precision += [[400.0 if i == j else 0.0 for j in range(n)] for i in range(own, n)]
        self.gram, self.moment = [[0.0] * n for _ in range(n)], [0.0] * n
        self.pull = [0.0] * n
        for i in range(n):
            for j in range(n):
                self.pull[i] = self.pull[i] + precision[i][j] * mean[j]
        self.precision = [[value * 65536 for value in row] for row in precision]
        self.pull = [value * 65536 for value in self.pull]
        self.samples, self.segments = [], 0
        self.solve()

    def refit(self, start, end, full):
        kept = 1 - 1 / 512 if full else 1
        if self.samples:
            x, target = (np.array(part, dtype=np.int64) for part in zip(*self.samples, strict=True))
            products, moments = (x.T @ x).tolist(), (target @ x).tolist()
        else:
            products, moments = [[0] * self.n for _ in range(self.n)], [0] * self.n
        for i in range(self.n):
            for j in range(i + 1):
                self.gram[i][j] = self.gram[i][j] * kept + float(products[i][j])
            self.moment[i] = self.moment[i] * kept + float(moments[i])
        self.samples = []
        self.segments += full
        if self.segments <= 16 or self.segments % 4 == 0:
            self.solve()

    def solve(self):
        n = self.n
        w = [[self.gram[i][j] + self.precision[i][j] for j in range(i + 1)] for i in range(n)]
        y = [self.moment[i] + self.pull[i] for i in range(n)]
        for k in range(n):
            w[k][k] = math.sqrt(max(w[k][k], 1.0))
            for i in range(k + 1, n):
                w[i][k] = w[i][k] / w[k][k]
            for i in range(k + 1, n):
                row, factor = w[i], w[i][k]
                for j in range(k + 1, i + 1):
                    row[j] = row[j] - factor * w[j][k]
            y[k] = y[k] / w[k][k]
            for i in range(k + 1, n):
                y[i] = y[i] - w[i][k] * y[k]
        for k in reversed(range(n)):
            y[k] = y[k] / w[k][k]
            for i in range(k):
                y[i] = y[i] - w[k][i] * y[k]
        self.weights = [math.trunc(clamp(value * 65536, -(2**20), 2**20)) for value in y]


# ---------------------------------------------------------------- densities and coders


class Narrow:
    def __init__(self, n, used):
        self.n, self.table = n, scaled(n)
        own = used["edges"] if used else [64 * c - 32 for c in range(n + 1)]
        self.middles = [(low + high) >> 1 for low, high in pairwise(own)]
        self.edges = [-(2**30), *own[1:-1], 2**30]

    def position(self, code):
        return self.middles[code]

    def below(self, c, location, r):
        return cumulative(self.table, standard(self.edges[c] - location, r)) + c

    def decode(self, coder, location, k):
        target = coder.target()
        code = bisect.bisect_right(range(self.n), target, key=lambda c: self.below(c, location, R[k])) - 1
        low = self.below(code, location, R[k])
        coder.take(low, self.below(code + 1, location, R[k]) - low)
        return code


class Mixed(Narrow):
    offsets = (-10, -1, 6, 19, 42)

    def __init__(self, n, used):
        super().__init__(n, used)
        self.table = [(value * (2**24 - n)) >> 24 for value in N]
        self.shares = [1174405, 11408509, 3774873, 385875, 33554]

    def parts(self, c, location, k):
        d = self.edges[c] - location
        return [cumulative(self.table, standard(d, R[clamp(k + offset, 0, 767)])) for offset in self.offsets]

    def counts(self, c, location, k):
        return (sum(s * part for s, part in zip(self.shares, self.parts(c, location, k), strict=True)) >> 24) + c

    def decode(self, coder, location, k):
        target = coder.target()
        code = bisect.bisect_right(range(self.n), target, key=lambda c: self.counts(c, location, k)) - 1
        low = self.counts(code, location, k)
        coder.take(low, self.counts(code + 1, location, k) - low)
        lows, highs = self.parts(code, location, k), self.parts(code + 1, location, k)
        own = [high - low for low, high in zip(lows, highs, strict=True)]
        evidence = sum(s * counts for s, counts in zip(self.shares, own, strict=True))
        if evidence >= 2**24:
            evidence >>= 10
            for q in (0, 2, 3, 4):
                share = self.shares[q]
                explained = ((share * own[q]) << 14) // evidence
                self.shares[q] = max(share + ((explained - share - (share >> 8)) >> 8), 1024)
            self.shares[1] = 2**24 - sum(self.shares[:1] + self.shares[2:])
        return code


class Known:
    def __init__(self, codes):
        self.codes = iter(codes)

    def code_symbol(self, density, location, k):
        return next(self.codes)


class Wide:
    def __init__(self, n):
        self.n, self.table = n, scaled(4096 + 256)

    def position(self, code):
        return 64 * code

    def decode(self, coder, location, k):
        shift = clamp((k >> 5) - 11, 0, 10)
        coarse = ((self.n - 1) >> shift) + 1
        first = clamp((((location + 32) >> 6) >> shift) - 2048, 0, max(coarse - 4096, 0))

        def below(i):
            if i <= 0 or i >= 4096:
                return 0 if i <= 0 else 2**24 - 256
            edge = (((first + i) << shift) << 6) - 32
            return cumulative(self.table, standard(edge - location, R[k])) + i

        target = coder.target()
        if target >= 2**24 - 256:
            coder.take(2**24 - 256, 256)
            code = coder.target() >> 4
            coder.take(code << 4, 16)
            return code
        low, high = 0, 4095
        while low < high:
            half = (low + high + 1) // 2
            low, high = (half, high) if below(half) <= target else (low, half - 1)
        coder.take(below(low), below(low + 1) - below(low))
        code = (first + low) << shift
        if shift > 0:
            extra = coder.target() >> (24 - shift)
            coder.take(extra << (24 - shift), 1 << (24 - shift))
            code += extra
        return code


class RangeDecoder:
    def __init__(self, stream):
        self.stream, self.at, self.width = stream + bytes(20), 7, 2**56
        self.value = int.from_bytes(self.stream[:7], "big")

    def target(self):
        return min(self.value // (self.width >> 24), 2**24 - 1)

    def take(self, low, counts):
        unit = self.width >> 24
        self.value -= unit * low
        self.width = unit * counts
        while self.width < 2**40:
            self.value = (self.value << 16) + int.from_bytes((self.stream[self.at : self.at + 2] + b"\0\0")[:2], "big")
            self.width <<= 16
            self.at += 2

    def code_symbol(self, density, location, k):
        return density.decode(self, location, k)
