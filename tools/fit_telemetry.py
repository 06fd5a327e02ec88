"""Learns what telemetry comes with: the waveforms' basis, and how likely each symbol is.

`python -m tools.fit_telemetry FOLDER OUT.npz [LEAVE_OUT]` looks at recordings that have nothing to do with
every `LEAVE_OUT`th one (5), each as a channel, and writes `telemetry/tables.npz`. The basis are the principal
components of waveforms, of which no channel has many; the tables are counts, smoothed, of what the encoder codes with
every size of steps. Rows for neighbouring channels come out uniform: `python -m tools.fit_neighbours` sets them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikey.files.devices import training_files
from spikey.levels.n1 import N1_CODES
from spikey.model.fixed_point import MASS
from spikey.recording.wav import open_wav
from spikey.telemetry import basis, syntax
from spikey.telemetry.allocation import Allocator
from spikey.telemetry.basis import BASIS_BITS, COSINE_BITS, transforms
from spikey.telemetry.channel_stats import default_profile
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.frontend import MEDIAN_BITS, NORMAL
from spikey.telemetry.payload import Payload, code_crossings, code_key_parts
from spikey.telemetry.pending import Pending, Weak
from spikey.telemetry.settings import BLOCK, Settings, shape_of
from spikey.telemetry.symbols import SYMBOLS, Tally
from spikey.telemetry.syntax import (
    COARSEST,
    CODED,
    COMPONENTS,
    ROWS,
    SPREAD,
    STEPS,
    TROUGH_ROW,
    code_low,
    code_power,
    code_waves,
    code_weak_waves,
    quality_of,
    rough_quality_of,
)
from spikey.telemetry.templates import TEMPLATE_BITS

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
    """Uniform tables, and a basis of single samples, to begin with."""
    counts = np.full((ROWS, SYMBOLS), MASS // SYMBOLS, dtype=np.int32)
    counts[:, 0] += MASS - counts.sum(axis=1)
    order = np.arange(BLOCK)
    cosines = np.cos(np.pi * (order[None, :] + 0.5) * order[:, None] / BLOCK) * np.sqrt(2 / BLOCK)
    cosines[0] /= np.sqrt(2)
    return {
        "counts": counts,
        "basis": np.eye(COMPONENTS, 28, dtype=np.int16) << BASIS_BITS,
        "shape": np.eye(1, COMPONENTS, dtype=np.int32)[0] << TEMPLATE_BITS,
        "cosines": np.rint(cosines * (1 << COSINE_BITS)).astype(np.int32),
    }


SETTINGS = Settings(budget=1e9, packet_ms=0.75)  # with which weak events need not match better than usual


def _waveforms(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels int64 (n,) of waveforms float64 (n, 28), over the noise's deviation."""
    settings = replace(SETTINGS, match=0.0)
    shape = shape_of(settings, batch.shape[1], RATE)
    same = np.eye(shape.snippet, dtype=np.int32) << BASIS_BITS
    pending = Pending(settings, shape, transforms(shape)._replace(waves=same))
    codes = (batch >> 6).astype(np.int32) + N1_CODES // 2
    channels, kept = [np.zeros(0, dtype=np.int64)], [np.zeros((0, shape.snippet))]
    for at in range(0, len(codes) - shape.frames, shape.frames):
        pending.add(codes[at : at + shape.frames], default_profile(shape.channels))
        pending.gather()
        waves = pending.waves()
        pending.begin_packet()
        if not len(waves.keys):
            continue
        channels.append(waves.keys % shape.channels)
        deviation = pending.frontend.median[channels[-1]] / NORMAL / (1 << MEDIAN_BITS)
        kept.append(waves.coefficients / deviation[:, None])
    return np.concatenate(channels), np.concatenate(kept)


def sizes_of_qualities() -> list[int]:
    """A size of steps for each quality of waveforms."""
    return list({int(quality_of(size)): size for size in range(STEPS)}.values())


