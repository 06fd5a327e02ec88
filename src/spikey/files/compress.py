"""Compress whole files: each complete, verified and then renamed, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spikey.base.errors import DataError
from spikey.codec.calibration_policy import Chosen
from spikey.codec.payload import EncodedBlock
from spikey.coding.packed_bytes import PIECE
from spikey.container.block_writer import Writable
from spikey.container.contents import Contents
from spikey.container.embedding import Fate, Tally, note_on_model
from spikey.container.extra import Extra
from spikey.container.file_map import FileMap
from spikey.container.layout import BLOCK_SAMPLES, PACKED_BYTE
from spikey.container.reader import Reader
from spikey.container.writer import write_bytes_file, write_file
from spikey.files.compare import compare, compare_bytes
from spikey.files.encoding import Encoding, encode_recording
from spikey.files.settings import Outcome, Progress, Settings, calibration_for, report, size_of
from spikey.model.trained import use
from spikey.recording.opened import read_at
from spikey.recording.output import atomic_output
from spikey.recording.raw import open_raw
from spikey.recording.readable import Named
from spikey.recording.source import NotPCM, Source, open_file
from spikey.recording.wav import open_wav


def compress_file(
    path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
    name: str = "",
) -> Outcome:
    """Compress a recording into a file with its mode and modification time.

    Parameters
    ----------
    path, out_path : paths
        A WAV file, or a raw one that `settings.raw` describes; the file to write.
    settings : Settings, optional
        How; with `settings.verify`, the output is decoded and compared before it is renamed to `out_path`.
    progress : callable, optional
        Called with bytes of the recording done and bytes written since.
    overwrite : bool
        Whether to replace an existing `out_path`. The input is never replaced.
    name : str
        A name to store, under which the file is restored into a folder; empty if the output's name implies it.

    Raises
    ------
    DataError, UsageError
        No output remains. OutputExistsError: `out_path` exists.
    """
    settings = settings or Settings()
    try:
        source = open_recording(path, settings)
    except NotPCM as reason:
        note = f"{reason}; stored as plain bytes"
        return compress_bytes(path, out_path, settings, progress, overwrite=overwrite, name=name, note=note)
    with source:
        extra = Extra({"source": {"file": name}}) if name else None
        output = Output(out_path, overwrite=overwrite, like=path)
        return write_recording(source, output, settings, extra=extra, progress=progress)


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
        report(progress, size, written)
        out.close()
        if settings.verify:
            with Reader(tmp_path) as reader:
                compare_bytes(path, reader)
            report(progress, size, 0)
    return Outcome(size, written, 0, note)


def open_recording(path: str | os.PathLike[str], settings: Settings) -> Source:
    """The recording in a WAV file, or in a file without a header that the settings describe."""
    if settings.raw is None:
        return open_wav(path, floats=True)
    return open_raw(path, *settings.raw, keep_partial=settings.keep_partial)


@dataclass(frozen=True)
class Output:
    """Where a file goes. overwrite: whether to replace one; like: whose mode and time it gets; readable_as: further
    files that restrict the mode.
    """

    path: str | os.PathLike[str]
    overwrite: bool = False
    like: str | os.PathLike[str] | None = None
    readable_as: Sequence[str | os.PathLike[str]] = ()


@dataclass(frozen=True)
class Prepared:
    """What is known of a recording of one block before it is written: calibration, block, and what it decodes to."""

    chosen: Chosen
    block: EncodedBlock
    decoded: np.ndarray | None = None


def write_recording(
    source: Named,
    output: Output,
    settings: Settings,
    *,
    extra: Extra | None = None,
    file_map: FileMap | None = None,
    prepared: Prepared | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Compress an opened recording. extra: metadata and side files to store; file_map: of a `MappedSource`."""
    tally = Tally()
    if settings.model is not None:
        use(settings.model)  # what is written is read again
    mapped = getattr(source, "mapped", None)
    inputs = [source.name, *(file.path for file in (() if extra is None else extra.files))]
    inputs += [] if mapped is None else [os.fspath(file.path) for file in mapped.files]
    mode = {"overwrite": output.overwrite, "like": output.like, "readable_as": output.readable_as}
    with atomic_output(output.path, *inputs, **mode) as (out, tmp_path):  # type: ignore[arg-type]
        counted = CountedOutput(out)
        reporting = None if progress is None else counted.reporting(progress, source.layout.itemsize)
        chosen = calibration_for(source, settings) if prepared is None else prepared.chosen
        contents = replace(contents_of(settings, chosen, extra), file_map=file_map)
        how = Encoding(settings.method(), chosen.calibration, settings.jobs, settings.block_frames)
        blocks = encode_recording(source, how) if prepared is None else prepared.block
        written = write_file(source, counted, blocks, contents, reporting, tally)
        out.close()
        if settings.verify:
            with Reader(tmp_path) as reader:
                # Blocks decoded with the network do not verify a file without it.
                known = None if prepared is None or tally.fate is Fate.DROPPED else prepared.decoded
                compare(source, reader, settings.jobs, decoded=known, extra=extra, progress=progress)
        check_unchanged(source)
        note = ""
        if source.layout.memory_dtype.kind == "f":
            with Reader(tmp_path) as reader:
                note = note_on_floats(reader, source.name)
    note = "; ".join(filter(None, (note, note_on_model(tally, settings.model))))
    beside = 0 if extra is None else sum(file.size for file in extra.files)
    return Outcome(size_of(source) + beside, written, source.frames * source.layout.channels, note, beside)


def contents_of(settings: Settings, chosen: Chosen, extra: Extra | None = None) -> Contents:
    """What a file contains beside its samples."""
    return Contents(chosen.calibration, chosen.embed, settings.model, settings.embed_model, extra=extra)


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
        raise DataError(f"{source.name}: changed its size while it was read; no output was written")


def note_on_floats(reader: Reader, name: str) -> str:
    """The note on a file with floats that are not scaled integers; nothing where there are none."""
    blocks = [block for block in reader.structure.blocks if block.kind == BLOCK_SAMPLES and block.size]
    packed = sum(reader.method_byte(block) == PACKED_BYTE for block in blocks)
    if not packed:
        return ""
    share = "" if packed == len(blocks) else f"in {packed:,} of {len(blocks):,} blocks "
    return f"{name} {share}holds floats that are not scaled integers, which hardly shrink"


def write_bytes(path: str | os.PathLike[str], out: Writable, name: str = "") -> tuple[int, int]:
    """Compress a file that is not a recording, as bytes; return its size and the bytes written. name: to store."""
    file, title, size = open_file(path)
    with file:
        pieces = (bytes(read_at(file, title, at, min(PIECE, size - at))) for at in range(0, size, PIECE))
        extra = Extra({"source": {"file": name}}) if name else None
        return size, write_bytes_file(size, pieces, 4, out, extra)
