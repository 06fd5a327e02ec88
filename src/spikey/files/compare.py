"""Compare what was written with what it was made of, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from spikey.base.errors import DamagedError, SpikeyError
from spikey.coding.packed_bytes import PIECE
from spikey.container.extra import Extra
from spikey.container.layout import BLOCK_BYTES, BLOCK_FILES, BLOCK_HEAD, BLOCK_TAIL
from spikey.container.reader import Reader
from spikey.files.mapped_files import differing
from spikey.files.settings import Progress, report
from spikey.recording.readable import Named, Readable
from spikey.recording.sample_map import Mapped
from spikey.recording.source import open_file


def compare_bytes(path: str | os.PathLike[str], reader: Reader) -> None:
    """Compare what was written of a file's bytes with the file; SpikeyError where it differs."""
    file, name, _ = open_file(path)
    with file:
        for chunk in reader.around(BLOCK_BYTES):
            _same(file.read(len(chunk)) == chunk, name)
        _same(file.read(1) == b"", name)


def compare_readers(one: Reader, other: Reader) -> None:
    """Compare two compressed files of bytes; SpikeyError where they restore others."""
    _same(_same_streams(one.around(BLOCK_BYTES), other.around(BLOCK_BYTES)), one.name)


def compare(
    source: Named,
    reader: Reader,
    jobs: int = 1,
    *,
    decoded: np.ndarray | None = None,
    extra: Extra | None = None,
    progress: Progress | None = None,
) -> None:
    """Decode what was written of an opened recording and compare it, byte for byte; SpikeyError where it differs.

    decoded: what the only block has been decoded to already; the checksum ties it to the file.
    """
    name = source.name
    mapped: Mapped | None = getattr(source, "mapped", None)
    if mapped is not None:
        different = differing(reader, [file.path for file in mapped.files], jobs, progress)
        _same(different is None, str(different))
        _compare_files(reader, extra, name)
        return
    if decoded is not None:
        reader.decoder.provide(reader.structure.blocks[0], decoded)
    compare_around(source, reader, name)
    first = 0
    try:
        for chunk in reader.blocks(jobs):
            rows = max(PIECE // chunk.shape[1], 1)
            for at in range(0, len(chunk), rows):
                piece = chunk[at : at + rows]
                _same(same_bits(source.read(first, len(piece)), piece), name)
                first += len(piece)
                report(progress, piece.size * source.layout.itemsize, 0)
    except DamagedError:  # a block and its checksum were made of different samples
        _same(False, name)
    _same(first == source.frames, name)
    _compare_files(reader, extra, name)


def _compare_files(reader: Reader, extra: Extra | None, name: str) -> None:
    """Compare side files."""
    if extra is not None:
        kept = {file.name: file.size for file in extra.files}
        _same(reader.files == kept and _same_streams(reader.around(BLOCK_FILES), extra.chunks()), name)


def compare_around(source: Readable, reader: Reader, name: str) -> None:
    """Compare what was written of the bytes around the samples with the source's."""
    for kind, chunks in ((BLOCK_HEAD, source.head_chunks()), (BLOCK_TAIL, source.tail_chunks())):
        wanted = b"".join(chunks) if source.head_size + source.tail_size < PIECE else None
        if wanted is not None:
            _same(b"".join(reader.around(kind)) == wanted, name)
        else:
            _same(_same_streams(reader.around(kind), chunks), name)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays hold the same samples; of floats the same bits, which distinguish a zero's sign and NaNs."""
    if one.dtype.kind == "f":
        kind = np.dtype(f"u{one.dtype.itemsize}")
        one, other = np.ascontiguousarray(one).view(kind), np.ascontiguousarray(other).view(kind)
    return bool((one == other).all())


def _same_streams(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    """Whether two streams hold the same bytes, however they are cut."""
    pending = b""
    for chunk in one:
        while len(pending) < len(chunk):
            more = next(other, b"")
            if not more:
                return False
            pending += more
        if pending[: len(chunk)] != chunk:
            return False
        pending = pending[len(chunk) :]
    return not pending and not next(other, b"")


def _same(same: bool, name: str) -> None:
    if not same:
        raise SpikeyError(
            f"{name}: changed while it was read, or what was written does not decode to it; no output was written",
            code="verification-failed",
        )
