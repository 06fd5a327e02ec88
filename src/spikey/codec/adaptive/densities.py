"""The density over an alphabet: of evenly spaced codes, or of a calibration's; tables are built once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from spikey.model.calibration import Calibration
from spikey.model.density import narrow, uniform_edges, wide
from spikey.model.fixed_point import NARROW


def density_of(alphabet: int, calibration: Calibration | None) -> Any:
    """The density over an alphabet of that size."""
    if alphabet > NARROW:
        return wide(alphabet)
    return _uniform(alphabet) if calibration is None else _calibrated(calibration)


@lru_cache(maxsize=256)
def _uniform(alphabet: int) -> Any:
    return narrow(uniform_edges(alphabet))


@lru_cache(maxsize=8)
def _calibrated(calibration: Calibration) -> Any:
    return narrow(calibration.edges)
