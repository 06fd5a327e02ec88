"""What reads bytes that Spikey did not write: for each a name, honest inputs to mutate, and how to give it one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from fuzzing import interpolated, mapped, seeds, tagged, wide
from fuzzing.mutate import mutated
from fuzzing.tagged import framed

from spikey.base.errors import DamagedError, DataError, SpikeyError
from spikey.container.archive import Archive
from spikey.container.layout import BLOCK_BYTES, BLOCK_FILES, BLOCK_HEAD, BLOCK_SAMPLES, BLOCK_TAIL, BYTES
from spikey.container.reader import Reader
from spikey.files.extraction import describe_archive
from spikey.integrations.chunk import decode_chunk

MOST_READ = 1 << 20  # samples, or pieces of bytes times this, that are decoded of one input


@dataclass(frozen=True)
class Entry:
    """An entry point.

    seeds: honest inputs. run: gives it an input, and whether checksums are checked; it raises SpikeyError or nothing.
    words: pieces of the format, for mutations. mutate: changes an input, with others of the kind.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes, bool], None]
    words: Sequence[bytes] = ()
    mutate: Callable[[bytes, Sequence[bytes], Sequence[bytes], random.Random], bytes] = mutated


def _read(reader: Reader) -> None:
    """Decode a bounded part of a recording, all of it where it is as short as the seeds are."""
    first = None
    try:
        _ = reader.metadata, reader.files
    except DataError as error:
        first = error
    for kind in (BLOCK_HEAD, BLOCK_TAIL, BLOCK_BYTES, BLOCK_FILES):
        for _ in islice(reader.around(kind), 4):
            pass
    if reader.header.wrapper != BYTES:
        count = min(max(MOST_READ // reader.layout.channels, 1), 1 << 16)
        columns = range(min(reader.layout.channels, 1 << 12))
        for at in {0, max(reader.frames - count, 0)}:
            reader.read(at, min(count, reader.frames - at), columns)
        for block in islice((block for block in reader.structure.blocks if block.kind == BLOCK_SAMPLES), 4):
            reader.levels(block)
    if first is not None:
        raise first


def _opened(data: bytes, checked: bool) -> None:
    for salvage in (True, False):
        try:
            with Reader(data, salvage=salvage, lossy=True, correction=True) as reader:
                # A header in the index that its block contradicts is a checksum too, in effect.
                reader.decoder.check_headers = reader.decoder.check_headers and checked
                _read(reader)
        except SpikeyError:
            if not salvage:
                raise


def _file(data: bytes, checked: bool) -> None:
    _opened(data, checked)
    if checked and _content(data) not in _written():
        raise AssertionError("a changed file gives other samples, and no checksum fails")


@cache
def _written() -> frozenset[bytes]:
    """What with checksums on every file gives that gives anything: the samples of one that was written."""
    return frozenset(_content(seed) for seed in seeds.files())


def _content(data: bytes) -> bytes:
    with Reader(data, lossy=True, correction=True) as reader:
        return b"" if reader.header.wrapper == BYTES else reader[:].tobytes()


def _growing(data: bytes, checked: bool) -> None:
    """A file without an index gives a beginning of what was written."""
    _opened(data, checked)
    (seed,) = seeds.growing()
    if checked and not _content(seed).startswith(_content(data)):
        raise AssertionError("a changed recording gives other samples, and no checksum fails")


def _archive(data: bytes, checked: bool) -> None:
    error: SpikeyError | None = None
    for salvage in (True, False):
        try:
            with Archive(data, salvage=salvage) as archive:
                describe_archive(archive)
                for entry in archive.entries[:20]:
                    try:
                        _read(archive.reader(entry.number))
                    except SpikeyError as found:
                        error = found
        except SpikeyError as found:
            error = found
    if error is not None:
        raise error


def _chunk(data: bytes, checked: bool) -> None:
    array = decode_chunk(data)
    if array.nbytes > 1 << 28:
        raise AssertionError("a chunk of a few bytes takes hundreds of megabytes")
    array.tobytes()


def _numcodecs(data: bytes, checked: bool) -> None:
    from spikey.integrations.numcodecs import Spikey

    refused: SpikeyError | None = None
    fitted = False
    for shape, dtype in (((400, 2), "<i2"), ((600, 4), "<i4"), ((50, 2), "<f4"), ((300,), "u1"), ((20,), "<M8[ns]")):
        found = []
        for poison in (0xA5, 0x5A):
            out = np.frombuffer(bytearray([poison]) * (int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype)
            try:
                Spikey().decode(data, out=out.reshape(shape))
            except SpikeyError as error:
                refused = error
                break
            found.append(out.tobytes())
        if len(set(found)) > 1:
            raise AssertionError(f"bytes of {shape} {dtype} are left as they were")
        fitted |= bool(found)
    if refused is not None and not fitted:
        raise refused


def _hdf5(data: bytes, checked: bool) -> None:
    """A chunk in a dataset that it is for, or not: a dataset for each kind of filters before it."""
    import h5py

    from spikey.integrations import hdf5

    if not data:
        raise DataError("HDF5 has no chunks without bytes")
    failed, level = None, hdf5.logger.level
    for shuffle in (False, True):
        options = {"driver": "core", "backing_store": False}
        with h5py.File("fuzz.h5", "w", **options) as file:
            made = file.create_dataset("a", (400, 2), "<i2", chunks=(400, 2), shuffle=shuffle, **hdf5.Filter())
            made.id.write_direct_chunk((0, 0), data)
            hdf5.logger.setLevel("CRITICAL")
            try:
                read = made[:]
                if not shuffle and read.tobytes() != decode_chunk(data).tobytes():
                    raise AssertionError("what is read is not what the chunk contains")
            except OSError:
                failed = DataError(hdf5.last_error().replace("\n", " ") or "HDF5 failed")
            finally:
                hdf5.logger.setLevel(level)
    if failed is not None:
        raise failed


def _filter_parameters(data: bytes, checked: bool) -> None:
    from spikey.integrations import hdf5
    from spikey.integrations.chunk import options_from

    words = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    options_from(hdf5.from_values(words)["options"])


def _packets(data: bytes, checked: bool) -> None:
    from spikey.stream.decoder import Decoder

    decoder = Decoder()
    packets = framed(data)
    for packet in packets[::2]:
        decoder.push(packet)
    decoder.wanted()
    decoder.push_all(packets[1::2])
    decoder.finish()
    if decoder.counts.taken == 0:
        raise DataError("nothing was taken")


def _request(data: bytes, checked: bool) -> None:
    from spikey.stream.transport import read_request

    read_request(data)


def _telemetry(data: bytes, checked: bool) -> None:
    from spikey.telemetry.file import packets_in
    from spikey.telemetry.record import collect

    told = collect(packets_in(data, "the input"), "the input")
    if told.channels * min(told.frames, 4096) < 1 << 22:
        told.samples(0, min(told.frames, 4096))


def _model(data: bytes, checked: bool) -> None:
    """A model that is taken must code without loss."""
    from spikey.codec.decode import decode_block
    from spikey.codec.encode import encode_block
    from spikey.codec.method import learned
    from spikey.codec.payload import Lookup, Payload
    from spikey.model.trained import load

    model = load(data)
    samples = seeds.signal(60)
    payload = encode_block(samples, learned(model))
    if payload is not None:
        decoded = decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(model=lambda: model))
        if not np.array_equal(decoded, samples):
            raise AssertionError("a model that is taken does not code without loss")


def _calibration(data: bytes, checked: bool) -> None:
    """A calibration that is taken must code without loss."""
    from spikey.codec.decode import decode_block
    from spikey.codec.encode import encode_block
    from spikey.codec.method import Method
    from spikey.codec.payload import Lookup, Payload
    from spikey.model.calibration import load

    calibration = load(data)
    near = np.random.default_rng(1).integers(-30, 30, (120, 3)).astype(np.int16)
    tried = [(seeds.signal(120), Method()), (seeds.signal(120), Method("balanced", lanes=1))]
    for samples, method in [*tried, (near, Method("wide")), (seeds.signal(120), Method("wide"))]:
        payload = encode_block(samples, method, calibration)
        if payload is not None:
            decoded = decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(lambda: calibration))
            if not np.array_equal(decoded, samples):
                raise AssertionError("a calibration that is taken does not code without loss")


def _wav(data: bytes, checked: bool) -> None:
    from spikey.recording.wav import open_wav

    path = seeds.scratch() / "fuzz.wav"
    path.write_bytes(data)
    with open_wav(path, floats=True) as source:
        count = min(source.frames, max(MOST_READ // source.layout.channels, 1))
        size = sum(map(len, source.head_chunks())) + source.frames * source.layout.frame_bytes
        size += sum(map(len, source.tail_chunks()))
        source.read(0, count)
        source.read(source.frames - count, count)
        if size != len(data):
            raise AssertionError(f"head, samples and tail have {size} bytes of {len(data)}")


def _configuration(data: bytes, checked: bool) -> None:
    from spikey.config.documents import load

    path = seeds.scratch() / "fuzz.yaml"
    path.write_bytes(data)
    load(path)


def _zip(data: bytes, checked: bool) -> None:
    """Nothing is written outside the folder, and nothing is left where it fails."""
    from contextlib import nullcontext

    from spikey.training.unzip import unpack

    folder = seeds.scratch() / "zip"
    seeds.emptied(folder)
    path = folder / "fuzz.zip"
    path.write_bytes(data)
    try:
        unpack(path, folder / "out", lambda total, unit: nullcontext(lambda amount: None), lambda line: None)
        wanted = {"fuzz.zip", "out"}
    except SpikeyError:
        wanted = {"fuzz.zip"}
        raise
    finally:
        found = {each.name for each in Path(folder).iterdir()}
        if found != wanted:
            raise AssertionError(f"left behind: {sorted(found)}")


def _wire(data: bytes, checked: bool) -> None:
    """Block payloads by themselves, in every type and shape: how a block's bytes are taken apart."""
    from spikey.codec.decode import decode_block
    from spikey.codec.payload import Lookup, Payload, facts_of
    from spikey.model.calibration import n1

    if len(data) < 3:
        raise DataError("too short")
    frames, count, kind = (
        1 + data[0] * 8,
        1 + data[1] % 5,
        ("int16", "uint8", "int32", "float32", "float64")[data[2] % 5],
    )
    companions = np.zeros((frames, 1 + data[2] % 4), dtype=np.int16)
    payload = Payload(data[3:], frames, count, np.dtype(kind), companions=lambda: companions)
    try:
        facts_of(payload)
        decode_block(payload, Lookup(n1, seeds.model))
    except DamagedError as error:
        raise AssertionError("a payload by itself has no extents") from error


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry("file", seeds.files, _file, seeds.FILE_WORDS),
        Entry("archive", seeds.archives, _archive, seeds.FILE_WORDS),
        Entry("growing", seeds.growing, _growing, seeds.FILE_WORDS),
        Entry("block", seeds.payloads, _wire),
        Entry("wide", wide.inputs, wide.run, mutate=wide.changed),
        Entry("interpolated", interpolated.inputs, interpolated.run, mutate=interpolated.changed),
        Entry("chunk", seeds.chunks, _chunk, seeds.CHUNK_WORDS),
        Entry("numcodecs", seeds.chunks, _numcodecs, seeds.CHUNK_WORDS),
        Entry("hdf5", seeds.chunks, _hdf5, seeds.CHUNK_WORDS),
        Entry("filter", seeds.filters, _filter_parameters, seeds.FILTER_WORDS),
        Entry("packet", seeds.streams, _packets),
        Entry("key", seeds.keys, _packets),
        Entry("parity", seeds.parities, _packets),
        Entry("request", seeds.requests, _request),
        Entry("telemetry", seeds.telemetries, _telemetry),
        Entry("tagged", tagged.streams, tagged.run_stream),
        Entry("tagged-request", tagged.requests, tagged.run_request),
        Entry("tagged-telemetry", tagged.telemetries, tagged.run_telemetry),
        Entry("key-file", tagged.keys, tagged.run_key),
        Entry("model", seeds.models, _model, seeds.MODEL_WORDS),
        Entry("calibration", seeds.calibrations, _calibration, seeds.MODEL_WORDS),
        Entry("wav", seeds.wavs, _wav, seeds.WAV_WORDS),
        Entry("configuration", seeds.configurations, _configuration, seeds.YAML_WORDS),
        Entry("mapped", mapped.inputs, mapped.run, seeds.FILE_WORDS),
        Entry("vendor", mapped.vendors, mapped.run_vendor),
        Entry("zip", seeds.zips, _zip, seeds.ZIP_WORDS),
    )
}
