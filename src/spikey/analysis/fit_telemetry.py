"""Learns what telemetry comes with: the waveforms' basis, and how likely each symbol is.

`python -m spikey.analysis.fit_telemetry FOLDER OUT.npz [LEAVE_OUT]` looks at recordings that have nothing to do with
every `LEAVE_OUT`th one (5), each as a channel, and writes `telemetry/tables.npz`. The basis are the principal
components of waveforms, of which no channel has many; the tables are counts, smoothed, of what the encoder codes with
every size of steps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from spikey.analysis.devices import training_files
from spikey.model.fixed import MASS
from spikey.recording.wav import open_wav
from spikey.telemetry import basis, encoder, sections
from spikey.telemetry.basis import BASIS_BITS, COSINE_BITS
from spikey.telemetry.encoder import TelemetryEncoder, Waves
from spikey.telemetry.payload import Payload, code_detail, code_keys, code_news
from spikey.telemetry.sections import COMPONENTS, QUALITIES, ROWS, STEPS
from spikey.telemetry.settings import BLOCK, Settings
from spikey.telemetry.symbols import SYMBOLS, Tally, tables_of

RATE = 20_000.0  # as if all were of it, which changes next to nothing
CHANNELS = 64  # at a time
MOST_WAVES = 60  # of a channel that count in full for the basis
PARENT = 20.0  # how many symbols of related rows count as much as a row's own
FLOOR = 3e-5  # of each symbol, for recordings of other kinds


def recordings(folder: Path, leave_out: int) -> list[np.ndarray]:
    """Samples int16 (frames, channels) of many recordings at a time, as long as the shortest of them."""
    parts = []
    for path in training_files(sorted(folder.rglob("*.wav")), leave_out):
        with open_wav(path) as source:
            parts.append(source.read(0, source.frames)[:, 0])
    parts.sort(key=len)
    batches = [parts[at : at + CHANNELS] for at in range(0, len(parts), CHANNELS)]
    return [np.stack([part[: len(batch[0])] for part in batch], axis=1) for batch in batches]


def plain_tables() -> dict[str, np.ndarray]:
    """Tables that know nothing, and a basis of single samples, to begin with."""
    counts = np.full((ROWS, SYMBOLS), MASS // SYMBOLS, dtype=np.int32)
    counts[:, 0] += MASS - counts.sum(axis=1)
    order = np.arange(BLOCK)
    cosines = np.cos(np.pi * (order[None, :] + 0.5) * order[:, None] / BLOCK) * np.sqrt(2 / BLOCK)
    cosines[0] /= np.sqrt(2)
    return {
        "counts": counts,
        "basis": np.eye(COMPONENTS, 28, dtype=np.int16) << BASIS_BITS,
        "cosines": np.rint(cosines * (1 << COSINE_BITS)).astype(np.int32),
    }


class _Waveforms(TelemetryEncoder):
    """Keeps the waveforms, as a basis of single samples gives them."""

    def __init__(self, channels: int):
        super().__init__(channels, RATE, settings=SETTINGS)
        shape = self.shape
        self._transforms = self._transforms._replace(waves=np.eye(shape.snippet, dtype=np.int32) << BASIS_BITS)
        self.kept: list[tuple[np.ndarray, np.ndarray]] = []

    def _cut(self) -> None:
        before = len(self._waves)
        encoder.COMPONENTS = self.shape.snippet
        super()._cut()
        encoder.COMPONENTS = COMPONENTS
        for waves in self._waves[before:]:
            deviation = self._front.median[waves.keys % self.channels] / 0.6745 / 1024
            self.kept.append((waves.keys % self.channels, waves.coefficients / deviation[:, None]))
        del self._waves[before:]


class _Counting(TelemetryEncoder):
    """Tallies what it codes, the detail with every size of steps."""

    def __init__(self, channels: int, tally: Tally):
        super().__init__(channels, RATE, settings=SETTINGS)
        self.tally = tally

    def _choose_detail(self, payload: Payload, bits: dict[str, int], room: int) -> None:
        code_keys(self.tally, self._tables, self.shape, 0, payload)
        code_news(self.tally, self._tables, self.shape, payload, self._profile)
        low = np.zeros_like(payload.low)
        if len(low):
            self._analyse_low(payload, low)
        waves = [each for each in self._waves if len(each.keys)]
        self._waves = []
        joined = Waves(*map(np.concatenate, zip(*waves, strict=True))) if waves else None
        if joined is not None:
            payload.wave_channels = joined.keys % self.channels
            payload.offsets = joined.offsets
        for size in range(STEPS):
            only = Payload(payload.found, low=payload.low, low_channels=payload.low_channels)
            self._quantise(only, None, low, size)
            code_detail(self.tally, self._tables, only, self._profile)
        for quality in range(QUALITIES if joined is not None else 0):
            assert joined is not None
            only = Payload(payload.found, wave_channels=payload.wave_channels, offsets=joined.offsets)
            only.absent = np.zeros(len(joined.keys), dtype=np.uint8)
            only.waves = np.zeros((len(joined.keys), COMPONENTS), dtype=np.int32)
            only.quality[0] = quality
            basis.quantise_waves(
                self._tables, self._profile, only.wave_channels, joined.coefficients, quality, only.waves
            )
            code_detail(self.tally, self._tables, only, self._profile)
        only = Payload(payload.found, power=payload.power, power_channels=payload.power_channels)
        code_detail(self.tally, self._tables, only, self._profile)
        payload.low = payload.low[:0]
        payload.power = payload.power[:0]


SETTINGS = Settings(budget=1e9, packet_ms=0.75)


def principal_components(batches: list[np.ndarray]) -> np.ndarray:
    """The basis int16 (components, 28) of the waveforms, times 2^13."""
    length = 28
    total = np.zeros((length, length))
    for batch in batches:
        cutting = _Waveforms(batch.shape[1])
        cutting.push(batch)
        channels = np.concatenate([each for each, _ in cutting.kept])
        waves = np.concatenate([each for _, each in cutting.kept])
        weights = np.minimum(1.0, MOST_WAVES / np.bincount(channels)[channels])
        total += (waves * weights[:, None]).T @ waves
    _, vectors = np.linalg.eigh(total)
    components = vectors[:, ::-1][:, :COMPONENTS].T
    components *= np.where(components[:, 10:11] > 0, -1, 1)  # a trough counts as positive
    return np.rint(components * (1 << BASIS_BITS)).astype(np.int16)


def smoothed(seen: np.ndarray) -> np.ndarray:
    """Counts int32 (rows, 33) out of 2^24, of how often symbols were seen, int64 (rows, 33)."""
    known = seen.astype(np.float64)
    low = slice(sections.LOW_ROWS, sections.WAVE_ROWS)
    for rows, contexts in ((low, sections.LOW_CONTEXTS), (slice(sections.WAVE_ROWS, ROWS), sections.WAVE_CONTEXTS)):
        part = known[rows].reshape(-1, contexts, SYMBOLS)
        parent = part.sum(axis=1, keepdims=True) + 1e-3
        part += PARENT * parent / parent.sum(axis=2, keepdims=True)
    known += 1e-3
    shares = known / known.sum(axis=1, keepdims=True)
    shares = FLOOR + (1 - SYMBOLS * FLOOR) * shares
    counts = np.floor(shares * MASS).astype(np.int64)
    counts[np.arange(len(counts)), counts.argmax(axis=1)] += MASS - counts.sum(axis=1)
    return counts.astype(np.int32)


def fit(batches: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What `tables.npz` holds."""
    learned: dict[str, Any] = plain_tables()
    with _shipping(learned):
        learned["basis"] = principal_components(batches)
    tally = Tally(np.zeros((ROWS, SYMBOLS), dtype=np.int64))
    with _shipping(learned):
        for batch in batches:
            _Counting(batch.shape[1], tally).push(batch)
    learned["counts"] = smoothed(tally.seen)
    return learned


class _shipping:
    """Has the encoder use these tables for a while."""

    def __init__(self, learned: dict[str, np.ndarray]):
        self.learned = learned

    def __enter__(self) -> None:
        tables = tables_of(self.learned["counts"])
        self.before = basis.shipped, encoder.tables
        basis.shipped = lambda: self.learned  # type: ignore[assignment]
        encoder.tables = lambda: tables  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        basis.shipped, encoder.tables = self.before


def main(folder: str, out: str, leave_out: str = "5") -> None:
    """Fit and write."""
    learned = fit(recordings(Path(folder), int(leave_out)))
    np.savez_compressed(out, allow_pickle=False, **learned)


if __name__ == "__main__":
    main(*sys.argv[1:])
