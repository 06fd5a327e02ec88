"""Learns the tables of telemetry that serve where channels have neighbours, from generated dense probes.

`python -m tools.fit_neighbours TABLES.npz` rewrites the rows of these tables from `NEAR_ROWS` on, and leaves all others
as they are. Recordings are those of SpikeInterface's generator with seeds of their own: electrodes 20 um apart in two
columns, or 40 um apart in one. They are encoded with several budgets; what the encoder then codes is counted. As the
encoder's choices follow from the tables, this is done several times.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from spikey.base.shipped import tables as shipped_tables
from spikey.model.fixed_point import MASS
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.payload import Payload, code_crossings, code_detail
from spikey.telemetry.settings import Settings
from spikey.telemetry.symbols import SYMBOLS, Tally
from spikey.telemetry.syntax import (
    GAIN_ROWS,
    KIND_CONTEXTS,
    KIND_ROWS,
    NEAR_POWER_ROWS,
    NEAR_POWERS,
    NEAR_ROWS,
    OWN_COMPONENTS,
    OWN_ROWS,
    OWN_TROUGH_ROW,
    PLACE_ROWS,
    QUALITIES,
    ROWS,
    SHIFT_ROWS,
    WAVE_CONTEXTS,
    WAVE_ROWS,
    ZONES,
)
from tools.fit_telemetry import shipping

ROUNDS = 3
BUDGETS = (500.0, 977.0, 3000.0, 10_000.0)  # bit/s a channel
SECONDS = 4.0  # of each recording
PARENT = 10.0  # how many symbols of related rows count as much as a row's own
FLOOR = 1e-5  # of each symbol


@dataclass(frozen=True)
class Probe:
    """Samples int16 (frames, channels) of a dense probe at a rate in Hz; column: as in the settings."""

    samples: np.ndarray
    rate: float
    column: int = 0


def generated(seed: int, channels: int, units: int, rate: float, columns: int, pitch: float) -> np.ndarray:
    """Samples int16 (frames, channels) of the generator: noise of 8 uV, which electrodes share up to about 40 um."""
    from spikeinterface.core import generate_ground_truth_recording
    from spikeinterface.core.generate import generate_channel_locations

    places = generate_channel_locations(channels, columns, pitch)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    noise = {"noise_levels": 1.0, "cov_matrix": 8.0**2 * np.exp(-apart / 40), "strategy": "on_the_fly"}
    recording, _ = generate_ground_truth_recording(
        durations=[SECONDS],
        sampling_frequency=rate,
        num_channels=channels,
        num_units=units,
        noise_kwargs=noise,
        generate_probe_kwargs={"num_columns": columns, "xpitch": pitch, "ypitch": pitch, "contact_shapes": "circle"},
        seed=seed,
    )
    return (3 * np.round(recording.get_traces() / (3 * 0.195))).astype(np.int16)


def interleaved(samples: np.ndarray) -> np.ndarray:
    """The channels of both columns in turns, as in the files of most probes."""
    half = samples.shape[1] // 2
    return np.ascontiguousarray(samples.reshape(len(samples), 2, half).swapaxes(1, 2).reshape(len(samples), -1))


def probes() -> list[Probe]:
    """What the tables are learned from."""
    first, second = generated(101, 128, 64, 30_000.0, 2, 20.0), generated(102, 64, 40, 20_000.0, 2, 20.0)
    third = generated(103, 48, 24, 25_000.0, 1, 40.0)
    return [
        Probe(third, 25_000.0),
        Probe(first, 30_000.0),
        Probe(first, 30_000.0, 64),
        Probe(interleaved(first), 30_000.0),
        Probe(second, 20_000.0, 32),
        Probe(interleaved(second), 20_000.0),
    ]


class _Counting(TelemetryEncoder):
    """Tallies what is in its packets."""

    tally: Tally

    def _account(self, payload: Payload, *others: Any) -> None:
        code_crossings(self.tally, self._tables, self.shape, payload, self._profile)
        code_detail(self.tally, self._tables, self.shape, payload, self._profile)
        super()._account(payload, *others)


def smoothed(seen: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Counts int32 (rows, 33) out of 2^24 of the rows from `NEAR_ROWS` on, of how often symbols were seen.

    counts: of the rows before. Rows of waveforms that others are scaled from begin as those of all waveforms.
    """
    counted = seen[NEAR_ROWS:].astype(np.float64)
    edges = [NEAR_ROWS, PLACE_ROWS, *range(KIND_ROWS, SHIFT_ROWS + 1, KIND_CONTEXTS), GAIN_ROWS, OWN_TROUGH_ROW]
    spans = list(pairwise(edges))
    spans += [(first, first + NEAR_POWERS) for first in range(NEAR_POWER_ROWS, ROWS, NEAR_POWERS)]
    for first, end in spans:
        group = 4 * ZONES if first == NEAR_ROWS else end - first
        part = counted[first - NEAR_ROWS : end - NEAR_ROWS].reshape(-1, group, SYMBOLS)
        parent = part.sum(axis=1, keepdims=True) + 1e-3
        part += PARENT * parent / parent.sum(axis=2, keepdims=True)
    counted[OWN_TROUGH_ROW - NEAR_ROWS] += 1.0
    others = counts[WAVE_ROWS:NEAR_ROWS].reshape(QUALITIES, -1, SYMBOLS)[:, : OWN_COMPONENTS * WAVE_CONTEXTS] / MASS
    counted[OWN_ROWS - NEAR_ROWS : NEAR_POWER_ROWS - NEAR_ROWS] += PARENT * others.reshape(-1, SYMBOLS)
    shares = counted / counted.sum(axis=1, keepdims=True)
    fitted = np.floor((FLOOR + (1 - SYMBOLS * FLOOR) * shares) * MASS).astype(np.int64)
    fitted[np.arange(len(fitted)), fitted.argmax(axis=1)] += MASS - fitted.sum(axis=1)
    return fitted.astype(np.int32)


def fit(learned: dict[str, Any], found: list[Probe]) -> None:
    """Set the rows from `NEAR_ROWS` on of the contents of the tables' file."""
    for _ in range(ROUNDS):
        tally = Tally(np.zeros((ROWS, SYMBOLS), dtype=np.int64))
        with shipping(learned):
            for probe in found:
                for bits in BUDGETS:
                    channels = probe.samples.shape[1]
                    settings = Settings(budget=bits * channels, neighbours=8, column=probe.column)
                    encoder = _Counting(channels, probe.rate, settings=settings, stream=0)
                    encoder.tally = tally
                    encoder.push(probe.samples)
        learned["counts"][NEAR_ROWS:] = smoothed(tally.seen, learned["counts"])


def main(out: str) -> None:
    """Fit and write."""
    learned: dict[str, Any] = {name: np.array(each) for name, each in shipped_tables("telemetry").items()}
    counts = np.full((ROWS, SYMBOLS), MASS // SYMBOLS, dtype=np.int32)
    counts[:, 0] += MASS - counts.sum(axis=1)
    counts[:NEAR_ROWS] = learned["counts"][:NEAR_ROWS]
    learned["counts"] = counts
    fit(learned, probes())
    np.savez_compressed(out, allow_pickle=False, **learned)


if __name__ == "__main__":
    main(*sys.argv[1:])
