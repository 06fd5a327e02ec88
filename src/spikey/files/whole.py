"""Whole files in and out: compress, verify, decompress, each complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

import numpy as np

from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.codec.block import MOST_REFERENCES, Method, learned
from spikey.codec.calibration_policy import choose_calibration
from spikey.coding.packed_bytes import PIECE
from spikey.container.embedding import Fate, Tally, note_on_model
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
from spikey.container.reader import Reader
from spikey.container.salvage import describe
from spikey.container.single import Choice
from spikey.container.writer import Readable, Writable, write_bytes_file, write_file
from spikey.model.calibration import Calibration
from spikey.model.trained import Model, use
from spikey.recording.opened import read_at
from spikey.recording.output import atomic_output
from spikey.recording.raw import open_raw
from spikey.recording.remote import is_address
from spikey.recording.source import NotPCM, Sink, Source, open_file
from spikey.recording.wav import open_wav

LONG = 1 << 19  # frames of a block where what has been learned counts for more than quick access
PRESETS = {
    "realtime": Method("lpc", lanes=2),
    "balanced": Method("balanced", lanes=1, references=MOST_REFERENCES),
    "max": Method("max", lanes=1, references=MOST_REFERENCES, longest=LONG),
}
LARGE = 100_000_000  # bytes from which the default preset is realtime
Progress = Callable[[int, int], None]  # of a recording's bytes those done since; bytes written since


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
    raw: channels, rate in Hz and type of a file without a header; keep_partial: whether it may end within a frame.
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
    keep_partial: bool = False
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
    """What became of one file: sizes in bytes, samples, and a note, such as why it was not modelled (0 samples: stored
    as plain bytes).

    beside: how many bytes of `original` are side files. skipped: whether nothing was done, as the output exists.
    """

    original: int
    compressed: int
    samples: int
    note: str = ""
    beside: int = 0
    skipped: bool = False

    @property
    def ratio(self) -> float:
        """Compression ratio, bytes in over bytes out."""
        return self.original / self.compressed if self.compressed else 0.0


def compress_file(
    path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
    name: str = "",
) -> Outcome:
    """Compress a recording into a file that gets its mode and modification time.

    Parameters
    ----------
    path, out_path : paths
        A WAV file, or a raw one that `settings.raw` describes; the file to write.
    settings : Settings, optional
        How; with `settings.verify`, what is written is decoded and compared before it is renamed to `out_path`.
    progress : callable, optional
        Called with bytes of the recording done and bytes written since.
    overwrite : bool
        Whether to replace `out_path` where it exists. The input is never replaced.
    name : str
        A name to store, under which the file is restored into a folder; empty where the output's name gives it.

    Raises
    ------
    DataError, UsageError
        Nothing is left behind then. OutputExistsError: `out_path` exists.
    """
    settings = settings or Settings()
    try:
        source = open_recording(path, settings)
    except NotPCM as reason:
        note = f"{reason}; stored as plain bytes"
        return compress_bytes(path, out_path, settings, progress, overwrite=overwrite, name=name, note=note)
    with source:
        calibration, embed = calibration_for(source, settings)
        extra = Extra({"source": {"file": name}}) if name else None
        return write_recording(
            source, out_path, settings, calibration, embed, progress, extra=extra, overwrite=overwrite, like=path
        )


def compress_bytes(
    path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
    name: str = "",
    note: str = "",
) -> Outcome:
    """Compress a file that is not a recording, as plain bytes; parameters and errors as of `compress_file`."""
    settings = settings or Settings()
    with atomic_output(out_path, path, overwrite=overwrite, like=path) as (out, tmp_path):
        size, written = write_bytes(path, out, name)
        _report(progress, size, written)
        out.close()
        if settings.verify:
            with Reader(tmp_path) as reader:
                compare_bytes(path, reader)
            _report(progress, size, 0)
    return Outcome(size, written, 0, note)


def _report(progress: Progress | None, done: int, written: int) -> None:
    if progress is not None:
        progress(done, written)


def open_recording(path: str | os.PathLike[str], settings: Settings) -> Source:
    """The recording in a WAV file, or in a file without a header that the settings describe."""
    if settings.raw is None:
        return open_wav(path, floats=True)
    return open_raw(path, *settings.raw, keep_partial=settings.keep_partial)


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
    overwrite: bool = False,
    like: str | os.PathLike[str] | None = None,
    readable_as: Sequence[str | os.PathLike[str]] = (),
) -> Outcome:
    """Compress an opened recording; payload and decoded: the only block's, where they are known already.

    extra: metadata and side files to store. overwrite: whether to replace a file. like: whose mode and time it gets;
    readable_as: further files that restrict the mode.
    """
    size, tally = size_of(source), Tally()
    if settings.model is not None:
        use(settings.model)  # what is written is read again
    inputs = [source.name, *(file.path for file in extra.files)] if extra is not None else [source.name]
    with atomic_output(out_path, *inputs, overwrite=overwrite, like=like, readable_as=readable_as) as (out, tmp_path):
        counted = CountedOutput(out)
        written = write_file(
            source,
            counted,
            settings.method(size),
            calibration,
            embed=embed,
            embed_model=settings.embed_model,
            jobs=settings.jobs,
            progress=None if progress is None else counted.reporting(progress, source.layout.itemsize),
            payload=payload,
            extra=extra,
            block_frames=settings.block_frames,
            tally=tally,
        )
        out.close()
        if settings.verify:
            with Reader(tmp_path) as reader:
                # What has been decoded with the network says nothing of a file that does without it.
                known = None if tally.fate is Fate.DROPPED else decoded
                compare(source, reader, settings.jobs, known, extra, progress)
        check_unchanged(source)
        note = ""
        if source.layout.memory_dtype.kind == "f":
            with Reader(tmp_path) as reader:
                note = note_on_floats(reader, source.name)
    note = "; ".join(filter(None, (note, note_on_model(tally, settings.model))))
    beside = 0 if extra is None else sum(file.size for file in extra.files)
    return Outcome(size + beside, written, source.frames * source.layout.channels, note, beside)


class CountedOutput:
    """An output whose bytes are counted for the progress."""

    def __init__(self, out: Writable):
        self._out = out
        self._written = 0

    def write(self, data: bytes, /) -> int:
        self._written += len(data)
        return self._out.write(data)

    def reporting(self, progress: Progress, itemsize: int) -> Callable[[int], None]:
        """What reports samples as bytes, with those written since."""
        seen = 0

        def report(samples: int) -> None:
            nonlocal seen
            written, seen = self._written - seen, self._written
            progress(samples * itemsize, written)

        return report


def check_unchanged(source: Named) -> None:
    """DataError where a recording's file has another size than when it was opened."""
    size = getattr(source, "size_now", None)
    if size is not None and size() != size_of(source):
        raise DataError(f"{source.name}: changed its size while it was read; nothing was kept")


