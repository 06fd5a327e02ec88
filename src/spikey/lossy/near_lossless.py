"""Lossy files with a guarantee: `near_lossless`, off by at most so many codes, and `hybrid`, of at most so many bits.

What is written is an ordinary `.spky` file of bins (`spikey.levels.quantised`) with the header's lossy flag. What lies
within the bins may go into a correction file, with which the original is restored bit for bit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.codec.method import LPC, Method
from spikey.codec.registry import DEFAULT_PRESET, preset_method
from spikey.container.contents import Contents, packed_record
from spikey.container.layout import LARGEST_RECORD
from spikey.container.reader import Reader
from spikey.container.records import BINS, CORRECTION
from spikey.container.writer import write_file
from spikey.files.compare import compare_around
from spikey.files.compress import CountedOutput
from spikey.files.decompress import decompress_file
from spikey.files.encoding import Encoding, encode_recording
from spikey.files.settings import LARGE, Outcome, Progress, Settings, size_of
from spikey.levels.quantised import MOST_STEP, Bins, find_axes
from spikey.lossy.hybrid import finest_runs
from spikey.recording.output import atomic_output, is_input
from spikey.recording.raw import open_raw
from spikey.recording.readable import ArraySource
from spikey.recording.wav import open_wav

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spikey.recording.source import Source

Path = str | os.PathLike[str]
RESTS = Method("lpc", lanes=1, delta=False)  # what lies within bins is close to noise: nothing else codes it better
PIECE = 1 << 22  # samples compared together
MOST_BITS = 64  # per sample that can be asked for; with as many nothing is lost


@dataclass(frozen=True)
class Written:
    """What was written: the file, its correction if there is one, and the bins."""

    outcome: Outcome
    bins: Bins
    correction: Outcome | None = None


class Binned:
    """A recording as the bins its samples lie in, with all that is around them; what `write_file` takes."""

    def __init__(self, source: Source, bins: Bins):
        self.layout, self.frames, self.name = source.layout, source.frames, source.name
        self.canonical, self.head_size, self.tail_size = source.canonical, source.head_size, source.tail_size
        self.head_chunks, self.tail_chunks = source.head_chunks, source.tail_chunks
        self._source, self._bins = source, bins

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Bins (count, channels) of some frames."""
        return self._bins.bins(self._source.read(first_frame, count), first_frame)


class _Rests(ArraySource):
    """Where in their bins a recording's samples lie, with nothing around them."""

    def __init__(self, source: Source, bins: Bins):
        self.layout, self.frames = source.layout, source.frames
        self._source, self._bins = source, bins

    def read(self, first_frame: int, count: int) -> np.ndarray:
        return self._bins.rests(self._source.read(first_frame, count), first_frame)


