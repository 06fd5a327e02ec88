"""A payload beside what it belongs to: what encoding gives and decoding takes, whatever the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.codec.method import COPIED, PACKED, STORED
from spikey.codec.registry import PREDICTORS, Predictor

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration
    from spikey.model.trained import Model

NUMBER = 15  # the bits of a payload's first byte that number its predictor; the others are the engine's
NOT_CODED = {STORED: "stored", PACKED: "none: general method", COPIED: "none: a copy"}


class Lookup(NamedTuple):
    """What finds the calibration and the model that a file names; called only when one is needed."""

    calibration: Callable[[], Calibration | None] = lambda: None
    model: Callable[[], Model | None] = lambda: None


@dataclass(frozen=True)
class Payload:
    """A payload and what its block's header has of it.

    companions: gives the samples of other recordings that it was coded with; called only where it was.
    """

    data: bytes | memoryview
    frames: int
    count: int
    dtype: np.dtype
    what: str = "the block"
    companions: Callable[[], np.ndarray] | None = None


@dataclass(frozen=True)
class EncodedBlock:
    """A payload, and what of the file it needs to be decoded.

    plain: the block without the trained network, where the two were compared; None otherwise.
    """

    payload: bytes
    calibrated: bool = False
    trained: bool = False
    companions: int = 0
    plain: EncodedBlock | None = None

    @property
    def saved(self) -> int | None:
        """Bytes that the network saves; None where that is unknown."""
        return None if self.plain is None else len(self.plain.payload) - len(self.payload)


class Groups(NamedTuple):
    """The groups of a payload's channels, each of which can be decoded and checked alone.

    channels: of each, in coding order. places: the bytes (start, end) of the payload that it takes. front: the bytes at
    the payload's beginning that every group needs, and from which all this is known.
    """

    channels: list[np.ndarray]
    places: list[tuple[int, int]]
    front: int

    def places_of(self, channels: np.ndarray) -> list[tuple[int, int]]:
        """The places of the groups that contain any of some channels."""
        hit = [np.isin(inside, channels).any() for inside in self.channels]
        return [place for place, needed in zip(self.places, hit, strict=True) if needed]


class Facts(NamedTuple):
    """What a payload contains beside samples, for people and programs.

    method: how it is coded, by name, as `spikey info` shows it. levels: in words, what values each channel can take.
    references: for each channel the others of the block that it refers to.
    """

    method: dict[str, object]
    levels: list[str]
    references: list[list[int]]


def record_of(payload: Payload) -> Predictor:
    """The predictor that a payload is coded with; DataError where there is none of its number."""
    record = PREDICTORS.numbered(Cursor(payload.data, payload.what).byte() & NUMBER)
    if record is None:
        raise DataError(f"{payload.what}: is coded by a method that this version does not support")
    return record


def predictor_in(data: bytes | memoryview) -> str:
    """The name of the predictor that a payload is coded with, by its first byte; in words where there is none."""
    record = PREDICTORS.numbered(data[0] & NUMBER) if data else None
    return record.name if record is not None else NOT_CODED.get(data[0] & NUMBER if data else -1, "unknown")


def facts_of(payload: Payload, lookup: Lookup | None = None) -> Facts:
    """The facts about a payload; without levels and references where it is not coded. DataError where it is damaged."""
    if payload.data and payload.data[0] & NUMBER in NOT_CODED:
        return Facts({"predictor": predictor_in(payload.data)}, [], [])
    return record_of(payload).engine().facts(payload, lookup or Lookup())


def needs_model(data: bytes | memoryview) -> bool:
    """Whether a payload is coded with a trained network."""
    record = PREDICTORS.numbered(data[0] & NUMBER) if data else None
    return record is not None and record.trained
