"""The recordings that `tools.stores` compares stores on: raw files of int16 samples (frames, channels)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikey.base.errors import UsageError, install
from spikey.recording.wav import open_wav
from tools.measured import of_devices

NEEDED = f"comparing stores needs other packages: {install('stores')}"
LONG = 10_000  # frames that a recording of a device must have


@dataclass(frozen=True)
class Case:
    """A recording: samples int16 (frames, channels) in a raw file, and its rate in Hz."""

    name: str
    path: Path
    frames: int
    channels: int
    rate: int

    def samples(self) -> np.ndarray:
        """All of it, mapped."""
        return np.memmap(self.path, dtype="<i2", mode="r", shape=(self.frames, self.channels))

    def part(self, first: int, end: int) -> np.ndarray:
        """Frames [first, end), read: mapped ones would count as memory held."""
        end = min(end, self.frames)
        count = (end - first) * self.channels
        part = np.fromfile(self.path, "<i2", count, offset=2 * first * self.channels)
        return part.reshape(-1, self.channels)


def generated(folder: Path, seconds: int = 60, step: int = 3, channels: int = 384, rate: int = 30_000) -> Case:
    """SpikeInterface's generator: 384 channels in two columns at 30 kHz, 200 units, noise of 8 uV whose correlation
    between electrodes falls to 1/e in 40 um; samples are multiples of 3 (or of `step`), of 0.195 uV each.
    """
    try:
        from spikeinterface.core import generate_ground_truth_recording
        from spikeinterface.core.generate import generate_channel_locations
    except ImportError:
        raise UsageError(NEEDED) from None
    places = generate_channel_locations(channels, 2, 20)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    recording, _ = generate_ground_truth_recording(
        durations=[float(seconds)],
        sampling_frequency=float(rate),
        num_channels=channels,
        num_units=200,
        noise_kwargs={"noise_levels": 1.0, "cov_matrix": 8.0**2 * np.exp(-apart / 40), "strategy": "on_the_fly"},
        seed=2205,
    )
    path = folder / f"generated-{step}.dat"
    with path.open("wb") as file:
        for first in range(0, seconds * rate, rate):
            microvolts = recording.get_traces(start_frame=first, end_frame=first + rate)
            file.write((step * np.round(microvolts / (3 * 0.195))).astype("<i2").tobytes())
    return Case(f"generated, 384 channels in steps of {step}", path, seconds * rate, channels, rate)


def divided(folder: Path, case: Case, step: int, seconds: int) -> Case:
    """The first seconds of a generated recording in steps of `step`, written as codes: in steps of 1."""
    path = folder / "generated-1.dat"
    samples = case.samples()[: seconds * case.rate]
    with path.open("wb") as file:
        for first in range(0, len(samples), case.rate):
            file.write((samples[first : first + case.rate] // step).astype("<i2").tobytes())
    name = f"{case.name.replace(f'steps of {step}', 'steps of 1')}, {len(samples) // case.rate} s"
    return Case(name, path, len(samples), case.channels, case.rate)


def locust(folder: Path, source: Path) -> Case:
    """A tetrode in the antennal lobe of a locust."""
    path = folder / "locust.dat"
    shutil.copyfile(source, path)
    return Case("locust, 4 channels", path, path.stat().st_size // 8, 4, 15_000)


def implants(folder: Path, source: Path, frames: int = 98_304, most: int = 256) -> Case:
    """Recordings of the N1 side by side as channels, each cut to the same length."""
    columns: list[np.ndarray] = []
    for path in sorted(source.glob("*.wav")):
        with open_wav(path) as one:
            if one.frames >= frames and len(columns) < most:
                columns.append(one.read(0, frames)[:, 0])
    if not columns:
        raise UsageError(f"{source}: holds no WAV files of {frames} frames or more")
    path = folder / "implants.dat"
    np.stack(columns, axis=1).astype("<i2").tofile(path)
    return Case(f"N1, {len(columns)} channels", path, frames, len(columns), 20_000)


def devices(folder: Path, source: Path) -> Iterator[Case]:
    """Recordings of integers of at least 10,000 frames, of a folder of devices each with a `meta.json`."""
    for recording in of_devices(source):
        assert recording.raw is not None
        channels, rate, kind = recording.raw
        dtype = np.dtype(kind)
        if dtype.kind not in "iu" or dtype.itemsize != 2:
            continue
        samples = np.fromfile(recording.path, dtype).reshape(-1, channels)
        if len(samples) < LONG:
            continue
        path = folder / f"{recording.name}.dat"
        (samples if dtype.kind == "i" else samples.view("<i2")).astype("<i2").tofile(path)
        yield Case(recording.name, path, len(samples), channels, round(rate))
