"""Whole files in and out: compress, verify, decompress, each complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from spikey.coding.block import MOST_REFERENCES, Method, learned
from spikey.container.embedding import Fate, Tally, note_on_model
from spikey.container.estimate import choose_calibration
from spikey.container.extra import Extra
from spikey.container.layout import (
    BLOCK_BYTES,
    BLOCK_FILES,
    BLOCK_HEAD,
    BLOCK_SAMPLES,
    BLOCK_TAIL,
    BYTES,
    PACKED_BYTE,
)
from spikey.container.packed_bytes import PIECE
from spikey.container.reader import Reader
from spikey.container.salvage import describe
from spikey.container.writer import Choice, Readable, Writable, write_bytes_file, write_file
from spikey.errors import DamagedError, SpikeyError, UsageError
from spikey.model.calibration import Calibration
from spikey.model.trained import Model, use
from spikey.recording.raw import open_raw
from spikey.recording.remote import is_address
from spikey.recording.source import NotPCM, Sink, Source, open_file, read_at
from spikey.recording.store import complete_address, unfinished
from spikey.recording.wav import open_wav

LONG = 1 << 19  # frames of a block where what has been learned counts for more than quick access
PRESETS = {
    "realtime": Method("lpc", lanes=2),
    "balanced": Method("balanced", lanes=1, references=MOST_REFERENCES),
    "archive": Method("archive", lanes=1, references=MOST_REFERENCES, longest=LONG),
    "archive-max": Method("archive-max", lanes=1, references=MOST_REFERENCES, longest=LONG),
}
LARGE = 100_000_000  # bytes from which the default preset is realtime
Progress = Callable[[int], None]


class Named(Readable, Protocol):
    """An opened recording with a name for messages."""

    name: str


@dataclass(frozen=True)
class Settings:
    """How to compress: a preset or None to choose by size, what a configuration overrides, calibration, threads.

    predictor: "lms" for that one; anything else leaves it to the preset, whose predictors are all of the lpc family.
    model: a trained network instead of a preset; embed_model: whether it travels with the file, None: where it does not
    come with the package and takes at most 1 % of the file.
    calibration: None for none; embed: its bytes, to travel with the file; estimate: choose by looking at the recording.
    raw: channels, rate in Hz and type of a file without a header.
    block_frames: frames of a full block; None for the usual number.
    """

    preset: str | None = None
    predictor: str | None = None
    model: Model | None = None
    embed_model: bool | None = None
    coder: str = "arithmetic"
    delta: bool = True
    calibration: Calibration | None = None
    embed: bytes | None = None
    estimate: bool = False
    raw: tuple[int, float, str] | None = None
    block_frames: int | None = None
    jobs: int = 1
    verify: bool = True

    def method(self, size: int) -> Method:
        """The method for an input of `size` bytes."""
        if self.model is not None:
            return learned(self.model, self.coder)
        preset = self.preset or ("realtime" if size > LARGE else "balanced")
        if preset not in PRESETS:
            raise UsageError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}")
        method = Method("lms", lanes=1, references=MOST_REFERENCES) if self.predictor == "lms" else PRESETS[preset]
        return replace(method, coder=self.coder, delta=self.delta)


@dataclass(frozen=True)
class Outcome:
    """What became of one file: sizes in bytes, samples, and what else is to be said of it, such as why it was not
    modelled (0 samples: kept as plain bytes).
    """

    original: int
    compressed: int
    samples: int
    note: str = ""

    @property
    def ratio(self) -> float:
        """Compression ratio, bytes in over bytes out."""
        return self.original / self.compressed if self.compressed else 0.0


@contextmanager
def complete_file(
    path: str | os.PathLike[str], source: str | os.PathLike[str] | None = None
) -> Iterator[tuple[BinaryIO, str]]:
    """A file to write that appears under `path` only when the block ends without an error; also its passing name.

    path: also an address of fsspec's. The block closes the file before it reads it again. source: a file that must not
    be the one written to. Raises UsageError where `path` cannot be written.
    """
    if is_address(path):
        if path == source:
            raise UsageError(f"{path}: would be read and written at once; name another output")
        with complete_address(path) as remote:
            yield remote
        return
    target = Path(os.path.realpath(path))  # a link stays one
    try:
        if target.exists():
            if target.is_dir():
                raise UsageError(f"{target}: is a folder; name a file to write to")
            if not target.is_file():
                raise UsageError(f"{target}: is no regular file, so it cannot be written to")
            if source is not None and os.path.exists(source) and os.path.samefile(source, target):
                raise UsageError(f"{target}: would be read and written at once; name another output")
        passing = target.with_name(unfinished(target.name))
        handle = os.open(passing, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file, os.fspath(passing)
            os.replace(passing, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(passing)
            raise
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror or error})") from None


def compress_file(
    path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Compress a recording; what is written is decoded and compared before it takes its name, unless told not to.

    Raises DataError or UsageError; nothing is left behind then.
    """
    settings = settings or Settings()
    try:
        source = open_recording(path, settings)
    except NotPCM as reason:
        return _compress_bytes(path, out_path, str(reason), settings)
    with source:
        calibration, embed = calibration_for(source, settings)
        return write_recording(source, out_path, settings, calibration, embed, progress)