def note_on_floats(reader: Reader, name: str) -> str:
    """What to say of a file with floats that are no scaled integers; nothing where there are none."""
    blocks = [block for block in reader.blocks if block.kind == BLOCK_SAMPLES and block.size]
    packed = sum(reader.method_bytes(block)[:1] == PACKED_BYTE for block in blocks)
    if not packed:
        return ""
    share = "" if packed == len(blocks) else f"in {packed:,} of {len(blocks):,} blocks "
    return f"{name} {share}holds floats that are no scaled integers, which hardly shrink"


def write_bytes(path: str | os.PathLike[str], out: Writable, name: str = "") -> tuple[int, int]:
    """Compress a file that is not a recording, as bytes; return its size and the bytes written. name: to store."""
    file, title, size = open_file(path)
    with file:
        pieces = (bytes(read_at(file, title, at, min(PIECE, size - at))) for at in range(0, size, PIECE))
        extra = Extra({"source": {"file": name}}) if name else None
        return size, write_bytes_file(size, pieces, 4, out, extra)


def compare_bytes(path: str | os.PathLike[str], reader: Reader) -> None:
    """Compare what was written of a file's bytes with the file; SpikeyError where it differs."""
    file, name, _ = open_file(path)
    with file:
        for chunk in reader.around(BLOCK_BYTES):
            _same(file.read(len(chunk)) == chunk, name)
        _same(file.read(1) == b"", name)


