"""A device's ADC as estimated from recordings: code widths, their period, and the bits that they save.

The saving is measured on recordings that had no part in the widths it is measured with. The calibration that is kept
is estimated from all of them, so it is at least as good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from spikey.base.errors import UsageError
from spikey.codec.code_widths import COARSEST, Round, calibrate
from spikey.codec.encode import encode_block
from spikey.codec.method import LPC
from spikey.coding.packed_bytes import pack_bytes
from spikey.files.devices import Device
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.model.calibration import MOST_CODES, Calibration
from spikey.model.density import uniform_edges
from spikey.model.fixed_point import UNIT
from spikey.report.converters import Family, Held, learn_device, recognise, widths_in
from spikey.report.held_out import split

ENOUGH = 200  # samples of a code that determine its width to 7 %
SHARE = 0.05  # of a code's ideal count, below which it is called missing
PERIODIC = 0.5  # autocorrelation of log widths
LEAST = 1e-3  # bits per sample, a saving that is one
MOST = 0.75  # of the recordings, that must share it
LONGEST = 256  # codes of a period
MOST_COARSE = 512  # LSB


@dataclass(frozen=True)
class Measured:
    """One held-out recording: its name and samples, bits per sample without a calibration, with the
    device's typical autocorrelation but no widths, and with all of it.
    """

    name: str
    samples: int
    plain: float
    even: float
    calibrated: float


@dataclass
class Report:
    """The report of `spikey calibrate`.

    widths (codes,): LSB. counts (codes,): samples of each code. rounds: ideal bits per sample before each round.
    measured: the held-out recordings. cost: bytes that the calibration adds to a file that carries it. converters: that
    have tables; `widths` are their mean. family: of devices with such widths.
    """

    files: int
    channels: int
    left_out: int
    levels: dict[str, object]
    widths: np.ndarray
    counts: np.ndarray
    rounds: list[float] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    cost: int = 0
    converters: int = 1
    family: Family | None = None

    @property
    def samples(self) -> int:
        """Samples seen."""
        return int(self.counts.sum())

    @property
    def known(self) -> np.ndarray:
        """Codes (indices) that occur often enough for their width to be known, outermost ones left out."""
        inner = self.counts.copy()
        inner[[0, -1]] = 0
        return np.flatnonzero(inner >= ENOUGH)

    @property
    def missing(self) -> np.ndarray:
        """Codes (indices) between those known that hardly ever occur."""
        if not len(self.known):
            return np.zeros(0, dtype=int)
        first, last = self.known[[0, -1]]
        near = np.array([np.median(self.counts[max(c - 8, first) : c + 9]) for c in range(first, last + 1)])
        rare = (self.counts[first : last + 1] < SHARE * near) & (near >= ENOUGH)
        return first + np.flatnonzero(rare)

    @property
    def period(self) -> tuple[int, float] | None:
        """The number of codes after which the widths repeat, and how alike they are then (1: the same); or None."""
        return _period(self.widths, self.known)

    @property
    def plain(self) -> float:
        """Bits per sample of the held-out recordings without a calibration."""
        return _mean(self.measured, "plain")

    @property
    def saving(self) -> float:
        """Bits per sample that a calibration learned from other recordings saves."""
        return self.plain - _mean(self.measured, "calibrated")

    @property
    def of_widths(self) -> float:
        """Bits per sample of the saving that are due to the widths."""
        return _mean(self.measured, "even") - _mean(self.measured, "calibrated")

    @property
    def pays(self) -> bool:
        """Whether the widths save something, and in most recordings."""
        gain = np.array([one.even > one.calibrated for one in self.measured])
        return bool(self.of_widths > LEAST and gain.mean() >= MOST)

    @property
    def percentiles(self) -> dict[str, float]:
        """Of the known codes' widths, LSB; empty where no width is known."""
        if not len(self.known):
            return {}
        return {str(p): float(np.percentile(self.widths[self.known], p)) for p in (1, 5, 25, 50, 75, 95, 99)}

    def verdict(self) -> str:
        """The conclusion, in one sentence."""
        percent = 100 * self.of_widths / self.plain if self.plain else 0.0
        saved = f"{self.of_widths:.4f} bits per sample ({percent:.2f} %)"
        of = f"{sum(one.samples for one in self.measured):,} held-out samples"
        if not len(self.known):
            return (
                f"{self.samples:,} samples are too few: no code occurs {ENOUGH} times, as a width needs; "
                "use more recordings"
            )
        if self.pays:
            least = 8 * self.cost / self.of_widths
            return (
                f"the widths save {saved} on {of}; "
                f"a file with them takes {self.cost:,} bytes more, so they save space from {least:,.0f} samples on"
            )
        return (
            f"this ADC is uniform as far as {self.samples:,} samples show: its widths would save {saved} "
            f"on {of}, and a calibration would cost {self.cost:,} bytes in each file; do not use one"
        )

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        period = self.period
        return {
            "files": self.files,
            "channels": self.channels,
            "channels_left_out": self.left_out,
            "samples": self.samples,
            "levels": self.levels,
            "converters": self.converters,
            "family": None if self.family is None else asdict(self.family),
            "codes": len(self.widths),
            "codes_seen": int(np.count_nonzero(self.counts)),
            "codes_known": len(self.known),
            "missing_codes": self.missing.tolist(),
            "width_percentiles_lsb": self.percentiles,
            "period_codes": period and period[0],
            "period_correlation": period and period[1],
            "rounds_bits_per_sample": self.rounds,
            "held_out": [asdict(one) for one in self.measured],
            "bits_per_sample": self.plain,
            "saving_bits_per_sample": self.saving,
            "saving_percent": 100 * self.saving / self.plain if self.plain else 0.0,
            "saving_of_widths_bits_per_sample": self.of_widths,
            "cost_bytes": self.cost,
            "pays": self.pays,
            "verdict": self.verdict(),
        }


