"""Encode a recording's file into a telemetry file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from spikey.base.errors import DataError, UsageError
from spikey.files.compress import open_recording
from spikey.files.settings import Settings as Recordings
from spikey.levels.n1 import fits_n1
from spikey.recording.output import atomic_output
from spikey.recording.source import Source
from spikey.stream.encoder import DTYPES
from spikey.telemetry.contents import Missing
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.packet import MAGIC
from spikey.telemetry.settings import Settings, Shape

N1_BITS = 10  # of the device's ADC, although its samples are rescaled to 16 bits
USUAL_BUDGET = 1e6 / 1024  # bit/s per channel
PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class Encoded:
    """The result of encoding a recording.

    bits: of a sample of the ADC, to which the ratio refers. size: bytes of the file. spent: bits by purpose. dropped:
    crossings, waveforms, values of power and blocks of the LFP band that were left out.
    """

    settings: Settings
    shape: Shape
    frames: int
    bits: int
    size: int
    events: int
    spent: dict[str, float]
    dropped: tuple[int, int, int, int]

    @property
    def seconds(self) -> float:
        """Of the recording."""
        return self.frames / self.shape.rate

    @property
    def ratio(self) -> float:
        """Bits of the ADC divided by bits of the file."""
        return self.frames * self.shape.channels * self.bits / (8 * self.size)


def encode_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    ratio: float | None = None,
    usual_budget: bool = False,
    recordings: Recordings | None = None,
    progress: Callable[[int], None] | None = None,
    overwrite: bool = False,
    key: bytes | None = None,
) -> Encoded:
    """Encode a recording as telemetry, LOSSY, and decode every packet to check its contents.

    ratio: sets the budget to the bit rate of the ADC divided by this: 10 bits a sample for the N1, else those of the
    type. usual_budget: sets it to 976.5625 bit/s per channel, the default without settings. recordings: how to open the
    file. progress: called with numbers of samples. overwrite: whether to replace an existing `output`. key: with it,
    packets have tags of `settings.tag_bytes`. Raises UsageError or DataError; no output is written then.
    """
    with open_recording(Path(path), recordings or Recordings()) as source:
        layout = source.layout
        settings, bits = budgeted(source, str(path), settings, ratio=ratio, usual_budget=usual_budget)
        encoder = TelemetryEncoder(layout.channels, layout.rate, layout.dtype, settings=settings, key=key)
        check = _Check(str(path), key)
        with atomic_output(output, path, overwrite=overwrite, like=path) as (out, _):
            out.write(MAGIC)
            size = len(MAGIC)
            piece = max(PIECE_BYTES // layout.frame_bytes, 1)
            for at in range(0, source.frames, piece):
                frames = source.read(at, min(piece, source.frames - at))
                for packet in encoder.push(frames):
                    check.take(packet)
                    size += out.write(packet)
                if progress is not None:
                    progress(frames.size)
            for packet in encoder.close():
                check.take(packet)
                size += out.write(packet)
            check.done(encoder)
    a, b, c, d = map(int, encoder.dropped)
    return Encoded(
        encoder.settings, encoder.shape, encoder.frames, bits, size, encoder.events, encoder.spent, (a, b, c, d)
    )


def budgeted(
    source: Source, what: str, settings: Settings | None, *, ratio: float | None = None, usual_budget: bool = False
) -> tuple[Settings, int]:
    """Settings with the budget for a recording, and the bits of its samples; options as in `encode_file`."""
    layout = source.layout
    if layout.dtype not in DTYPES:
        raise UsageError(f"{what}: telemetry takes samples of {', '.join(DTYPES)}, not {layout.dtype}")
    if not layout.rate:
        raise UsageError(f"{what}: telemetry needs the sampling rate")
    stretched = layout.dtype == "int16" and (source.frames == 0 or fits_n1(source.read(0, min(source.frames, 4096))))
    bits = N1_BITS if stretched else 8 * layout.itemsize
    if settings is None or usual_budget:
        settings = replace(settings or Settings(), budget=USUAL_BUDGET * layout.channels)
    if ratio is not None:
        if not 1 < ratio <= 1e6:
            raise UsageError(f"the ratio must lie from 1 to 1,000,000, not {ratio:g}")
        settings = replace(settings, budget=layout.channels * layout.rate * bits / ratio)
    return settings, bits


class _Check:
    """Decodes every packet to verify the encoder."""

    def __init__(self, name: str, key: bytes | None):
        self._decoder, self._name = TelemetryDecoder(key), name
        self._events = 0
        self._whole = True

    def take(self, packet: bytes) -> None:
        """Decode a packet."""
        for item in self._decoder.push(packet):
            if isinstance(item, Missing):
                self._whole = False
            else:
                self._events += len(item.event_frames)

    def done(self, encoder: TelemetryEncoder) -> None:
        """DataError unless everything was decoded."""
        same = self._whole and self._events == encoder.events and self._decoder.ended == encoder.frames
        if not same:
            raise DataError(f"{self._name}: the telemetry does not decode to what was encoded; please report this")
