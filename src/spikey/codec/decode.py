"""From a payload back to samples: the predictor's number in its first byte selects the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spikey.base.errors import DataError
from spikey.codec.payload import Lookup, Payload, record_of
from spikey.codec.registry import PREDICTORS, GroupedEngine


def decode_block(payload: Payload, lookup: Lookup | None = None) -> np.ndarray:
    """The samples (frames, channels) of a payload.

    Raises DataError for what no encoder writes; whether the samples are the right ones is for a checksum to tell.
    """
    (samples,) = decode_blocks([payload], lookup)
    return samples


def decode_blocks(payloads: Sequence[Payload], lookup: Lookup | None = None) -> list[np.ndarray]:
    """`decode_block` of several payloads of one model and calibration, which is faster with a large network."""
    groups: dict[str, list[int]] = {}
    for place, payload in enumerate(payloads):
        groups.setdefault(record_of(payload).name, []).append(place)
    decoded: dict[int, np.ndarray] = {}
    for name, places in groups.items():
        found = PREDICTORS[name].engine().decode([payloads[place] for place in places], lookup or Lookup())
        decoded.update(zip(places, found, strict=True))
    return [decoded[place] for place in range(len(payloads))]


def rescue_block(payload: Payload, lookup: Lookup | None = None) -> tuple[np.ndarray, list[int]]:
    """The samples (frames, channels) of a damaged payload where a checksum within it vouches for them, zeros elsewhere,
    and the channels that are lost.

    Raises DataError where nothing can be rescued.
    """
    engine = record_of(payload).engine()
    if not isinstance(engine, GroupedEngine):
        raise DataError(f"{payload.what}: has no groups of channels that could be whole")
    return engine.rescue(payload, lookup or Lookup())
