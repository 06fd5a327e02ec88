"""What a stream is decoded to: samples, and gaps where they are lost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Segment(NamedTuple):
    """Decoded samples of neighbouring channels.

    Attributes
    ----------
    first_frame : int
        Frame of the first sample, counted from the beginning of the stream.
    first_channel : int
        Channel of the first column.
    samples : array (frames, channels)
        The samples.
    """

    first_frame: int
    first_channel: int
    samples: np.ndarray


class Gap(NamedTuple):
    """Samples that are lost: their packets did not arrive in time and parity did not replace them.

    Attributes
    ----------
    first_frame, end_frame : int
        The lost frames, `end_frame` excluded, counted from the beginning of the stream.
    first_channel, channels : int
        The first of the channels concerned, and their number.
    """

    first_frame: int
    end_frame: int
    first_channel: int
    channels: int
