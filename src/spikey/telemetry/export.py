"""Decoded telemetry as other files: NPZ, a CSV table of events, a WAV for viewing; each complete or not at all.

`write_npz`, `write_csv` and `write_wav` write decoded telemetry as a whole; `csv_output`, `wav_output` and
`npz.npz_output` write it part by part, in memory for one part.
"""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spikey.base.errors import UsageError
from spikey.recording.layout import Layout
from spikey.recording.output import atomic_output
from spikey.recording.source import Sink
from spikey.recording.wav import canonical_head
from spikey.telemetry.check import NOTE, settings_of
from spikey.telemetry.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from spikey.telemetry.decoded import Telemetry
    from spikey.telemetry.packet import Description
    from spikey.telemetry.survey import Survey

COMMENT = b"Lossy reconstruction from Spikey telemetry, not the recording"  # in a WAV
MOST_RIFF = (1 << 32) - 2  # bytes that a WAV's 32-bit sizes can represent
UNKNOWN = b"\xff\xff\xff\xff"  # in place of a size that does not fit
FORMAT_BYTES = 24  # of a WAV's chunk `fmt `
PIECE = 1 << 21  # samples for each reconstructed piece
UNITS = {
    "rate": "Hz",
    "event_frames": "frames",
    "event_times": "s",
    "event_channels": "channel, from 0",
    "event_weak": "whether it crosses only a lower threshold; its frame is its trough's",
    "event_scaled": "whether its waveform is that of a neighbouring channel, scaled",
    "waveform_of": "row of waveforms, -1: none",
    "waveforms": "codes of the converter, band-passed",
    "waveform_pre": "samples before the trough",
    "waveform_channels": "channel, from 0",
    "trough_frames": "frames",
    "power": "mean of squared codes, NaN: left out or missing",
    "power_bin": "frames of a bin",
    "low": "codes of the converter, NaN: left out or missing",
    "low_frames": "frames",
    "low_rate": "Hz",
    "missing": "frames, first and end",
    "left_out": "events, waveforms, values of power, blocks of the LFP band",
}
NAMES = (  # of all arrays, in order
    *("note", "rate", "channels", "frames", "dtype", "event_frames", "event_times", "event_channels", "event_weak"),
    *("event_scaled", "waveform_of", "waveforms", "waveform_pre", "waveform_channels", "trough_frames", "power"),
    *("power_bin", "low", "low_frames", "low_rate", "missing", "left_out", "settings", "units"),
)
PathLike = str | os.PathLike[str]


def columns(telemetry: Telemetry, waveforms: int = 0) -> dict[str, np.ndarray]:
    """The arrays that grow with a stream, by name. waveforms: number of waveforms before this part."""
    rows = telemetry.waveform_of
    return {
        "event_frames": telemetry.event_frames,
        "event_times": telemetry.event_frames / telemetry.rate,
        "event_channels": telemetry.event_channels,
        "event_weak": telemetry.event_weak,
        "event_scaled": telemetry.event_scaled,
        "waveform_of": np.where(rows >= 0, rows + waveforms, -1) if waveforms else rows,
        "waveforms": telemetry.waveforms,
        "waveform_channels": telemetry.waveform_channels,
        "trough_frames": telemetry.trough_frames,
        "power": telemetry.power,
        "low": telemetry.low,
        "low_frames": telemetry.low_frames,
    }


def constants(
    description: Description, frames: int, missing: Iterable[tuple[int, int]], dropped: Iterable[int]
) -> dict[str, np.ndarray]:
    """The other arrays, by name, most of them without dimensions."""
    shape = description.shape
    return {
        "note": np.array(NOTE),
        "rate": np.array(description.rate),
        "channels": np.array(description.channels),
        "frames": np.array(frames),
        "dtype": np.array(description.dtype),
        "waveform_pre": np.array(shape.pre),
        "power_bin": np.array(shape.bin),
        "low_rate": np.array(description.rate / shape.decimation),
        "missing": np.array(missing, dtype=np.int64).reshape(-1, 2),
        "left_out": np.array(dropped, dtype=np.int64),
        "settings": np.array(json.dumps(settings_of(description))),
        "units": np.array(json.dumps(UNITS)),
    }


def arrays(telemetry: Telemetry) -> dict[str, np.ndarray]:
    """All decoded contents, by name, as NumPy arrays; `units` lists their units, as JSON.

    event_frames, event_channels, waveform_of int64 (n,), event_times float64 (n,), event_weak, event_scaled bool (n,):
    events. waveforms float32 (w, snippet), trough_frames, waveform_channels int64 (w,). power float32 (bins,
    channels). low float32 (samples, channels), low_frames float64 (samples,). missing int64 (spans, 2). left_out int64
    (4,). Without dimensions: rate, low_rate float64; channels, frames, power_bin, waveform_pre int64; strings: note,
    dtype, and settings in JSON.

    >>> import spikey
    >>> from spikey.telemetry.record import collect
    >>> encoder = spikey.TelemetryEncoder(2, 20000)
    >>> decoded = arrays(collect(encoder.push(np.zeros((2000, 2), dtype="int16")) + encoder.close()))
    >>> decoded["power"].shape, float(decoded["rate"]), decoded["event_frames"].size
    ((2, 2), 20000.0, 0)
    """
    fixed = constants(telemetry.description, telemetry.frames, telemetry.missing, telemetry.dropped)
    found = columns(telemetry) | fixed
    return {name: found[name] for name in NAMES}


