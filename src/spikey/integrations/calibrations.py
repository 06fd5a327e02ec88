"""A calibration in a codec's configuration: a name, or the bytes of its file as text, so that a store contains it once.

Chunks contain its id alone. Only HDF5, whose filters have room for 1 kB of parameters, may need it in every chunk.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from spikey.base.errors import DataError, UsageError

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

AUTO = "auto"
NONE = "none"
TEXT = "base64:"
GLANCE_FRAMES, GLANCE_CHANNELS = 4096, 16  # of a chunk, by which a shipped calibration is chosen


def portable(calibration: str | bytes | os.PathLike[str]) -> str:
    """A calibration as a configuration contains it: "auto", "none", the name of a shipped one, or its bytes as text.

    calibration: one of these, or the bytes or the path of a file of `spikey calibrate`. Raises DataError for what is
    not a calibration, and UsageError for what is neither of these.

    >>> portable("auto"), portable("n1")
    ('auto', 'n1')
    """
    if isinstance(calibration, str) and (calibration in (AUTO, NONE) or calibration.startswith(TEXT)):
        return calibration
    if not isinstance(calibration, (str, bytes, os.PathLike)) or "\0" in str(calibration):
        raise UsageError(f"calibration cannot be {calibration!r}")
    from spikey.model.calibration import load, shipped_name, shipped_names

    names = shipped_names()
    if isinstance(calibration, str) and calibration in names:
        return calibration
    if isinstance(calibration, str) and not os.path.exists(calibration):
        raise UsageError(
            f'{calibration}: no such file, and no shipped calibration; there are {", ".join(names)}, "auto" and "none"'
        )
    found = load(calibration)
    return shipped_name(found) or TEXT + base64.b64encode(found.to_bytes()).decode("ascii")


@lru_cache(maxsize=16)
def calibration_in(text: str) -> Calibration | None:
    """The calibration that a configuration contains or names; None for "auto", "none" and the path of one.

    Raises DataError where the text is damaged.
    """
    if text in (AUTO, NONE):
        return None
    from spikey.model.calibration import load, named, shipped_names

    if not text.startswith(TEXT):
        return named(text) if text in shipped_names() else None

    try:
        return load(base64.b64decode(text[len(TEXT) :].encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError, DataError) as error:
        raise DataError(f"the calibration in the codec's configuration is damaged ({error})") from None


def find(id4: bytes, text: str) -> Calibration:
    """The calibration of that id: the configuration's, a shipped one, or one in a folder of SPIKEY_CALIBRATIONS.

    Raises DataError where it is none of these.
    """
    from spikey.model.calibration import find as find_file

    own = calibration_in(text)
    if own is not None and own.id == id4:
        return own
    try:
        return find_file(id4)
    except DataError as error:
        from spikey.codec.recognition import variants

        if id4 in variants():
            return variants()[id4]
        raise DataError(f"{error.text}; nor is it in the codec's configuration", code=error.code) from None


def shipped_for(samples: np.ndarray) -> Calibration | None:
    """The shipped calibration under which samples (frames, channels) are likeliest; None where even widths are."""
    from spikey.codec.calibration_policy import shipped_for as suiting

    channels = np.arange(0, samples.shape[1], -(-samples.shape[1] // GLANCE_CHANNELS))
    first = max(len(samples) - GLANCE_FRAMES, 0) // 2
    glance = samples[first : first + GLANCE_FRAMES, channels]
    return suiting(glance.astype(glance.dtype.newbyteorder("=")))
