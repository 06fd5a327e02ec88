"""What tests of several payload formats share: noise, and the independent decoder on a payload."""

from __future__ import annotations

import numpy as np

from kit import reference
from spikey.codec.payload import Payload
from spikey.model.calibration import n1

TYPES = {"int8": 0, "uint8": 1, "int16": 2, "uint16": 3, "int32": 5, "uint32": 6, "float32": 7, "float64": 8}


def noise(frames: int, channels: int, scale: float, seed: int = 0) -> np.ndarray:
    """Noise that channels share in part."""
    random = np.random.default_rng(seed)
    common = np.cumsum(random.normal(size=(frames + 8, 1)), axis=0)
    common = common[8:] - common[:-8]
    return np.asarray(np.round(scale * (common + random.normal(size=(frames, channels)))))


def by_the_reference(payload: Payload) -> np.ndarray:
    tables = reference.read_calibration(n1().to_bytes())
    kind = TYPES[payload.dtype.name]
    values = reference.decode_payload(payload.data, payload.frames, payload.count, tables, None, kind)
    rows = [[np.frombuffer(v, payload.dtype)[0] if isinstance(v, bytes) else v for v in channel] for channel in values]
    return np.array(rows).T.astype(payload.dtype)