class _Counting(Allocator):
    """Tallies what is coded, the detail with every size of steps."""

    def __init__(self, encoder: TelemetryEncoder, tally: Tally):
        super().__init__(basis.tables(), encoder.shape)
        self.tally = tally

    def _code_waves(self, tally: Tally, tables: Any, size: np.ndarray, steps: np.ndarray) -> None:
        """Tally the waveforms of events, but for their offsets."""
        none = np.zeros(len(steps), dtype=np.uint8)
        offsets = tally.seen[TROUGH_ROW].copy()
        code_waves(tally, tables, size, none, none, steps)
        tally.seen[TROUGH_ROW] = offsets

    def power(self, payload: Payload, profile: np.ndarray, size: int, left: int) -> int:
        """Leave the power as it is."""
        self.fine = payload.power
        return 0

    def detail(
        self,
        payload: Payload,
        waves: np.ndarray,
        low: np.ndarray,
        weak: Weak,
        profile: np.ndarray,
        size: int,
        left: int,
    ) -> tuple[int, int, int]:
        """Tally a packet, with all sizes of steps."""
        code_key_parts(self.tally, self.tables, self.shape, 0, payload)
        code_crossings(self.tally, self.tables, self.shape, payload, profile)
        for coarse in range(COARSEST):
            steps = np.array([coarse])
            code_power(self.tally, self.tables, steps, profile[:, SPREAD], payload.power_channels, self.fine >> coarse)
        for step in range(STEPS):
            blocks = np.zeros_like(low)
            basis.quantise_low(self.tables, profile, payload.low_channels, low, step, blocks)
            code_low(self.tally, self.tables, np.array([step]), blocks)
        for size in sizes_of_qualities():
            for quality, channels, coefficients, code in (
                (quality_of(size), payload.wave_channels, waves, self._code_waves),
                (rough_quality_of(size), weak.channels, weak.coefficients, code_weak_waves),
            ):
                steps = np.zeros((len(coefficients), CODED), dtype=np.int32)
                basis.quantise_waves(self.tables, profile, channels, coefficients, quality, steps)
                code(self.tally, self.tables, np.array([size]), steps)
        self.tally.seen[TROUGH_ROW, :] += np.bincount(payload.offsets, minlength=SYMBOLS)
        payload.low, payload.power, payload.absent = payload.low[:0], payload.power[:0], payload.absent[:0]
        payload.weak[:] = 0
        return 0, 0, 0


def principal_components(batches: list[np.ndarray]) -> np.ndarray:
    """The basis int16 (components, 28) of the waveforms, times 2^13."""
    length = 28
    total = np.zeros((length, length))
    for batch in batches:
        channels, waves = _waveforms(batch)
        weights = np.minimum(1.0, MOST_WAVES / np.bincount(channels)[channels])
        total += (waves * weights[:, None]).T @ waves
    _, vectors = np.linalg.eigh(total)
    components = vectors[:, ::-1][:, :COMPONENTS].T
    components *= np.where(components[:, 10:11] > 0, -1, 1)  # a trough counts as positive
    return np.rint(components * (1 << BASIS_BITS)).astype(np.int16)


def mean_shape(batches: list[np.ndarray], components: np.ndarray) -> np.ndarray:
    """The mean direction int32 (components,) of the channels' waveforms in the basis, times 2^14."""
    total = np.zeros(COMPONENTS)
    for batch in batches:
        channels, waves = _waveforms(batch)
        directions = waves @ components.astype(np.float64).T
        directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
        for channel in np.unique(channels):
            mean = directions[channels == channel].mean(axis=0)
            total += mean / max(float(np.linalg.norm(mean)), 1e-9)
    return np.rint(total / np.linalg.norm(total) * (1 << TEMPLATE_BITS)).astype(np.int32)


def smoothed(seen: np.ndarray) -> np.ndarray:
    """Counts int32 (rows, 33) out of 2^24, of how often symbols were seen, int64 (rows, 33)."""
    counted = seen.astype(np.float64)
    low = slice(syntax.LOW_ROWS, syntax.WAVE_ROWS)
    waves = slice(syntax.WAVE_ROWS, syntax.NEAR_ROWS)
    for rows, contexts in ((low, syntax.LOW_CONTEXTS), (waves, syntax.WAVE_CONTEXTS)):
        part = counted[rows].reshape(-1, contexts, SYMBOLS)
        parent = part.sum(axis=1, keepdims=True) + 1e-3
        part += PARENT * parent / parent.sum(axis=2, keepdims=True)
    counted += 1e-3
    shares = counted / counted.sum(axis=1, keepdims=True)
    shares = FLOOR + (1 - SYMBOLS * FLOOR) * shares
    counts = np.floor(shares * MASS).astype(np.int64)
    counts[np.arange(len(counts)), counts.argmax(axis=1)] += MASS - counts.sum(axis=1)
    return counts.astype(np.int32)


def fit(batches: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The contents of `tables.npz`."""
    learned: dict[str, Any] = plain_tables()
    with shipping(learned):
        learned["basis"] = principal_components(batches)
        learned["shape"] = mean_shape(batches, learned["basis"])
    tally = Tally(np.zeros((ROWS, SYMBOLS), dtype=np.int64))
    with shipping(learned):
        for batch in batches:
            encoder = TelemetryEncoder(batch.shape[1], RATE, settings=SETTINGS)
            encoder._allocator = _Counting(encoder, tally)
            encoder.push(batch)
    learned["counts"] = smoothed(tally.seen)
    return learned


@contextmanager
def shipping(learned: dict[str, np.ndarray]) -> Iterator[None]:
    """Has telemetry use these tables for a while."""
    before = basis.shipped
    basis.shipped = lambda: learned  # type: ignore[assignment]
    basis.tables.cache_clear()
    try:
        yield
    finally:
        basis.shipped = before
        basis.tables.cache_clear()


def main(folder: str, out: str, leave_out: str = "5") -> None:
    """Fit and write."""
    learned = fit(recordings(Path(folder), int(leave_out)))
    np.savez_compressed(out, allow_pickle=False, **learned)


if __name__ == "__main__":
    main(*sys.argv[1:])