def compare(
    source: Named,
    reader: Reader,
    jobs: int = 1,
    decoded: np.ndarray | None = None,
    extra: Extra | None = None,
    progress: Progress | None = None,
) -> None:
    """Decode what was written of an opened recording and compare it, byte for byte; SpikeyError where it differs.

    decoded: what the only block has been decoded to already; the checksum ties it to the file.
    """
    name = source.name
    if decoded is not None:
        reader.give(reader.blocks[0], decoded)
    compare_around(source, reader, name)
    first = 0
    for chunk in reader.iterate_blocks(jobs):
        rows = max(PIECE // chunk.shape[1], 1)
        for at in range(0, len(chunk), rows):
            piece = chunk[at : at + rows]
            _same(same_bits(source.read(first, len(piece)), piece), name)
            first += len(piece)
            _report(progress, piece.size * source.layout.itemsize, 0)
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
    overwrite: bool = False,
) -> tuple[Outcome, list[tuple[int, int, int, int]]]:
    """Restore a file byte for byte, with the mode and modification time of the compressed one.

    Parameters
    ----------
    path, out_path : paths
        The compressed file, or the archive it lies in; the file to write.
    salvage : bool
        Whether lost parts become zeros; otherwise they raise DamagedError and nothing is written.
    jobs : int
        Threads.
    progress : callable, optional
        Called with bytes restored since, and 0.
    opened : Reader, optional
        The file's reader, where there is one already; it is closed.
    overwrite : bool
        Whether to replace `out_path` where it exists. The input is never replaced.

    Returns
    -------
    Outcome, and the extents (first frame, end frame, first channel, end channel) that are lost.
    """
    reader = Reader(path, salvage=salvage) if opened is None else opened
    like = None if isinstance(path, bytes) or is_address(path) else path
    with reader, atomic_output(out_path, path, overwrite=overwrite, like=like) as (out, _):
        written = restore_to(out, reader, jobs, progress)
        return Outcome(written, reader.file_size, samples_of(reader)), sorted(set(reader.lost))


def restore_to(out: BinaryIO, reader: Reader, jobs: int = 1, progress: Progress | None = None) -> int:
    """Write what an opened file restores, without its side files; return how many bytes that are."""
    written = 0
    if reader.header.wrapper == BYTES:
        for chunk in reader.around(BLOCK_BYTES):
            written += out.write(chunk)
            _report(progress, len(chunk), 0)
        return written
    sink = Sink(out, reader.layout)
    for chunk in reader.around(BLOCK_HEAD):
        sink.write_head(chunk)
        written += len(chunk)
    for samples in reader.iterate_blocks(jobs):
        sink.write(samples)
        written += samples.size * reader.layout.itemsize
        _report(progress, samples.size * reader.layout.itemsize, 0)
    for chunk in reader.around(BLOCK_TAIL):
        sink.write_tail(chunk)
        written += len(chunk)
    return written


def verify_file(path: str | os.PathLike[str], jobs: int = 1, progress: Progress | None = None) -> Outcome:
    """Decode everything and check every sum; DamagedError lists all that is lost."""
    with Reader(path, lossy=True, correction=True) as reader:
        reader.salvage = True
        kinds = (BLOCK_HEAD, BLOCK_TAIL, BLOCK_BYTES, BLOCK_FILES)
        total = sum(len(chunk) for kind in kinds for chunk in reader.around(kind))
        if reader.header.wrapper != BYTES:
            for samples in reader.iterate_blocks(jobs):
                total += samples.size * reader.layout.itemsize
                _report(progress, samples.size * reader.layout.itemsize, 0)
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
