"""Decoded telemetry as other files: NPZ, a CSV table of events, a WAV to look at; each complete or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from typing import TYPE_CHECKING

import numpy as np

from spikey.base.errors import UsageError
from spikey.recording.layout import Layout
from spikey.recording.output import atomic_output
from spikey.recording.source import Sink
from spikey.recording.wav import canonical_head
from spikey.telemetry.check import NOTE, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikey.telemetry.record import Telemetry

COMMENT = b"Lossy reconstruction from Spikey telemetry, not the recording"  # in a WAV
MOST_RIFF = (1 << 32) - 2  # bytes that a WAV's 32-bit sizes can count
UNKNOWN = b"\xff\xff\xff\xff"  # in place of a size that does not fit
FORMAT_BYTES = 24  # of a WAV's chunk `fmt `
PIECE = 1 << 21  # samples that are reconstructed together
UNITS = {
    "rate": "Hz",
    "event_frames": "frames",
    "event_times": "s",
    "event_channels": "channel, from 0",
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
PathLike = str | os.PathLike[str]


def arrays(telemetry: Telemetry) -> dict[str, np.ndarray]:
    """All decoded contents, by name, as NumPy arrays; `units` has each one's unit, as JSON.

    event_frames, event_channels, waveform_of int64 (n,), event_times float64 (n,): threshold crossings. waveforms
    float32 (w, snippet), trough_frames, waveform_channels int64 (w,). power float32 (bins, channels). low float32
    (samples, channels), low_frames float64 (samples,). missing int64 (spans, 2). left_out int64 (4,). Without
    dimensions: rate, low_rate float64; channels, frames, power_bin, waveform_pre int64; note, dtype, and settings in
    JSON, texts.

    >>> import spikey
    >>> from spikey.telemetry.record import collect
    >>> encoder = spikey.TelemetryEncoder(2, 20000)
    >>> decoded = arrays(collect(encoder.push(np.zeros((2000, 2), dtype="int16")) + encoder.close()))
    >>> decoded["power"].shape, float(decoded["rate"]), decoded["event_frames"].size
    ((2, 2), 20000.0, 0)
    """
    shape = telemetry.description.shape
    return {
        "note": np.array(NOTE),
        "rate": np.array(telemetry.rate),
        "channels": np.array(telemetry.channels),
        "frames": np.array(telemetry.frames),
        "dtype": np.array(telemetry.description.dtype),
        "event_frames": telemetry.event_frames,
        "event_times": telemetry.event_frames / telemetry.rate,
        "event_channels": telemetry.event_channels,
        "waveform_of": telemetry.waveform_of,
        "waveforms": telemetry.waveforms,
        "waveform_pre": np.array(telemetry.pre),
        "waveform_channels": telemetry.waveform_channels,
        "trough_frames": telemetry.trough_frames,
        "power": telemetry.power,
        "power_bin": np.array(shape.bin),
        "low": telemetry.low,
        "low_frames": telemetry.low_frames,
        "low_rate": np.array(telemetry.rate / shape.decimation),
        "missing": np.array(telemetry.missing, dtype=np.int64).reshape(-1, 2),
        "left_out": np.array(telemetry.dropped, dtype=np.int64),
        "settings": np.array(json.dumps(settings_of(telemetry))),
        "units": np.array(json.dumps(UNITS)),
    }


def write_npz(telemetry: Telemetry, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False) -> None:
    """Write `arrays` as one file that `numpy.load` opens. UsageError where `path` cannot be written.

    source: a file that must not be the one written to, here and below. overwrite: whether to replace a file.
    """
    with atomic_output(path, *_inputs(source), overwrite=overwrite, readable_as=_inputs(source)) as (file, _):
        np.savez(file, **arrays(telemetry))  # type: ignore[arg-type]


def _inputs(source: PathLike | None) -> list[PathLike]:
    return [] if source is None else [source]


def write_csv(telemetry: Telemetry, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False) -> None:
    """Write a line for each event: time_s, channel, crossing_frame, trough_frame, amplitude, w0, w1, ….

    amplitude: of the waveform's trough, w0 …: its samples, all in codes with four decimals, blank where there is none.
    UsageError where `path` cannot be written.
    """
    snippet = telemetry.description.shape.snippet
    names = [f"w{i}" for i in range(snippet)] if telemetry.description.settings.waveforms else []
    blank = [""] * (2 + len(names))
    with atomic_output(path, *_inputs(source), overwrite=overwrite, readable_as=_inputs(source)) as (file, _):
        text = io.TextIOWrapper(file, "ascii", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["time_s", "channel", "crossing_frame", "trough_frame", "amplitude", *names])
        events = zip(telemetry.event_frames, telemetry.event_channels, telemetry.waveform_of, strict=True)
        for frame, channel, row in events:
            cells = blank
            if row >= 0:
                wave = [f"{value:.4f}" for value in telemetry.waveforms[row].tolist()]
                cells = [str(telemetry.trough_frames[row]), wave[telemetry.pre], *wave]
            table.writerow([f"{frame / telemetry.rate:.7f}", channel, frame, *cells])
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

    progress: called with the samples done since. UsageError where `path` cannot be written, or a WAV cannot hold the
    rate or type.
    """
    layout = Layout(telemetry.channels, telemetry.rate, telemetry.description.dtype)
    try:
        head = _head(layout, telemetry.frames)
    except UsageError as error:
        raise UsageError(f"{os.fspath(path)}: {error}; write .npz instead") from None
    rows = max(PIECE // layout.channels, 1)
    with atomic_output(path, *_inputs(source), overwrite=overwrite, readable_as=_inputs(source)) as (file, _):
        sink = Sink(file, layout)
        sink.write_head(head)
        for first in range(0, telemetry.frames, rows):
            samples = telemetry.samples(first, min(first + rows, telemetry.frames))
            sink.write(samples)
            if progress is not None:
                progress(samples.size)
        sink.write_tail(b"\0" * (telemetry.frames * layout.frame_bytes % 2))


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
