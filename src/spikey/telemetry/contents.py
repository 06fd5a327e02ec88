"""What a telemetry decoder returns: the contents of packets, and frames that are missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PacketContents:
    """The contents of one decoded packet.

    Attributes
    ----------
    first_frame, end_frame : int
        The frames that it covers, `end_frame` excluded.
    dropped : int
        Threshold crossings that the encoder left out.
    event_frames, event_channels : int64 (n,)
        Threshold crossings, then troughs of weak spikes. These are sent with their waveforms, `Shape.wait` frames
        later, so they may lie before the packet.
    power_bins, power_channels : int64 (m,)
        Bin and channel of each value of spike-band power.
    power : float64 (m,)
        Mean squares in squared codes.
    low_ends, low_channels : int64 (k,)
        Samples of the LFP band before each block's end, and the block's channel.
    low : int64 (k, 64)
        Blocks of samples of the LFP band in 1/64 codes.
    wave_frames, wave_channels : int64 (w,)
        The crossings that the waveforms belong to.
    trough_frames : int64 (w,)
        The trough of each waveform.
    waves : int32 (w, samples)
        Waveforms in 1/1024 codes; the trough is sample `Shape.pre`.
    wave_scaled : bool (w,)
        Which waveforms are scaled copies of a neighbouring channel's.
    weak : int
        Number of weak spikes, which are the last events, and of their waveforms.
    left_out_waves, left_out_power, left_out_low : int
        Waveforms, values of power and blocks of the LFP band that were due but left out.
    """

    first_frame: int
    end_frame: int
    dropped: int
    event_frames: np.ndarray
    event_channels: np.ndarray
    power_bins: np.ndarray
    power_channels: np.ndarray
    power: np.ndarray
    low_ends: np.ndarray
    low_channels: np.ndarray
    low: np.ndarray
    wave_frames: np.ndarray
    wave_channels: np.ndarray
    trough_frames: np.ndarray
    waves: np.ndarray
    wave_scaled: np.ndarray
    weak: int
    left_out_waves: int
    left_out_power: int
    left_out_low: int


@dataclass(frozen=True)
class Missing:
    """Frames without data: their packet did not arrive, or the key packet that it needs did not.

    Attributes
    ----------
    first_frame, end_frame : int
        The missing frames, `end_frame` excluded.
    """

    first_frame: int
    end_frame: int
