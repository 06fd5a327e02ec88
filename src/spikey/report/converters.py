"""Code widths of devices with several converters or very many codes, and of which family of devices they are.

The widths are estimated on the wide engine's model, and the saving is measured with the preset `fast`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikey.codec.automatic import read_samples
from spikey.codec.encode import encode_block
from spikey.codec.registry import DEFAULT_PRESET, preset_method
from spikey.codec.wide.estimate import Round, estimate
from spikey.codec.wide.grids import Grid, find_grid, united
from spikey.codec.wide.tables import sliced
from spikey.files.devices import Device
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.model.calibration import Calibration, n1, shipped
from spikey.model.compact import widths_of
from spikey.model.fixed_point import UNIT
from spikey.recording.readable import ArraySource
from spikey.report.held_out import HELD

MOST_LEARNED = 1 << 23  # samples of all recordings
ALIKE = 0.5  # correlation of log widths from which a family is recognised
FEWEST = 32  # codes whose widths are compared


@dataclass(frozen=True)
class Family:
    """A kind of device whose shipped code widths are like those that were found, and how alike (1: the same)."""

    device: str
    correlation: float

    def __str__(self) -> str:
        return f"{self.device}, correlation {self.correlation:.2f}"


@dataclass(frozen=True)
class Held:
    """A held-out recording: its name and samples, and bits a sample without a calibration and with one."""

    name: str
    samples: int
    plain: float
    calibrated: float


def learn_converters(
    parts: Sequence[np.ndarray], rounds: int, metadata: dict[str, Any], progress: Callable[[Round], None] | None = None
) -> Calibration | None:
    """Code widths of the ADCs of recordings (frames, channels); None where no channel has a grid."""
    grids = [grid for part in parts if (grid := _grid(part, MOST_LEARNED // len(parts))) is not None]
    if not grids:
        return None
    grids = united(grids)
    total = sum(grid.codes.size for grid in grids)
    found = estimate(grids, total, rounds=rounds, unsure=True, progress=progress)
    if found is None:
        return None
    compact = found.calibration
    about = {"recordings": len(grids), "samples": total, "rounds": rounds}
    return Calibration(compact.edges, compact.prior, {**metadata, **compact.metadata, **about})


def _grid(samples: np.ndarray, most: int) -> Grid | None:
    found = read_samples(ArraySource(samples[: max(most // samples.shape[1], 1)], 0))
    return None if found is None else find_grid(found.samples, found.lanes, found.channels)


def learn_device(
    device: Device, rounds: int, metadata: dict[str, Any], progress: Callable[[Round], None] | None = None
) -> tuple[Calibration, list[Held]] | None:
    """The calibration of a device from all of its recordings, and what one from some saves of the others."""
    whole = [device.samples_of(path) for path in device.paths]
    names = [path.name for path in device.paths]
    calibration = learn_converters(whole, rounds, metadata, progress)
    if calibration is None:
        return None
    if len(whole) == 1:
        cut = len(whole[0]) - len(whole[0]) // HELD
        learnt, held, names = [whole[0][:cut]], [whole[0][cut:]], [f"{names[0]}, its last quarter"]
    else:
        late = list(range(HELD - 1, len(whole), HELD)) or [len(whole) - 1]
        learnt = [part for index, part in enumerate(whole) if index not in late]
        held, names = [whole[index] for index in late], [names[index] for index in late]
    apart = learn_converters(learnt, rounds, metadata, progress)
    measured = [] if apart is None else [_measure(*one, apart) for one in zip(names, held, strict=True) if one[1].size]
    return calibration, measured


def _measure(name: str, samples: np.ndarray, calibration: Calibration) -> Held:
    payloads = [encode_block(samples, preset_method(DEFAULT_PRESET), one) for one in (None, calibration)]
    bits = [8 * (samples.nbytes if one is None else len(one)) / samples.size for one in payloads]
    return Held(name, samples.size, *bits)


def widths_in(calibration: Calibration, levels: Levels) -> np.ndarray:
    """Widths in LSB, float64 (codes,), of the codes of levels, the mean of all converters."""
    first = 0
    if isinstance(levels, Affine) and "offset" in calibration.metadata:
        first = (levels.offset - calibration.metadata["offset"]) // calibration.metadata["step"]
    tables = [calibration.edges_of(converter) for converter in range(calibration.converters)]
    return np.asarray(np.mean([np.diff(sliced(edges, first, levels.alphabet)) / UNIT for edges in tables], axis=0))


def recognise(widths: np.ndarray, known: np.ndarray, levels: Levels) -> Family | None:
    """The family of devices whose widths are most like these, of the known codes; None where none is."""
    best: Family | None = None
    candidates: list[tuple[Calibration, np.ndarray]] = []
    if isinstance(levels, N1Levels):
        candidates.append((n1(), np.diff(n1().edges)))
    elif isinstance(levels, Affine):
        for one in shipped():
            if one.metadata["step"] == levels.step and not (levels.offset - one.metadata["offset"]) % levels.step:
                candidates.append((one, widths_of(one, levels.offset, levels.step, levels.alphabet)))
    for calibration, theirs in candidates:
        own, other = np.log(widths[known]), np.log(theirs[known])
        if len(known) >= FEWEST and own.std() and other.std():
            alike = float(np.corrcoef(own, other)[0, 1])
            if alike > max(ALIKE, 0.0 if best is None else best.correlation):
                best = Family(str(calibration.metadata.get("device", "unknown")), alike)
    return best