def write_npz(telemetry: Telemetry, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False) -> None:
    """Write `arrays` as one file that `numpy.load` opens. UsageError if `path` cannot be written.

    source: a file that `path` must not be, here and below. overwrite: whether to replace an existing file.
    """
    with atomic_output(path, *inputs(source), overwrite=overwrite, readable_as=inputs(source)) as (file, _):
        np.savez(file, **arrays(telemetry))  # type: ignore[arg-type]


def inputs(source: PathLike | None) -> list[PathLike]:
    """The inputs of an output, for `atomic_output`."""
    return [] if source is None else [source]


def write_csv(telemetry: Telemetry, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False) -> None:
    """Write a row for each event: time_s, channel, crossing_frame, trough_frame, amplitude, weak, scaled, w0, w1, ….

    amplitude: of the waveform's trough, w0 …: its samples, all in codes with four decimals, blank if there is none.
    weak, scaled: 1 or 0; crossing_frame of a weak spike is its trough. UsageError if `path` cannot be written.
    """
    with csv_output(telemetry.description, path, source, overwrite=overwrite) as add:
        add(telemetry)


@contextmanager
def csv_output(
    description: Description, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False
) -> Iterator[Callable[[Telemetry], None]]:
    """`write_csv` part by part: yields a function to call with each part, in order."""
    snippet = description.shape.snippet
    names = [f"w{i}" for i in range(snippet)] if description.settings.waveforms else []
    blank = [""] * len(names)
    with atomic_output(path, *inputs(source), overwrite=overwrite, readable_as=inputs(source)) as (file, _):
        text = io.TextIOWrapper(file, "ascii", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["time_s", "channel", "crossing_frame", "trough_frame", "amplitude", "weak", "scaled", *names])

        def add(part: Telemetry) -> None:
            marks = zip(part.event_weak.astype(int), part.event_scaled.astype(int), strict=True)
            events = zip(part.event_frames, part.event_channels, part.waveform_of, marks, strict=True)
            for frame, channel, row, which in events:
                trough, amplitude, wave = "", "", blank
                if row >= 0:
                    wave = [f"{value:.4f}" for value in part.waveforms[row].tolist()]
                    trough, amplitude = str(part.trough_frames[row]), wave[part.pre]
                time = f"{frame / part.rate:.7f}"
                table.writerow([time, channel, frame, trough, amplitude, *which, *wave])

        yield add
        text.flush()
        text.detach()


def write_wav(
    telemetry: Telemetry,
    path: PathLike,
    source: PathLike | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write the reconstructed signal, `Telemetry.samples`, as a WAV with a comment that it is a lossy reconstruction.

    progress: called with numbers of samples written. UsageError if `path` cannot be written, or a WAV cannot represent
    the rate or type.
    """
    with wav_output(survey([telemetry]), path, source, progress, overwrite=overwrite) as add:
        add(telemetry)


@contextmanager
def wav_output(
    known: Survey,
    path: PathLike,
    source: PathLike | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    noise: int | None = None,
    overwrite: bool = False,
) -> Iterator[Callable[[Telemetry], None]]:
    """`write_wav` part by part: yields a function to call with each part, in order. known: of the whole stream.

    noise: seed of artificial noise between the waveforms, as in `Telemetry.signal`; None for no noise.
    """
    description = known.description
    layout = Layout(description.channels, description.rate, description.dtype)
    try:
        head = _head(layout, known.frames)
    except UsageError as error:
        raise UsageError(f"{os.fspath(path)}: {error.text}; write .npz instead") from None
    rows = max(PIECE // layout.channels, 1)
    with atomic_output(path, *inputs(source), overwrite=overwrite, readable_as=inputs(source)) as (file, _):
        sink = Sink(file, layout)
        sink.write_head(head)

        def add(part: Telemetry) -> None:
            if part.around is not None:  # where the LFP band is missing: its mean over the whole stream
                part = replace(part, around=part.around._replace(level=known.level))
            for first in range(part.first_frame, part.end_frame, rows):
                samples = part.samples(first, min(first + rows, part.end_frame), noise)
                sink.write(samples)
                if progress is not None:
                    progress(samples.size)

        yield add
        sink.write_tail(b"\0" * (known.frames * layout.frame_bytes % 2))


def _head(layout: Layout, frames: int) -> bytes:
    """The bytes before the samples, with a list of one comment (RIFF's INFO, ICMT); RF64 from 4 GiB on."""
    plain = canonical_head(layout, 0)
    text = COMMENT + b"\0" * (2 - len(COMMENT) % 2)
    comment = b"INFOICMT" + struct.pack("<I", len(COMMENT) + 1) + text
    chunks = plain[12 : 12 + FORMAT_BYTES] + b"LIST" + struct.pack("<I", len(comment)) + comment
    size = frames * layout.frame_bytes
    whole = 4 + len(chunks) + 8 + size + size % 2
    if whole <= MOST_RIFF:
        return b"RIFF" + struct.pack("<I", whole) + b"WAVE" + chunks + b"data" + struct.pack("<I", size)
    sizes = struct.pack("<IQQQI", 28, whole + 36, size, frames, 0)
    return b"RF64" + UNKNOWN + b"WAVEds64" + sizes + chunks + b"data" + UNKNOWN
