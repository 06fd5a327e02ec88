"""Counts of a telemetry stream's contents, part by part; other file formats need them before the first part."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from spikey.telemetry.decoded import Telemetry, finite_sums, level_of, rows_before
from spikey.telemetry.packet import Description


@dataclass(frozen=True)
class Survey:
    """Counts of a stream's contents.

    first_frame, frames: its first frame, 0 unless it is a part, and its length. of_channels int64
    (2, channels): events and waveforms of each channel. weak: how many of the events are weak spikes. missing int64
    (spans, 2): first and end frames. dropped: as in `Telemetry`. level float32 (channels,): mean of the LFP band.
    """

    description: Description
    first_frame: int
    frames: int
    of_channels: np.ndarray
    weak: int
    missing: np.ndarray
    dropped: tuple[int, int, int, int]
    level: np.ndarray

    @property
    def rows(self) -> tuple[int, int]:
        """Bins of power, and samples of the LFP band."""
        shape, end = self.description.shape, self.first_frame + self.frames
        (bin0, low0), (bin1, low1) = rows_before(shape, self.first_frame), rows_before(shape, end)
        return bin1 - bin0, low1 - low0

    @property
    def events(self) -> int:
        """Number of events of all channels."""
        return int(self.of_channels[0].sum())

    @property
    def waveforms(self) -> int:
        """Number of waveforms of all channels."""
        return int(self.of_channels[1].sum())


def survey(stream: Iterable[Telemetry]) -> Survey:
    """Count the contents of consecutive parts of a stream, at least one."""
    spans = array("q")  # 16 bytes a span: a damaged file may have very many
    for number, part in enumerate(stream):
        channels = part.channels
        if number == 0:
            begin = part.first_frame
            of_channels = np.zeros((2, channels), dtype=np.int64)
            dropped, weak = np.zeros(4, dtype=np.int64), 0
            sums, count = np.zeros(channels), np.zeros(channels, dtype=np.int64)
        of_channels[0] += np.bincount(part.event_channels, minlength=channels)
        of_channels[1] += np.bincount(part.waveform_channels, minlength=channels)
        weak += int(np.count_nonzero(part.event_weak))
        dropped += part.dropped
        more, finite = finite_sums(part.low)
        sums, count = sums + more, count + finite
        for first, end in part.missing:
            if spans and spans[-1] == first:
                spans[-1] = end
            else:
                spans.extend((first, end))
    a, b, c, d = dropped.tolist()
    level = level_of(sums, count, part.description.middle)
    missing = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return Survey(part.description, begin, part.end_frame - begin, of_channels, weak, missing, (a, b, c, d), level)
