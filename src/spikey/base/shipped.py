"""The files that come with the package: tables, calibrations, trained networks, constants of the budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "data"


def tables(name: str) -> dict[str, np.ndarray]:
    """The arrays of `data/tables/NAME.npz`."""
    with np.load(FOLDER / "tables" / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}