def open_recording(path: str | os.PathLike[str], settings: Settings) -> Source:
    """The recording in a WAV file, or in a file without a header that the settings describe."""
    return open_wav(path, floats=True) if settings.raw is None else open_raw(path, *settings.raw)


def calibration_for(source: Readable, settings: Settings) -> tuple[Calibration | None, bytes | None]:
    """The calibration to use, and its bytes where it must travel with the file."""
    if settings.estimate:
        quick = replace(settings, model=None)  # which says as much of a calibration as a network does
        return choose_calibration(source, quick.method(size_of(source)))
    return settings.calibration, settings.embed


def size_of(source: Readable) -> int:
    """A recording's size in bytes."""
    return source.head_size + source.frames * source.layout.frame_bytes + source.tail_size


def write_recording(
    source: Named,
    out_path: str | os.PathLike[str],
    settings: Settings,
    calibration: Calibration | None,
    embed: bytes | None,
    progress: Progress | None = None,
    payload: Choice | None = None,
    decoded: np.ndarray | None = None,
    extra: Extra | None = None,
) -> Outcome:
    """Compress an opened recording; payload and decoded: the only block's, where they are known already.

    extra: metadata and side files that travel along.
    """
    size, tally = size_of(source), Tally()
    if settings.model is not None:
        use(settings.model)  # what is written is read again
    with complete_file(out_path, source.name) as (out, passing):
        written = write_file(
            source,
            out,
            settings.method(size),
            calibration,
            embed=embed,
            embed_model=settings.embed_model,
            jobs=settings.jobs,
            progress=progress,
            payload=payload,
            extra=extra,
            block_frames=settings.block_frames,
            tally=tally,
        )
        out.close()
        if settings.verify:
            with Reader(passing) as reader:
                # What has been decoded with the network says nothing of a file that does without it.
                compare(source, reader, settings.jobs, None if tally.fate is Fate.DROPPED else decoded, extra)
        note = ""
        if source.layout.memory_dtype.kind == "f":
            with Reader(passing) as reader:
                note = note_on_floats(reader, source.name)
    note = "; ".join(filter(None, (note, note_on_model(tally, settings.model))))
    return Outcome(size, written, source.frames * source.layout.channels, note)


def note_on_floats(reader: Reader, name: str) -> str:
    """What to say of a file with floats that are no scaled integers; nothing where there are none."""
    blocks = [block for block in reader.blocks if block.kind == BLOCK_SAMPLES and block.size]
    packed = sum(reader.method_bytes(block)[:1] == PACKED_BYTE for block in blocks)
    if not packed:
        return ""
    share = "" if packed == len(blocks) else f"in {packed:,} of {len(blocks):,} blocks "
    return f"{name} {share}holds floats that are no scaled integers, which hardly shrink"


def _compress_bytes(
    path: str | os.PathLike[str], out_path: str | os.PathLike[str], note: str, settings: Settings
) -> Outcome:
    with complete_file(out_path, path) as (out, passing):
        size, written = write_bytes(path, out)
        out.close()
        if settings.verify:
            with Reader(passing) as reader:
                compare_bytes(path, reader)
    return Outcome(size, written, 0, note)


def write_bytes(path: str | os.PathLike[str], out: Writable) -> tuple[int, int]:
    """Compress a file that is no recording, as bytes; return its size and the bytes written."""
    file, name, size = open_file(path)
    with file:
        pieces = (bytes(read_at(file, name, at, min(PIECE, size - at))) for at in range(0, size, PIECE))
        return size, write_bytes_file(size, pieces, 4, out)


