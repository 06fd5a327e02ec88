"""Writes a `.spky` file from a source of samples: one payload for a short recording, else blocks and an index."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np

from spikey.base.errors import UsageError
from spikey.base.wire import varint
from spikey.codec.block import (
    LARGEST,
    MOST_REFERENCES,
    MOST_TOGETHER,
    WITH_COMPANIONS,
    Method,
    encode_blocks,
    needs_model,
)
from spikey.coding.packed_bytes import PIECE, pack_bytes
from spikey.container.embedding import NAMED, Embedding, Fate, Tally
from spikey.container.extra import Extra
from spikey.container.hold import Coding, hold, most_bytes
from spikey.container.layout import (
    BLOCK_BYTES,
    BLOCK_FILES,
    BLOCK_HEAD,
    BLOCK_SAMPLES,
    BLOCK_TAIL,
    BYTES,
    CALIBRATION,
    CANONICAL,
    COMPANIONS,
    COPIED_BYTE,
    HEAD,
    LARGEST_RECORD,
    METADATA,
    MODEL,
    PACKED_BYTE,
    SAMPLES,
    STORED_BYTE,
    TAIL,
    WRAPPED,
    Block,
    Header,
    index_copy,
    write_index,
)
from spikey.container.single import Choice, file_of_one, single_file, with_model
from spikey.container.window import Companions
from spikey.model.calibration import Calibration
from spikey.recording.source import Layout, pack

CHUNK_BYTES = 64 << 20  # of samples held at once
RECORD_BYTES = 1 << 16  # larger heads and tails go into blocks
DOUBTFUL = 1 << 12  # bytes spared from which a file of several blocks is certainly not larger than its input
LARGEST_AROUND = LARGEST_RECORD // 2  # bytes of head and tail together that fit into records in any case
Part = tuple[tuple[int, int, int, int], np.ndarray]  # first frame, frames, first channel, channels; samples
Coded = tuple[Block, bytes]  # a block with its checksum, and its payload


class Writable(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int: ...


class Readable(Protocol):
    """What the writer needs of a recording; `recording.source.Source` and `ArraySource` have it."""

    layout: Layout
    frames: int
    canonical: bool
    head_size: int
    tail_size: int

    def read(self, first_frame: int, count: int) -> np.ndarray: ...
    def head_chunks(self, size: int = ...) -> Iterator[bytes]: ...
    def tail_chunks(self, size: int = ...) -> Iterator[bytes]: ...


class ArraySource:
    """Samples (frames, channels) in memory as a source, with nothing around them."""

    canonical = False
    head_size = tail_size = 0

    def __init__(self, samples: np.ndarray, rate: float):
        if samples.ndim == 1:
            samples = samples[:, None]
        if samples.ndim != 2:
            raise UsageError(f"samples have the shape (frames, channels), not {samples.shape}")
        native = samples.dtype.newbyteorder("=")
        self.layout = Layout(samples.shape[1], rate, str(native))
        self.frames = samples.shape[0]
        self._samples = samples

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Frames [first_frame, first_frame + count), native-endian."""
        return self._samples[first_frame : first_frame + count].astype(self.layout.memory_dtype, copy=False)

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    tail_chunks = head_chunks


