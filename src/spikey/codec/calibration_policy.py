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
from spikey.codec.registry import deciding
from spikey.codec.survey import suits
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.levels.scaled import find_scale
from spikey.model.calibration import Calibration, load, n1, named, shipped_name, shipped_names
from spikey.recording.readable import ArraySource, Readable

AUTO = "auto"
NONE = "none"
CHANNELS = 8
GLANCE = 8192  # frames that suffice to recognise an N1
Wanted = Calibration | str | os.PathLike[str] | None


class Chosen(NamedTuple):
    """A calibration, and its bytes if the file must contain it; None for none."""

    calibration: Calibration | None = None
    embed: bytes | None = None


def choose_calibration(wanted: Wanted, source: Readable, method: Method) -> Chosen:
    """The calibration to code `source` with.

    Parameters
    ----------
    wanted : {"auto", "none"}, name, Calibration, path or None
        The name of a shipped calibration, such as "n1", a calibration, or the path of one is used for the channels that
        it suits; one that is not shipped is stored in the file. None is "none".
    source, method
        Looked at for "auto" only. The same calibration is chosen for all presets.
    """
    if wanted is None or wanted == NONE:
        return Chosen()
    if wanted == AUTO:
        return _automatic(source, deciding(method))
    if isinstance(wanted, Calibration):
        calibration = wanted
    else:
        calibration = named(str(wanted)) if wanted in shipped_names() else load(wanted)
    return Chosen(calibration, calibration.to_bytes() if shipped_name(calibration) is None else None)


def shipped_for(samples: np.ndarray) -> Calibration | None:
    """The shipped calibration, or a variant of one, that suits samples (frames, channels) best; None for none."""
    if _is_n1(ArraySource(samples, 0), len(samples)):
        return n1()
    from spikey.codec.recognition import recognised  # with kernels that few need

    return recognised(samples)


def _automatic(source: Readable, method: Method) -> Chosen:
    frames = min(source.frames, block_shape(source.layout)[0])
    if frames < 2:
        return Chosen(n1())
    if _is_n1(source, frames):
        return Chosen(n1())
    from spikey.codec import automatic  # with kernels that few need

    try:
        samples = automatic.read_samples(source)
        if samples is None:
            return Chosen()
        found = automatic.find_calibration(samples, source.frames * source.layout.channels, method)
    except Exception:  # an estimate that fails, for whatever reason, costs what it would have saved, not the recording
        return Chosen()
    return Chosen(found, None if found is None or not found.compact else found.to_bytes())


def _is_n1(source: Readable, frames: int) -> bool:
    """Whether one of the first channels is of an N1."""
    for column in _channels(source, min(frames, GLANCE)):
        levels = find_levels(column)
        if isinstance(levels, N1Levels) and suits(levels.to_codes(column)[0], n1()):
            return True
    return False


def _channels(source: Readable, frames: int) -> list[np.ndarray]:
    """The first channels, integers (frames,): of floats those that they are scaled from; none where one has no such."""
    columns = list(np.ascontiguousarray(source.read(0, frames)[:, :CHANNELS].T))
    if not columns or columns[0].dtype.kind != "f":
        return columns
    found = [find_scale(column) for column in columns]
    return [one.integers for one in found if one is not None] if None not in found else []
