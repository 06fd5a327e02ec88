"""Fits the shipped tables of code widths that devices of a kind have in common:

    python -m tools.fit_calibrations ../shared/data/real src/spikey/data/calibrations

The N1's is not among them: docs/results.md has the command that made it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from spikey.codec.automatic import read_samples
from spikey.codec.wide.estimate import NO_PRIOR, estimate
from spikey.codec.wide.grids import Grid, find_grid, united
from spikey.model.calibration import Calibration
from spikey.recording.readable import ArraySource

FAMILIES = {
    "intan-rhd2000": (
        ("oe-intan32-cinpla", "rat-tetrode64-b"),
        {
            "device": "Intan RHD2000",
            "note": "RHD2132 of two laboratories: Open Ephys, 32 channels, CINPLA, Oslo; tetrodes of rats, 64 channels",
        },
    ),
}
CERTAIN = 4  # times the samples there are, for which differences are to pay
ROUNDS = 6


def grid_in(folder: Path) -> Grid:
    """The codes of a recording beside its `meta.json`."""
    about = json.loads((folder / "meta.json").read_text())
    samples = np.fromfile(folder / about["file"], about["dtype"]).reshape(-1, about["channels"])
    found = read_samples(ArraySource(samples, about["rate"]))
    assert found is not None
    grid = find_grid(found.samples, found.lanes)
    assert grid is not None, f"{folder}: no channel has evenly spaced codes"
    return grid


def fit(folders: list[Path], metadata: dict[str, str]) -> Calibration:
    """One table for all channels of some recordings, of the codes that occur often enough."""
    grids = united([grid_in(folder) for folder in folders])
    total = sum(grid.codes.size for grid in grids)
    found = estimate(grids, CERTAIN * total, rounds=ROUNDS, unsure=True, single=True)
    assert found is not None
    edges, levels = found.calibration.edges, grids[0].levels
    differing = np.flatnonzero(np.diff(edges) != np.diff(edges)[0])
    first, last = int(differing[0]), int(differing[-1]) + 1
    about = {**metadata, "levels": "affine", "offset": levels.offset + first * levels.step, "step": levels.step}
    about["samples"] = total
    return Calibration(edges[first : last + 1] - first * 64, NO_PRIOR, about)


def main(data: str, out: str, *names: str) -> None:
    """Fit families, or those named."""
    for name, (folders, metadata) in FAMILIES.items():
        if not names or name in names:
            calibration = fit([Path(data, folder) for folder in folders], metadata)
            path = Path(out, f"{name}.safetensors")
            path.write_bytes(calibration.to_bytes())
            print(f"{path}: {calibration.id.hex()}, {calibration.alphabet:,} codes")


if __name__ == "__main__":
    main(*sys.argv[1:])
