"""Which calibration a recording is coded with: the one place that decides what "auto" means.

"auto": the N1's where it suits, else the shipped one that explains the codes best or widths estimated from the
recording, where storing them pays, else none.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from spikey.codec.cut import block_shape
from spikey.codec.method import Method
from spikey.codec.survey import suits
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.levels.scaled import find_scale
from spikey.model.calibration import Calibration, load, n1
from spikey.recording.readable import Readable

AUTO, N1_ONLY, NONE = "auto", "n1", "none"
CHANNELS = 8
GLANCE = 8192  # frames that tell an N1
Wanted = Calibration | str | os.PathLike[str] | None


class Chosen(NamedTuple):
    """A calibration, and its bytes where it has to travel with the file; None for none."""

    calibration: Calibration | None = None
    embed: bytes | None = None


def choose_calibration(wanted: Wanted, source: Readable, method: Method) -> Chosen:
    """The calibration to code `source` with.

    Parameters
    ----------
    wanted : {"auto", "n1", "none"}, Calibration, path or None
        "n1": the N1's for the channels that it suits. A calibration or the path of one is used for the channels that it
        fits, and travels with the file. None is "none".
    source, method
        Looked at for "auto" only.
    """
    if wanted is None or wanted == NONE:
        return Chosen()
    if wanted == AUTO:
        return _automatic(source, method)
    calibration = n1() if wanted == N1_ONLY else wanted if isinstance(wanted, Calibration) else load(wanted)
    return Chosen(calibration, None if calibration.id == n1().id else calibration.to_bytes())


def _automatic(source: Readable, method: Method) -> Chosen:
    frames = min(source.frames, block_shape(source.layout)[0])
    if frames < 2:
        return Chosen(n1())
    columns = _channels(source, min(frames, GLANCE))
    if columns is None:
        return Chosen()
    for column in columns:
        levels = find_levels(column)
        if isinstance(levels, N1Levels) and suits(levels.to_codes(column)[0], n1()):
            return Chosen(n1())
    from spikey.codec import automatic  # with kernels that few need

    samples = automatic.read_samples(source)
    if samples is None:
        return Chosen()
    try:
        found = automatic.find_calibration(samples, source.frames * source.layout.channels, method)
    except Exception:  # an estimate that fails, for whatever reason, costs what it would have saved, not the recording
        return Chosen()
    return Chosen(found, None if found is None or not found.compact else found.to_bytes())


def _channels(source: Readable, frames: int) -> np.ndarray | None:
    """The first channels, integers (channels, frames): of floats those that they are scaled from; None without such."""
    columns = np.ascontiguousarray(source.read(0, frames)[:, :CHANNELS].T)
    if columns.dtype.kind != "f":
        return columns
    integers = []
    for column in columns:
        found = find_scale(column)
        if found is None:
            return None
        integers.append(found.integers)
    return np.stack(integers)
