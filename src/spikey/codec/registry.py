"""The predictors and presets there are: one record each, from which choices, help texts and tables derive.

A record is a frozen dataclass without defaults, so that a missing field fails at import with its name. Records must not
import compiled kernels: `start` and `engine` do so when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from spikey.base.errors import UsageError
from spikey.base.registry import Registry
from spikey.codec.method import COPIED, PACKED, STORED, Method
from spikey.levels.contract import LEVEL_MAPS, LevelMap

if TYPE_CHECKING:
    from spikey.codec.payload import EncodedBlock, Facts, Groups, Lookup, Payload
    from spikey.codec.survey import Block
    from spikey.model.calibration import Calibration

DEFAULT_PRESET = "fast"  # where no preset, predictor or model is named
MOST_NUMBER = 14  # of a predictor, in the low four bits of a payload's first byte; 15 is for copies
NOT_PREDICTED = (STORED, PACKED, COPIED)


class Candidate(NamedTuple):
    """A faster way to code a block: the name of a predictor, its lanes, and references of a channel to others."""

    predictor: str
    lanes: int
    references: int


class Started(NamedTuple):
    """States of the adaptive loop for one channel; residual int32 (frames,) fills up, for others to refer to."""

    predictor: Any
    density: Any
    scale: Any
    residual: Any = None


class Start(NamedTuple):
    """What a predictor starts from.

    alphabet: of the channel; initial: the header's byte of the scale; others: residuals int32 (frames,) of the channels
    that this one refers to, None where it refers to none and none refers to it.
    """

    method: Method
    alphabet: int
    initial: int
    frames: int
    calibration: Calibration | None
    others: list[np.ndarray] | None


class Engine(Protocol):
    """What runs predictors: a module with these functions, and a payload syntax of its own.

    Only the low four bits of a payload's first byte, the predictor's number, are common to all engines.
    """

    def encode(
        self, blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]
    ) -> list[EncodedBlock | None]:
        """Blocks coded with one method; None where that is not possible or not smaller than the samples.

        beside: for each block up to 4 channels of other recordings, only of predictors with `companions`.
        """

    def decode(self, payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
        """The samples (frames, channels) of payloads of one predictor, model and calibration.

        Raises DataError for what no encoder writes.
        """

    def facts(self, payload: Payload, lookup: Lookup) -> Facts:
        """What a payload contains beside samples; DataError where it is damaged."""


@runtime_checkable
class GroupedEngine(Engine, Protocol):
    """An engine that codes groups of a block's channels, each of which can be decoded alone."""

    def groups(self, payload: Payload) -> Groups:
        """The groups; DataError where that is damaged. Of several each has a checksum of its own."""

    def decode_some(self, payload: Payload, lookup: Lookup, channels: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        """The samples (frames, channels) of some channels, and those of them that are damaged.

        Only their groups are decoded, and of those only their checksums are looked at.
        """


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """The record of a predictor.

    name, number: in tables; in the file. about: one line. method: with the predictor's usual options, for those without
    a model. configured: values of `predictor: type:` in a configuration, each with the shipped model that is used until
    one is trained, or None where none is needed. engine: what runs it. start: its states for one channel, with the
    adaptive engine; None with others. lanes: the most that it runs side by side in one channel. companions: whether
    channels of other recordings may help. trained: whether it needs a model. work: multiplications for a channel's
    frames, where limits must bound them; None for adaptive predictors, which are fast. few: whether it is for
    blocks of few channels alone. compared: what every block is coded with as well, so that a slower preset is never
    larger.
    """

    name: str
    number: int
    about: str
    method: Method | None
    configured: dict[str, str | None]
    engine: Callable[[], Engine]
    start: Callable[[Start], Started] | None
    lanes: int
    companions: bool
    trained: bool
    work: Callable[[int], int] | None
    few: bool
    compared: Callable[[Method], tuple[Candidate, ...]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The record of a preset: its method, and its rank: a higher one is slower and never larger.

    about: how it codes. use: what it is for. hours: that one core takes to encode 10^12 bytes of 16-bit samples, of 384
    channels, and of one (`python -m tools.preset_sizes`, `tools.speed`).
    """

    name: str
    rank: int
    method: Method
    about: str
    use: str
    hours: tuple[float, float]


PREDICTORS: Registry[Predictor] = Registry("predictor", most=MOST_NUMBER)
PRESETS: Registry[Preset] = Registry("preset")


def register(record: Predictor | Preset | LevelMap) -> None:
    """Add a predictor, preset or level map.

    Raises
    ------
    ValueError
        Its name or number is taken.
    """
    if isinstance(record, Predictor):
        if record.number in NOT_PREDICTED:
            raise ValueError(f"the predictor {record.name!r} has the number {record.number}, which is taken")
        PREDICTORS.register(record)
    elif isinstance(record, Preset):
        PRESETS.register(record)
    else:
        LEVEL_MAPS.register(record)


def preset_method(name: str) -> Method:
    """The method of a preset; UsageError where there is none of that name."""
    record = PRESETS.get(name)
    if record is None:
        raise UsageError(f"there is no preset {name!r}; there are {', '.join(ranked())}", code="unknown-preset")
    return record.method


def deciding(method: Method) -> Method:
    """The method by which a calibration is chosen: the default preset's where every block is coded with that too."""
    fast = preset_method(DEFAULT_PRESET)
    names = [candidate.predictor for candidate in PREDICTORS[method.predictor].compared(method)]
    return fast if fast.predictor in names else method


def predictor_method(kind: str) -> Method:
    """The method that a configuration's `predictor: type:` selects; UsageError where it needs a model or is unknown."""
    record = next((record for record in PREDICTORS if kind in record.configured), None)
    if record is None:
        raise UsageError(f"there is no predictor {kind!r}; there are {', '.join(configured())}")
    if record.method is None:
        raise UsageError(f"predictor {kind!r} needs a trained model")
    return record.method


def configured() -> dict[str, str | None]:
    """All values of `predictor: type:`, with the shipped model that each needs until one is trained, or None."""
    return {kind: model for record in PREDICTORS for kind, model in record.configured.items()}


def ranked() -> list[str]:
    """The names of the presets, fastest first."""
    return [record.name for record in sorted(PRESETS, key=lambda record: record.rank)]


def explained() -> str:
    """The presets for a help text, with what each is for and how long it takes."""
    records = [PRESETS[name] for name in ranked()]
    lines = [f"{record.name}: {record.use}, {record.hours[0]:g} hours per TB" for record in records]
    return "; ".join(lines)


def listed() -> str:
    """The presets for help texts: "a, b or c"."""
    *others, last = ranked()
    return f"{', '.join(others)} or {last}"