def compare_bytes(path: str | os.PathLike[str], reader: Reader) -> None:
    """Compare what was written of a file's bytes with the file; SpikeyError where it differs."""
    file, name, _ = open_file(path)
    with file:
        for chunk in reader.around(BLOCK_BYTES):
            _same(file.read(len(chunk)) == chunk, name)
        _same(file.read(1) == b"", name)


def compare(
    source: Named, reader: Reader, jobs: int = 1, decoded: np.ndarray | None = None, extra: Extra | None = None
) -> None:
    """Decode what was written of an opened recording and compare it, byte for byte; SpikeyError where it differs.

    decoded: what the only block has been decoded to already; the check sum ties it to the file.
    """
    name = source.name
    if decoded is not None:
        reader.give(reader.blocks[0], decoded)
    compare_around(source, reader, name)
    first = 0
    for chunk in reader.chunks(jobs):
        rows = max(PIECE // chunk.shape[1], 1)
        for at in range(0, len(chunk), rows):
            piece = chunk[at : at + rows]
            _same(same_bits(source.read(first, len(piece)), piece), name)
            first += len(piece)
    _same(first == source.frames, name)
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
    """Whether two arrays hold the same samples; of floats the same bits, which tell a zero's sign and NaNs apart."""
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
            f"{name}: changed while it was read, or what was written does not decode to it; nothing was kept"
        )


def decompress_file(
    path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    salvage: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    opened: Reader | None = None,
) -> tuple[Outcome, list[tuple[int, int, int, int]]]:
    """Restore a file byte for byte. With `salvage`, lost parts become zeros and are listed as extents
    (first frame, end frame, first channel, end channel); otherwise they raise DamagedError and nothing is written.
    opened: the file's reader, where there is one already; it is closed.
    """
    reader = Reader(path, salvage=salvage) if opened is None else opened
    with reader, complete_file(out_path, path) as (out, _):
        written = 0
        if reader.header.wrapper == BYTES:
            for chunk in reader.around(BLOCK_BYTES):
                written += out.write(chunk)
        else:
            sink = Sink(out, reader.layout)
            for chunk in reader.around(BLOCK_HEAD):
                sink.write_head(chunk)
                written += len(chunk)
            for samples in reader.chunks(jobs):
                sink.write(samples)
                written += samples.size * reader.layout.itemsize
                if progress is not None:
                    progress(samples.size)
            for chunk in reader.around(BLOCK_TAIL):
                sink.write_tail(chunk)
                written += len(chunk)
        return Outcome(written, reader.file_size, samples_of(reader)), sorted(set(reader.lost))


def verify_file(path: str | os.PathLike[str], jobs: int = 1, progress: Progress | None = None) -> Outcome:
    """Decode everything and check every sum; DamagedError lists all that is lost."""
    with Reader(path, lossy=True, correction=True) as reader:
        reader.salvage = True
        kinds = (BLOCK_HEAD, BLOCK_TAIL, BLOCK_BYTES, BLOCK_FILES)
        total = sum(len(chunk) for kind in kinds for chunk in reader.around(kind))
        if reader.header.wrapper != BYTES:
            for samples in reader.chunks(jobs):
                total += samples.size * reader.layout.itemsize
                if progress is not None:
                    progress(samples.size)
        if reader.lost:
            lost = sorted(set(reader.lost))
            raise DamagedError(f"{os.fspath(path)}: {describe_lost(lost)}", lost)
        note = f"is lossy: {reader.lossy.words()}" if reader.lossy is not None else ""
        note = "is no recording but corrects a lossy one" if reader.corrects else note
        return Outcome(total, reader.file_size, samples_of(reader), note)


def samples_of(reader: Reader) -> int:
    """How many samples a file holds; 0 where it keeps plain bytes."""
    return 0 if reader.header.wrapper == BYTES else reader.frames * reader.layout.channels


def describe_lost(lost: list[tuple[int, int, int, int]]) -> str:
    """What is lost, in words; at most three of the ranges are named.

    >>> describe_lost([(0, 256, 0, 2)])
    '1 block is damaged: frames 0 to 256 of channels 0 to 1'
    """
    parts = map(describe, lost[:3])
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    return f"{len(lost)} block{'s are' if len(lost) > 1 else ' is'} damaged: {', '.join(parts)}{more}"