def _mean(measured: list[Measured], name: str) -> float:
    samples = sum(one.samples for one in measured)
    return sum(getattr(one, name) * one.samples for one in measured) / max(samples, 1)


def _period(widths: np.ndarray, known: np.ndarray) -> tuple[int, float] | None:
    if len(known) < 16:
        return None
    # A gap of unknown codes counts as average ones.
    first, last = known[[0, -1]]
    logs = np.zeros(last - first + 1)
    logs[known - first] = np.clip(np.log(widths[known]), -1.5, 1.5)
    logs[known - first] -= logs[known - first].mean()
    lags = np.arange(2, min(LONGEST, len(logs) // 2) + 1)
    alike = np.array([_correlation(logs[lag:], logs[:-lag]) for lag in lags])
    if not len(alike) or alike.max() < max(PERIODIC, 5 / len(known) ** 0.5):
        return None
    found = int(np.flatnonzero(alike >= 0.9 * alike.max())[0])
    return int(lags[found]), float(alike[found])


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else 0.0


def study(
    device: Device, rounds: int, metadata: dict[str, Any], progress: Callable[[Round], None] | None = None
) -> tuple[Calibration, Report]:
    """Estimate a calibration from all recordings of a device, and report on it; progress: after each round of both."""
    seen: list[Round] = []

    def keep(done: Round) -> None:
        seen.append(done)
        if progress is not None:
            progress(done)

    counts, changes = np.zeros(device.levels.alphabet, dtype=np.int64), []
    for channel in device:
        counts += np.bincount(channel, minlength=len(counts))
        changes.append(float(np.abs(np.diff(channel)).mean()) if len(channel) > 1 else 0.0)
    try:
        found = learn_device(device, rounds, metadata)
    except UsageError:  # recordings that are not on one grid
        found = None
    if found is not None and (found[0].converters > 1 or device.levels.alphabet > MOST_CODES):
        return found[0], _report_on(device, counts, len(changes), *found)
    coarsest = _coarsest(changes)
    calibration = calibrate(device, device.levels.alphabet, rounds, metadata=metadata, progress=keep, coarsest=coarsest)
    report = Report(
        files=len(device.paths),
        channels=len(changes),
        left_out=device.left_out,
        levels=device.levels.describe(),
        widths=np.diff(calibration.edges) / UNIT,
        counts=counts,
        rounds=[done.bits_per_sample for done in seen],
        cost=len(pack_bytes(calibration.to_bytes(), 4)),
    )
    report.family = recognise(report.widths, report.known, device.levels)
    learned, held = split(device)
    if any(map(len, learned)) and held:
        apart = calibrate(
            learned, device.levels.alphabet, rounds, metadata=metadata, progress=progress, coarsest=coarsest
        )
        report.measured = [_measure(name, parts, device.levels, apart) for name, parts in held]
    return calibration, report


def _report_on(device: Device, counts: np.ndarray, channels: int, calibration: Calibration, held: list[Held]) -> Report:
    """The report on a calibration of several converters, or of very many codes."""
    report = Report(
        files=len(device.paths),
        channels=channels,
        left_out=device.left_out,
        levels=device.levels.describe(),
        widths=widths_in(calibration, device.levels),
        counts=counts,
        measured=[Measured(one.name, one.samples, one.plain, one.plain, one.calibrated) for one in held],
        cost=len(pack_bytes(calibration.to_bytes(), 4)),
        converters=calibration.converters,
    )
    report.family = recognise(report.widths, report.known, device.levels)
    return report


def _coarsest(changes: list[float]) -> int:
    """The largest scale, in LSB, that counts: the usual one, or more for a device whose noise is many codes wide."""
    typical = float(np.median(changes)) if changes else 0.0
    found = COARSEST
    while found < MOST_COARSE and found < 2 * typical:
        found *= 2
    return found


def _measure(name: str, channels: list[np.ndarray], levels: Levels, calibration: Calibration) -> Measured:
    """Code the channels of a recording, each alone, as predictor `lpc` does, without and with a calibration."""
    even = replace(calibration, edges=uniform_edges(calibration.alphabet).astype(np.int32))
    sizes = [0, 0, 0]
    for channel in channels:
        kind = np.dtype(np.int16 if isinstance(levels, N1Levels) else np.int32)
        values = levels.to_values(channel, None, kind)
        for index, used in enumerate((None, even, calibration)):
            payload = encode_block(values[:, None], LPC, used)
            sizes[index] += len(payload) if payload is not None else values.nbytes
    samples = sum(map(len, channels))
    return Measured(name, samples, *(8 * size / samples for size in sizes))
