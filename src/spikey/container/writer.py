"""Writes a `.spky` file from encoded blocks: one payload for a short recording, else blocks and an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from spikey.codec.cut import block_shape, parts_of
from spikey.codec.encode import content_of, stored
from spikey.codec.method import LARGEST
from spikey.codec.payload import EncodedBlock
from spikey.coding.packed_bytes import PIECE, pack_bytes
from spikey.container.block_writer import BlockWriter, Writable
from spikey.container.contents import Coding, Contents, coding, metadata_record, packed_record
from spikey.container.embedding import Embedding, Fate, Tally
from spikey.container.extra import Extra
from spikey.container.hold import hold, most_bytes
from spikey.container.layout import (
    BLOCK_BYTES,
    BLOCK_FILES,
    BLOCK_HEAD,
    BLOCK_SAMPLES,
    BLOCK_TAIL,
    BYTES,
    CANONICAL,
    LARGEST_RECORD,
    SAMPLES,
    WRAPPED,
    Header,
)
from spikey.container.records import CALIBRATION, HEAD, METADATA, TAIL
from spikey.container.single import file_of_one, single_file, with_model
from spikey.recording.layout import Layout, pack
from spikey.recording.readable import Readable

RECORD_BYTES = 1 << 16  # larger heads and tails go into blocks
DOUBTFUL = 1 << 12  # bytes spared from which a file of several blocks is certainly not larger than its input
LARGEST_AROUND = LARGEST_RECORD // 2  # bytes of head and tail together that fit into records in any case
Progress = Callable[[int], None]  # samples done since


class Counting:
    """What is written to it is only counted, by who writes."""

    def write(self, data: bytes, /) -> int:
        return len(data)


def write_file(
    source: Readable,
    out: Writable,
    blocks: EncodedBlock | Iterator[Coding],
    contents: Contents | None = None,
    progress: Progress | None = None,
    tally: Tally | None = None,
) -> int:
    """Write a recording's file into `out`, sequentially; return the bytes written.

    These are at most 0.1 % and 64 more than the source has, beside what metadata and further records take. A file for
    which an embedded model takes more than it saves is written with the coding without it.

    Parameters
    ----------
    source : Readable
        What the blocks were made of: its layout, the bytes around the samples, and the samples as a last resort.
    out : Writable
        Where to.
    blocks : EncodedBlock or iterator of Coding
        The only block, which covers the recording, or all blocks in order.
    contents : Contents, optional
        What else goes in.
    progress : callable, optional
        Called with the samples written since.
    tally : Tally, optional
        Takes what a trained network did for the file.
    """
    contents, tally = contents or Contents(), Tally() if tally is None else tally
    header = _header(source, contents)
    if isinstance(blocks, EncodedBlock):
        beside = contents.file_map is not None or (contents.extra is not None and contents.extra.files)
        if _is_short(source) and not beside:
            return _write_single(source, out, blocks, (contents, replace(header, single=True)), progress, tally)
        extent = 0, source.frames, 0, source.layout.channels
        content = content_of(source.read(0, source.frames), source.layout)
        blocks = iter([coding(extent, blocks, content)] if source.frames else [])
    return _write_blocks(source, out, _watched(blocks, progress), (contents, header), tally)


def _header(source: Readable, contents: Contents) -> Header:
    """The header of a file of blocks, with everything that may be in it."""
    around = source.head_size + source.tail_size
    wrapper = CANONICAL if source.canonical else SAMPLES if not around else WRAPPED
    as_records = wrapper == WRAPPED and _is_short(source) and contents.file_map is None
    records = contents.records_around(_around(source) if as_records else [])
    calibration = b"" if contents.calibration is None else contents.calibration.id
    return Header(source.layout, source.frames, wrapper, False, calibration, records)


def _is_short(source: Readable) -> bool:
    """Whether the bytes around the samples go into records."""
    return source.head_size + source.tail_size <= RECORD_BYTES


def _around(source: Readable) -> list[tuple[int, bytes]]:
    """The bytes before and after the samples, as records."""
    both = (HEAD, source.head_chunks()), (TAIL, source.tail_chunks())
    return [(kind, packed_record(b"".join(chunks))) for kind, chunks in both]


def _most(source: Readable) -> int:
    return most_bytes(source.head_size + source.tail_size + source.frames * source.layout.frame_bytes)


def _embedding(contents: Contents) -> Embedding | None:
    return None if contents.model is None else Embedding(contents.model, contents.embed_model)


def _write_single(
    source: Readable,
    out: Writable,
    encoded: EncodedBlock,
    what: tuple[Contents, Header],
    progress: Progress | None,
    tally: Tally,
) -> int:
    contents, header = what
    samples = source.read(0, source.frames)
    data = single_file(header, encoded, _embedding(contents), pack(samples, source.layout), tally)
    if progress is not None:
        progress(samples.size)
    if len(data) > _most(source) and contents.may_be_stored:
        return _write_stored(source, out, header, tally)
    out.write(data)
    return len(data)


def _write_blocks(
    source: Readable, out: Writable, codings: Iterator[Coding], what: tuple[Contents, Header], tally: Tally
) -> int:
    contents, header = what
    embedding = _embedding(contents)
    embedded = 0 if contents.embed is None else 2 * len(header.records[0][1])
    samples = source.frames * source.layout.channels
    held = hold(codings, source.layout.itemsize, samples, embedding, embedded, contents.compared, tally)
    tally.fate = held.fate
    model = None if embedding is None or held.fate is Fate.DROPPED else embedding.content(held.fate)
    header = with_model(header, model, [] if held.calibrated or contents.embed is None else [CALIBRATION])

    def write(target: Writable) -> int:
        with BlockWriter(target, header) as blocks:
            _write_around(blocks, BLOCK_HEAD, source, header, 1 if contents.file_map is None else 8)
            for block, payload in held.chosen(codings, tally):
                blocks.add(block, payload)
            _write_around(blocks, BLOCK_TAIL, source, header)
            if contents.extra is not None:
                blocks.write_bytes(BLOCK_FILES, contents.extra.chunks(), 8)
        return blocks.written

    limit = DOUBTFUL + sum(len(content) for _, content in header.records)
    if held.whole and contents.may_be_stored and held.spared < limit and write(Counting()) > _most(source):
        return _write_stored(source, out, header, tally)
    return write(out)


def _write_around(blocks: BlockWriter, kind: int, source: Readable, header: Header, itemsize: int = 1) -> None:
    """Write the bytes before or after the samples, where they are not records. itemsize: of elements among them."""
    if header.wrapper == WRAPPED and header.record(HEAD) is None:
        chunks = source.head_chunks(PIECE) if kind == BLOCK_HEAD else source.tail_chunks(PIECE)
        blocks.write_bytes(kind, chunks, itemsize)


def _write_stored(source: Readable, out: Writable, header: Header, tally: Tally) -> int:
    """Write a recording with its samples as they are: the last resort for what coding makes larger."""
    tally.fate, tally.used = Fate.DROPPED, False
    layout, short = source.layout, source.head_size + source.tail_size <= LARGEST_AROUND
    records = _around(source) if header.wrapper == WRAPPED and short else []
    header = replace(header, records=records, calibration=b"", single=True)
    if short and source.frames * layout.channels <= LARGEST:
        content = pack(source.read(0, source.frames), layout)
        data = file_of_one(header, stored(content).payload, content)
        out.write(data)
        return len(data)
    header = replace(header, single=False)
    with BlockWriter(out, header) as blocks:
        _write_around(blocks, BLOCK_HEAD, source, header)
        for extent, samples in parts_of(source.read, block_shape(layout, source.frames), range(source.frames)):
            content = content_of(samples, layout)
            blocks.write(BLOCK_SAMPLES, extent, stored(content).payload, content)
        _write_around(blocks, BLOCK_TAIL, source, header)
    return blocks.written


def _watched(codings: Iterator[Coding], progress: Progress | None) -> Iterator[Coding]:
    """Blocks, of which the samples are reported as they come."""
    for each in codings:
        yield each
        if progress is not None:
            progress(each.block.frames * each.block.channels)


def write_bytes_file(
    size: int, chunks: Iterator[bytes], itemsize: int, out: Writable, extra: Extra | None = None
) -> int:
    """Compress a file that cannot be modelled, as bytes; chunks of at most 4 MiB. Return the bytes written.

    extra: metadata to store.
    """
    records = [] if extra is None else [(METADATA, metadata_record(extra))]
    header = Header(Layout(1, 0, "uint8"), size, BYTES, size <= PIECE, records=records)
    if header.single:
        data = b"".join(chunks)
        packed = file_of_one(header, pack_bytes(data, itemsize), data)
        out.write(packed)
        return len(packed)
    with BlockWriter(out, header) as blocks:
        blocks.write_bytes(BLOCK_BYTES, chunks, itemsize)
    return blocks.written
