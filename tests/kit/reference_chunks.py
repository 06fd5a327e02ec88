"""A decoder of chunks written from docs/plugins.md alone, in plain Python, slow, on top of that of payloads."""

from __future__ import annotations

import hashlib
import math
import struct
import zlib

import numpy as np

from kit.reference import Fields, decode_payload, read_calibration, read_model, unpack_bytes

SAMPLE_TYPES = {"i1": 0, "u1": 1, "i2": 2, "u2": 3, "i4": 5, "u4": 6}


def decode(data, calibrations=(), models=()):
    """The array of a chunk. calibrations, models: the bytes of those that are not in it."""
    fields = Fields(data)
    assert fields.take(3) == b"\xb5SC" and fields.u8() == 2
    flags = fields.u8()
    assert flags < 64 and (not flags & 2 or flags < 4)
    text = fields.take(fields.u8()).decode("ascii")
    shape = [fields.varint() for _ in range(fields.u8())]
    order = "F" if flags & 1 else "C"
    if flags & 2:
        checked(fields)
        elements = plain(data[fields.at :], np.dtype(text).itemsize, math.prod(shape))
        return np.frombuffer(elements, text).reshape(shape, order=order)
    tables = model = None
    full, sizes = None, None
    if flags & 4:
        name = fields.take(4)
        if flags & 8:
            size, packed = fields.varint(), fields.take(fields.varint())
            calibrations = [unpack_bytes(packed, size)]
            assert len(calibrations[0]) == size
        tables = read_calibration(named(name, calibrations))
    if flags & 16:
        model = read_model(named(fields.take(4), models))
    frames, *others = shape
    while frames == 1 and others:
        frames, *others = others
    channels = math.prod(others)
    if flags & 32:
        full = fields.varint(), fields.varint()
        count = math.ceil(frames / full[0]) * math.ceil(channels / full[1])
        sizes = [fields.varint() for _ in range(count)]
    check = checked(fields)
    full, sizes = full or (frames, channels), sizes or [len(data) - fields.at - 4]
    kind = SAMPLE_TYPES[text[1:]]
    samples = np.zeros((frames, channels), text.replace(">", "<"))
    number = 0
    for first in range(0, frames, full[0]):
        for channel in range(0, channels, full[1]):
            part = samples[first : first + full[0], channel : channel + full[1]]
            payload = fields.take(sizes[number])
            if payload[0] == 0:
                part[:] = np.frombuffer(payload[1:], samples.dtype).reshape(part.shape)
            else:
                values = decode_payload(payload, *part.shape, tables, model, kind)
                part[:] = np.array(values, np.int64).T.astype(samples.dtype)
            assert fields.u32() == zlib.crc32(part.tobytes() + payload + struct.pack("<II", number, check))
            number += 1
    assert fields.at == len(data)
    return samples.astype(text).reshape(shape, order=order)


def checked(fields):
    """The checksum of the head, which ends here."""
    wanted = zlib.crc32(fields.data[: fields.at])
    assert fields.u32() == wanted
    return wanted


def named(name, files):
    """The one of these files that has the id `name`."""
    return next(each for each in files if hashlib.sha256(each).digest()[:4] == name)


def plain(body, size, number):
    """The bytes of elements in memory order."""
    method, content = body[0], body[1:-4]
    if method == 1:
        grouped = zlib.decompress(content)
        count = len(grouped) // size
        content = bytes(grouped[place * count + element] for element in range(count) for place in range(size))
    if method == 2:
        fields, content = Fields(content), b""
        while len(content) < number * size:
            content += unpack_bytes(fields.take(fields.varint()), min(2**22, number * size - len(content)))
        assert fields.at == len(fields.data)
    assert zlib.crc32(body[:-4] + content) == struct.unpack("<I", body[-4:])[0]
    return content