def near_lossless(
    path: Path,
    out_path: Path,
    error: int,
    settings: Settings | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Written:
    """Compress a WAV or raw recording of integers so that no sample is off by more than `error` codes, at least 1.

    A code is a step of the channel's converter: of the N1's 1,024, else the step in which all its samples lie. Channels
    of at most 8 codes are kept as they are. What was written is decoded and compared, with `settings.verify`.
    progress: called with bytes done and bytes written since. overwrite: whether to replace `out_path` where it exists.
    Raises DataError or UsageError; nothing is left behind then.

    >>> import tempfile, spikey
    >>> from spikey.recording.simulate import simulate
    >>> samples = simulate(2000, profile="neuropixels", step=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = samples.tofile(f"{folder}/a.raw")
    ...     settings = Settings(raw=(1, 30000, "int16"))
    ...     written = near_lossless(f"{folder}/a.raw", f"{folder}/a.spky", 2, settings)
    ...     restored = spikey.decompress(f"{folder}/a.spky", lossy=True).samples
    >>> int(abs(restored - samples).max())
    2
    """
    if error < 1 or 2 * error >= MOST_STEP:
        raise UsageError(f"the largest error must be at least 1 code and below {MOST_STEP // 2:,}, not {error}")
    settings = settings or Settings()
    with _opened(path, settings) as source:
        bins = Bins("near-lossless", error, ((0, 2 * error + 1),), find_axes(source))
        return _write(source, out_path, bins, settings, progress, overwrite=overwrite)


def hybrid(
    path: Path,
    out_path: Path,
    bits: float,
    settings: Settings | None = None,
    progress: Progress | None = None,
    correction: Path | None = None,
    overwrite: bool = False,
) -> Written:
    """Compress a WAV or raw recording of integers into at most `bits` bits per sample, all bytes of the file counted.

    The largest error is as small as that allows, and the same in all channels; the earlier part of the recording may
    be one step finer, with the bits that are left over. correction: where to write what restores the original.
    Raises UsageError, with the least that is possible, where `bits` is too little; else as `near_lossless`.
    """
    if not 0 < bits <= MOST_BITS:
        raise UsageError(f"the bits per sample must be above 0 and at most {MOST_BITS}, not {bits}")
    if correction is not None and os.path.realpath(correction) == os.path.realpath(out_path):
        raise UsageError(f"{os.fspath(correction)}: cannot be both the output and its correction file")
    settings = settings or Settings()
    with _opened(path, settings) as source:
        axes = find_axes(source)

        def binned(runs: tuple[tuple[int, int], ...]) -> tuple[Binned, bytes]:
            made = Bins("hybrid", bits, runs, axes)
            return Binned(source, made), _record(made, source.name)

        runs = finest_runs(binned, axes, bits, _method(settings, size_of(source)), settings.jobs)
        return _write(source, out_path, Bins("hybrid", bits, runs, axes), settings, progress, correction, overwrite)


def restore(
    path: Path,
    out_path: Path,
    correction: Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> tuple[Outcome, Bins]:
    """Decode a lossy file, bytes around the samples included; with its correction file, the original byte for byte.

    Raises UsageError for a file that is not lossy, DataError for a correction of another file, DamagedError.
    """
    with Reader(path, lossy=True) as reader:
        if reader.lossy is None:
            raise UsageError(f"{os.fspath(path)}: is lossless; restore it with: spikey decompress")
        if correction is None:
            return _decode(path, out_path, jobs, progress, reader, overwrite), reader.lossy
        with Reader(correction, lossy=True, correction=True) as rests:
            reader.correct(rests)
            if is_input(out_path, (correction,)):
                raise UsageError(f"{os.fspath(out_path)}: would be read and written at once; name another output")
            outcome = _decode(path, out_path, jobs, progress, reader, overwrite)
            return replace(outcome, compressed=outcome.compressed + rests.file_size), reader.lossy


def _decode(
    path: Path, out_path: Path, jobs: int, progress: Progress | None, reader: Reader, overwrite: bool
) -> Outcome:
    return decompress_file(path, out_path, jobs=jobs, progress=progress, opened=reader, overwrite=overwrite)[0]


def _method(settings: Settings, size: int) -> Method:
    """An adaptive method for bins: `lpc` is the fast one, whatever the preset of that name is for samples."""
    if settings.free:
        return replace(LPC if size > LARGE else preset_method("balanced"), delta=settings.delta)
    if settings.preset == DEFAULT_PRESET and settings.model is None and settings.predictor is None:
        return replace(LPC, delta=settings.delta)
    return settings.method()


def _opened(path: Path, settings: Settings) -> Source:
    """The recording; DataError where its samples are no integers."""
    if settings.raw is None:
        return open_wav(path)
    if settings.raw[2].startswith("float"):
        raise UsageError(f"{os.fspath(path)}: lossy modes need integer samples, not floats")
    return open_raw(path, *settings.raw, keep_partial=settings.keep_partial)


def _record(bins: Bins, name: str) -> bytes:
    """The record that contains the bins."""
    content = bins.write()
    if len(content) > LARGEST_RECORD:
        raise UsageError(f"{name}: has too many channels for a lossy file; write them to several files")
    return packed_record(content)


def _write(
    source: Source,
    out_path: Path,
    bins: Bins,
    settings: Settings,
    progress: Progress | None,
    correction: Path | None = None,
    overwrite: bool = False,
) -> Written:
    """Write a lossy file and, where it is wanted, its correction; compare both with the source; keep both or none."""
    size, samples = size_of(source), source.frames * source.layout.channels
    contents = Contents(records=((BINS, _record(bins, source.name)),))
    with atomic_output(out_path, source.name, overwrite=overwrite, like=source.name) as (out, tmp_path):
        counted = CountedOutput(out)
        report = None if progress is None else counted.reporting(progress, source.layout.itemsize)
        binned = Binned(source, bins)
        blocks = encode_recording(binned, Encoding(_method(settings, size), jobs=settings.jobs))
        written = write_file(binned, counted, blocks, contents, report)
        out.close()
        if bins.mode == "hybrid" and samples and 8 * written > bins.given * samples:
            raise SpikeyError(f"{source.name}: takes more bits than {bins.given:g} per sample; please report this")
        with Reader(tmp_path, lossy=True) as reader:
            if settings.verify:
                _check(source, reader, settings.jobs)
            outcome = Outcome(size, written, samples)
            if correction is None:
                return Written(outcome, bins)
            with atomic_output(correction, source.name, overwrite=overwrite, like=source.name) as (beside, tmp_beside):
                rests = _Rests(source, bins)
                named = Contents(records=((CORRECTION, reader.digest),))
                blocks = encode_recording(rests, Encoding(RESTS, jobs=settings.jobs))
                correcting = write_file(rests, beside, blocks, named)
                beside.close()
                if settings.verify:
                    with Reader(tmp_beside, correction=True) as fix:
                        reader.correct(fix)
                        _check(source, reader, settings.jobs, exact=True)
                return Written(outcome, bins, Outcome(size, correcting, samples))


def _check(source: Source, reader: Reader, jobs: int, exact: bool = False) -> None:
    """Decode what was written and hold every sample against what is promised of it; SpikeyError where it is not kept.

    exact: with the correction, when the original itself is promised.
    """
    bins = reader.lossy
    assert bins is not None
    compare_around(source, reader, source.name)
    first = 0
    for restored in _pieces(reader, jobs):
        samples = source.read(first, len(restored))
        bounds = 0 if exact else bins.bounds(restored.shape, first)
        if (bins.errors(samples, restored) > bounds).any() or (exact and (samples != restored).any()):
            raise SpikeyError(
                f"{source.name}: changed while it was read, or the output violates its guarantee; no output was written"
            )
        first += len(restored)
    if first != source.frames:
        raise DataError(f"{source.name}: changed while it was read; no output was written")


def _pieces(reader: Reader, jobs: int) -> Iterator[np.ndarray]:
    """All samples in pieces of a bounded size."""
    rows = max(PIECE // reader.layout.channels, 1)
    for chunk in reader.blocks(jobs):
        for at in range(0, len(chunk), rows):
            yield chunk[at : at + rows]
