"""The files that a `.spky` file with a file map restores, after docs/format.md, section 34, and nothing else."""

from __future__ import annotations

from kit.reference import SIZES, Fields, decode, unpack_record


def files_of(data: bytes) -> dict[str, bytes]:
    """The bytes of each file by name."""
    _, records, sample_type, channels, frames = opened(data)
    plain = decode(data)
    size = SIZES[sample_type]
    rest, samples = plain[: len(plain) - frames * channels * size], plain[len(plain) - frames * channels * size :]
    fields = Fields(unpack_record(records[9]))
    swap = fields.varint()
    found, runs, column = {}, [], 0
    for _ in range(fields.varint()):
        name = fields.take(fields.varint()).decode()
        count = fields.varint()
        if count:
            runs = [(fields.varint(), [part(fields) for _ in range(fields.varint())]) for _ in range(count)]
            shift = 0
        else:
            shift = column - min(first for _, parts in runs for kind, _, first, _ in parts if kind)
        width = sum(some for kind, _, _, some in next(p for _, p in runs if any(k for k, *_ in p)) if kind)
        content, rest = one_file(runs, shift, samples, channels, size, rest, swap)
        column += width
        found[name] = content
    assert column == channels and not rest and fields.at == len(fields.data)
    return found


def opened(data):
    """The header's fields that matter here."""
    fields = Fields(data)
    assert fields.take(4) == b"SPKY" and fields.u8() == 1
    flags, kind, channels, rate = fields.u8(), fields.u8(), fields.varint(), fields.varint()
    fields.take(8 if rate == 1 else 0)
    frames = fields.varint()
    fields.take(4 if flags & 8 else 0)
    records = {}
    for _ in range(fields.varint() if flags & 2 else 0):
        number = fields.varint()
        records.setdefault(number >> 1, fields.take(fields.varint()))
    return flags, records, kind & 15, channels, frames


def part(fields):
    """A part of a record: whether it is samples; bytes, or frames and whether planar; first column; columns."""
    number = fields.varint()
    if number & 1:
        return True, (number >> 2, bool(number & 2)), fields.varint(), fields.varint()
    return False, number >> 1, 0, 0


def one_file(runs, shift, samples, channels, size, rest, swap):
    """One file, and the other bytes that are left."""
    out, frame = b"", 0
    for count, parts in runs:
        sizes = [what for kind, what, _, _ in parts if not kind]
        inside = sum(what[0] * some * size for kind, what, _, some in parts if kind)
        most = max(1, min((1 << 20) // max(sum(sizes), 1), (1 << 24) // max(sum(sizes) + inside, 1)))
        for at in range(0, count, most):
            group = min(most, count - at)
            fields = []
            for each in sizes:
                fields.append(rest[: each * group])
                rest = rest[each * group :]
            for number in range(group):
                left = [field[number * each : (number + 1) * each] for field, each in zip(fields, sizes, strict=True)]
                frames = 0
                for kind, what, first, some in parts:
                    if not kind:
                        out += left.pop(0)
                        continue
                    frames, planar = what
                    order = [(f, c) for f in range(frames) for c in range(some)]
                    if planar:
                        order = [(f, c) for c in range(some) for f in range(frames)]
                    for f, c in order:
                        place = ((frame + f) * channels + first + shift + c) * size
                        sample = samples[place : place + size]
                        out += bytes(reversed(sample)) if swap else bytes(sample)
                frame += frames
    return out, rest
