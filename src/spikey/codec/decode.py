"""From a payload back to samples: the predictor's number in its first byte selects the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spikey.codec.payload import NOT_CODED, NUMBER, Groups, Lookup, Payload, record_of
from spikey.codec.registry import PREDICTORS, GroupedEngine

NO_GROUPS = Groups([], [], 0)


def decode_block(payload: Payload, lookup: Lookup | None = None) -> np.ndarray:
    """The samples (frames, channels) of a payload.

    Raises DataError for what no encoder writes; whether the samples are right, a checksum verifies.
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


def groups_in(payload: Payload) -> Groups:
    """The groups of a payload that can be decoded alone; none where it can only be decoded whole.

    Raises DataError for what no encoder writes.
    """
    engine = _grouped(payload)
    groups = NO_GROUPS if engine is None else engine.groups(payload)
    return groups if len(groups.channels) > 1 else NO_GROUPS


def decode_some(payload: Payload, lookup: Lookup, channels: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """The samples (frames, channels) of some channels of a payload that has groups, and those of them that are damaged.

    What is undamaged needs no other checksum. Raises DataError where nothing can be decoded.
    """
    engine = _grouped(payload)
    assert engine is not None
    return engine.decode_some(payload, lookup, channels)


def _grouped(payload: Payload) -> GroupedEngine | None:
    if payload.data[:1] and payload.data[0] & NUMBER in NOT_CODED:
        return None
    engine = record_of(payload).engine()
    return engine if isinstance(engine, GroupedEngine) else None