def block_shape(layout: Layout, frames: int = 1 << 20, longest: int = Method.longest) -> tuple[int, int]:
    """Frames and channels of a full block: a few seconds of 16 channels, in bounded memory; more where they are short.

    longest: see `Method`.

    >>> block_shape(Layout(1, 19531, "int16")), block_shape(Layout(384, 30000, "int16"))
    ((131072, 1), (65536, 16))
    >>> block_shape(Layout(384, 30000, "int16"), frames=1000)
    (1000, 65)
    """
    if layout.channels == 1:
        return min(2 * longest, max(frames, 1)), 1
    fitting = CHUNK_BYTES // (layout.channels * layout.memory_dtype.itemsize) // 256 * 256
    longest = min(longest, LARGEST // min(layout.channels, 16), max(fitting, 256), max(frames, 1))
    return longest, min(layout.channels, max(16, (1 << 16) // longest))


def is_single(source: Readable, method: Method, block_frames: int | None = None) -> bool:
    """Whether a recording is one block."""
    frames, channels = block_shape(source.layout, _longest(source, block_frames), method.longest)
    return source.frames <= frames and source.layout.channels <= channels


def _longest(source: Readable, block_frames: int | None) -> int:
    """Frames that a block may have."""
    return source.frames if block_frames is None else min(block_frames, source.frames)


def encode_samples(
    blocks: list[np.ndarray],
    layouts: list[Layout],
    method: Method,
    calibration: Calibration | None,
    companions: list[np.ndarray] | None = None,
) -> list[bytes]:
    """The payloads of sample blocks: coded, or as the file has them where that is not larger; floats are packed then.

    A trained network is used for a block only where it saves more, over the adaptive predictors, than naming it takes.
    companions: for each block the samples (frames, channels) of other recordings.
    """
    return [choice.payload for choice in encode_choices(blocks, layouts, method, calibration, companions)]


def encode_choices(
    blocks: list[np.ndarray],
    layouts: list[Layout],
    method: Method,
    calibration: Calibration | None,
    companions: list[np.ndarray] | None = None,
) -> list[Choice]:
    """`encode_samples`, with what the payloads that need a trained network would be without it."""
    coded = [block for block in blocks if block.size]
    beside = None
    if companions is not None:
        beside = [each for block, each in zip(blocks, companions, strict=True) if block.size]
    payloads = encode_blocks(coded, method, calibration, beside)
    plain: list[bytes | None] = [None] * len(coded)
    guards = _guards(method)
    for name, lanes in guards:
        guard = replace(method, predictor=name, lanes=lanes, references=MOST_REFERENCES, model=None)
        others = encode_blocks(coded, guard, calibration)
        plain = [_smaller(one, other) for one, other in zip(plain, others, strict=True)]
    if guards:
        payloads = [_smaller(one, other) for one, other in zip(payloads, plain, strict=True)]
    found = iter(zip(payloads, plain, strict=True))
    out = []
    for block, layout in zip(blocks, layouts, strict=True):
        payload, other = next(found) if block.size else (None, None)
        best = _fitting(payload, block, layout)
        compared = bool(guards) and needs_model(best)
        out.append(Choice(best, _fitting(other, block, layout) if compared else None))
    return out


def _fitting(payload: bytes | None, block: np.ndarray, layout: Layout) -> bytes:
    """A payload, or the samples as the file has them where that is smaller."""
    if payload is not None and len(payload) <= block.size * layout.itemsize:
        return payload
    if block.dtype.kind == "f":
        return PACKED_BYTE + pack_bytes(_packed(block, layout), layout.itemsize)
    return STORED_BYTE + _packed(block, layout)


def _guards(method: Method) -> list[tuple[str, int]]:
    """The predictors, with their lanes, that a network must beat: those that are fast beside it."""
    recurrent = method.model is not None and method.model.architecture.type == "lstm"
    if recurrent or method.predictor in WITH_COMPANIONS:
        return [("lpc", 2), ("balanced", 1)]
    return [("lpc", 2)] if method.model is not None else []


def _smaller(one: bytes | None, other: bytes | None) -> bytes | None:
    """The smaller payload, with a model's name counted in."""
    if one is None or other is None:
        return one or other
    named = NAMED if needs_model(one) else 0
    return other if len(other) <= len(one) + named else one


def _packed(samples: np.ndarray, layout: Layout) -> bytes:
    """Some channels of a recording as its file would have them."""
    return pack(samples, replace(layout, channels=samples.shape[1]))


def write_file(
    source: Readable,
    out: Writable,
    method: Method,
    calibration: Calibration | None = None,
    *,
    embed: bytes | None = None,
    embed_model: bool | None = None,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
    payload: bytes | Choice | None = None,
    coded: Iterator[Coded] | None = None,
    extra: Extra | None = None,
    block_frames: int | None = None,
    companions: Companions | None = None,
    stated: tuple[tuple[int, bytes], ...] = (),
    tally: Tally | None = None,
) -> int:
    """Compress `source` into `out`, sequentially; return the bytes written.

    These are at most 0.1 % and 64 more than the source has, beside what `extra` and `stated` take and in full blocks.
    embed: the calibration's own bytes, to travel with the file. embed_model: whether the model travels as well; None:
    where it is the user's own and takes at most 1 % of the file. A file for which an embedded model takes more than it
    saves is coded without it. jobs: threads, or 0 for the calling one alone. progress: called with the samples done
    since. payload: the only block's, when it is known already. coded: all blocks of samples, where others make them; of
    these, and of a payload that is no `Choice`, no other coding is known, so that they are written as they are. extra:
    metadata and side files that travel along. block_frames: of a full block; None for the usual number. companions: of
    the recordings to code this one with, or to refer to as its original. stated: more extension records, as they are
    written. tally: takes what a trained network did for the file.
    """
    layout = source.layout
    around = source.head_size + source.tail_size
    wrapper = CANONICAL if source.canonical else SAMPLES if not around else WRAPPED
    records = [(CALIBRATION, packed_record(embed, 4))] if embed is not None else []
    short = around <= RECORD_BYTES
    if wrapper == WRAPPED and short:
        records += _around_records(source)
    if extra is not None:
        records.append((METADATA, _metadata_record(extra)))
    if companions is not None:
        records.append((COMPANIONS, varint(companions.count)))
    records += stated
    tally = Tally() if tally is None else tally
    embedding = None if method.model is None else Embedding(method.model, embed_model)
    files = extra is not None and bool(extra.files)
    single = short and is_single(source, method, block_frames) and not files
    header = Header(layout, source.frames, wrapper, single, b"" if calibration is None else calibration.id, records)
    free = coded is None and not isinstance(payload, bytes) and extra is None and not stated
    most = most_bytes(around + source.frames * layout.frame_bytes)
    if single:
        samples = source.read(0, source.frames)
        if payload is None:
            part: Part = (0, source.frames, 0, layout.channels), samples
            payload = _payloads([part], layout, method, calibration, companions)[0]
        choice = payload if isinstance(payload, Choice) else Choice(payload)
        data = single_file(header, choice, embedding, pack(samples, layout), tally)
        if progress is not None:
            progress(samples.size)
        if len(data) > most and free:
            return _write_stored(source, out, header, tally)
        out.write(data)
        return len(data)
    shape = block_shape(layout, _longest(source, block_frames), method.longest)
    codings: Iterator[Coding]
    if coded is not None:
        codings = (Coding(*each) for each in coded)
    else:
        parts = parts_of(source.read, shape, range(source.frames))
        codings = _in_order(parts, layout, method, calibration, jobs, companions)
    codings = _watched(codings, progress)
    compared = coded is None and bool(_guards(method))
    held = hold(
        codings,
        layout.itemsize,
        source.frames * layout.channels,
        embedding,
        0 if embed is None else 2 * len(records[0][1]),
        compared,
        tally,
    )
    tally.fate = held.fate
    model = None if embedding is None or held.fate is Fate.DROPPED else embedding.content(held.fate)
    header = with_model(header, model, [] if held.calibrated or embed is None else [CALIBRATION])

    def write(target: Writable) -> int:
        with BlockWriter(target, header) as blocks:
            if wrapper == WRAPPED and not short:
                blocks.write_bytes(BLOCK_HEAD, source.head_chunks(PIECE))
            for block, made in held.chosen(codings, tally):
                blocks.add(block, made)
            if wrapper == WRAPPED and not short:
                blocks.write_bytes(BLOCK_TAIL, source.tail_chunks(PIECE))
            if extra is not None:
                blocks.write_bytes(BLOCK_FILES, extra.chunks(), 8)
        return blocks.written

    doubtful = held.whole and free and held.spared < DOUBTFUL + sum(len(content) for _, content in header.records)
    if doubtful and write(_Counting()) > most:
        return _write_stored(source, out, header, tally)
    return write(out)


def _around_records(source: Readable) -> list[tuple[int, bytes]]:
    """The bytes before and after the samples, as records."""
    both = (HEAD, source.head_chunks()), (TAIL, source.tail_chunks())
    return [(kind, packed_record(b"".join(chunks))) for kind, chunks in both]


def _write_stored(source: Readable, out: Writable, header: Header, tally: Tally) -> int:
    """Write a recording with its samples as they are: the last resort for what coding makes larger."""
    tally.fate, tally.used = Fate.DROPPED, False
    layout, short = source.layout, source.head_size + source.tail_size <= LARGEST_AROUND
    records = _around_records(source) if header.wrapper == WRAPPED and short else []
    header = replace(header, records=records, calibration=b"", single=True)
    if short and source.frames * layout.channels <= LARGEST:
        content = pack(source.read(0, source.frames), layout)
        data = file_of_one(header, STORED_BYTE + content, content)
        out.write(data)
        return len(data)
    with BlockWriter(out, replace(header, single=False)) as blocks:
        if header.wrapper == WRAPPED and not short:
            blocks.write_bytes(BLOCK_HEAD, source.head_chunks(PIECE))
        for extent, samples in parts_of(source.read, block_shape(layout, source.frames), range(source.frames)):
            content = _packed(samples, layout)
            blocks.write(BLOCK_SAMPLES, extent, STORED_BYTE + content, content)
        if header.wrapper == WRAPPED and not short:
            blocks.write_bytes(BLOCK_TAIL, source.tail_chunks(PIECE))
    return blocks.written


def _watched(codings: Iterator[Coding], progress: Callable[[int], None] | None) -> Iterator[Coding]:
    """Blocks, of which the samples are reported as they come."""
    for coding in codings:
        yield coding
        if progress is not None:
            progress(coding.block.frames * coding.block.channels)


class _Counting:
    """What is written to it is only counted, by who writes."""

    def write(self, data: bytes, /) -> int:
        return len(data)


def parts_of(
    read: Callable[[int, int], np.ndarray], shape: tuple[int, int], frames: range, first_channel: int = 0
) -> Iterator[Part]:
    """Some frames cut into blocks of `shape`, at whose edges they begin, of the channels that `read` gives."""
    for first in range(frames.start, frames.stop, shape[0]):
        chunk = read(first, min(shape[0], frames.stop - first))
        for channel in range(0, chunk.shape[1], shape[1]):
            # A copy with each channel in one stretch, so that a chunk can go before the next one is read.
            part = np.asfortranarray(chunk[:, channel : channel + shape[1]])
            yield (first, len(part), first_channel + channel, part.shape[1]), part
        del chunk, part


def encode_parts(
    parts: list[Part],
    layout: Layout,
    method: Method,
    calibration: Calibration | None,
    companions: Companions | None = None,
) -> list[Coded]:
    """The blocks of parts of a recording: the same ones wherever, whenever and in whatever company they are made."""
    return [(one.block, one.payload) for one in _codings(parts, layout, method, calibration, companions)]


def _codings(
    parts: list[Part],
    layout: Layout,
    method: Method,
    calibration: Calibration | None,
    companions: Companions | None,
) -> list[Coding]:
    """`encode_parts`, with the blocks without the trained network where they need it."""
    out = []
    choices = _payloads(parts, layout, method, calibration, companions)
    for (extent, samples), (payload, plain) in zip(parts, choices, strict=True):
        content = _packed(samples, layout)
        other = None if plain is None else (_block(BLOCK_SAMPLES, extent, plain, content), plain)
        out.append(Coding(_block(BLOCK_SAMPLES, extent, payload, content), payload, other))
    return out


def _payloads(
    parts: list[Part],
    layout: Layout,
    method: Method,
    calibration: Calibration | None,
    companions: Companions | None,
) -> list[Choice]:
    """The payloads of parts of a recording; those of a copy say no more than that."""
    blocks = [samples for _, samples in parts]
    layouts = [layout] * len(parts)
    if companions is not None and companions.count == 0:
        return [Choice(COPIED_BYTE if samples.size else STORED_BYTE) for samples in blocks]
    others = None
    if companions is not None:
        others = [companions.columns(first, frames) for (first, frames, *_), _ in parts]
    if method.model is not None:
        return encode_choices(blocks, layouts, method, calibration, others)
    return [Choice(payload) for payload in encode_samples(blocks, layouts, method, calibration, others)]


def batches(parts: Iterator[Part], method: Method, layout: Layout) -> Iterator[list[Part]]:
    """As many parts together as a trained network is fastest with; otherwise one by one."""
    together = 1 if method.model is None else max(MOST_TOGETHER // min(layout.channels, 16), 1)
    while batch := list(islice(parts, together)):
        yield batch


def _in_order(
    parts: Iterator[Part],
    layout: Layout,
    method: Method,
    calibration: Calibration | None,
    jobs: int,
    companions: Companions | None = None,
) -> Iterator[Coding]:
    """The blocks of parts, encoded by `jobs` threads that run only a little ahead.

    With no jobs this thread does it, also while the interpreter shuts down.
    """
    if not jobs:
        for batch in batches(parts, method, layout):
            yield from _codings(batch, layout, method, calibration, companions)
        return
    waiting: deque[Future[list[Coding]]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for batch in batches(parts, method, layout):
                waiting.append(pool.submit(_codings, batch, layout, method, calibration, companions))
                if len(waiting) > jobs:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def write_bytes_file(
    size: int, chunks: Iterator[bytes], itemsize: int, out: Writable, extra: Extra | None = None
) -> int:
    """Compress a file that cannot be modelled, as bytes; chunks of at most 4 MiB. Return the bytes written.

    extra: metadata to store.
    """
    records = [] if extra is None else [(METADATA, _metadata_record(extra))]
    header = Header(Layout(1, 0, "uint8"), size, BYTES, size <= PIECE, records=records)
    if header.single:
        data = b"".join(chunks)
        packed = file_of_one(header, pack_bytes(data, itemsize), data)
        out.write(packed)
        return len(packed)
    with BlockWriter(out, header) as blocks:
        blocks.write_bytes(BLOCK_BYTES, chunks, itemsize)
    return blocks.written


def _metadata_record(extra: Extra) -> bytes:
    """The metadata, packed."""
    record = packed_record(extra.to_json())
    if len(record) > LARGEST_RECORD:
        raise UsageError(f"the metadata take {len(record):,} bytes packed; at most {LARGEST_RECORD:,} can be kept")
    return record


def packed_record(data: bytes, itemsize: int = 1) -> bytes:
    """The content of an extension record that holds `data`."""
    return varint(len(data)) + pack_bytes(data, itemsize)


def _block(kind: int, extent: tuple[int, int, int, int], payload: bytes, content: bytes) -> Block:
    block = Block(kind, *extent, size=len(payload), check=0)
    return replace(block, check=block.check_of(payload, content))


class BlockWriter:
    """Writes header, blocks and, on leaving without an error, the index."""

    def __init__(self, out: Writable, header: Header):
        self._out = out
        self._head = header.write()
        # The copy at the end names an embedded model: it is too large to be there twice.
        self._copy = index_copy(self._head, header.record(MODEL))
        self._blocks: list[Block] = []
        self.written = 0

    def __enter__(self) -> BlockWriter:
        self._write(self._head + struct.pack("<I", zlib.crc32(self._head)))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write(write_index(self._copy, self._blocks, self.written))

    def write(self, kind: int, extent: tuple[int, int, int, int], payload: bytes, content: bytes) -> None:
        """One block; `extent`: first frame, frames, first channel, channels."""
        self.add(_block(kind, extent, payload, content), payload)

    def add(self, block: Block, payload: bytes) -> None:
        """One block that has its checksum already."""
        head = block.write()
        self._blocks.append(replace(block, offset=self.written + len(head)))
        self._write(head + payload)

    def write_bytes(self, kind: int, chunks: Iterator[bytes], itemsize: int = 1) -> None:
        """Blocks of plain bytes."""
        first = 0
        for chunk in chunks:
            self.write(kind, (first, len(chunk), 0, 0), pack_bytes(chunk, itemsize), chunk)
            first += len(chunk)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)
