"""From samples to encoded blocks: planned once, coded, and compared with what is faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spikey.codec import syntax
from spikey.codec.method import COPIED, MOST_REFERENCES, PACKED, STORED, Method
from spikey.codec.plan import Plan, Survey, plan, survey
from spikey.codec.registry import PREDICTORS
from spikey.recording.layout import Layout, pack

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

NAMED = 7  # bytes of the record that names a model


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


def encode_block(
    samples: np.ndarray, method: Method, calibration: Calibration | None = None, companions: np.ndarray | None = None
) -> bytes | None:
    """The payload of samples (frames, channels), any integer or float type; None where it would not be smaller than
    they are, and for floats that are not scaled integers.

    `calibration` is used for the channels it fits. companions: integers (frames, at most 4), what other recordings
    have at the same instants; only some predictors look at them, and decoding needs the same again.
    """
    (block,) = encode_blocks([samples], method, calibration, [companions])
    return None if block is None else block.payload


def encode_blocks(
    blocks: Sequence[np.ndarray],
    method: Method,
    calibration: Calibration | None = None,
    companions: Sequence[np.ndarray | None] | None = None,
) -> list[EncodedBlock | None]:
    """`encode_block` of several blocks: the same as one by one, and faster with a large trained network."""
    found = [survey(block, calibration) for block in blocks]
    return _encode(found, method, _surveys(companions, len(blocks), method, calibration))


def _surveys(
    companions: Sequence[np.ndarray | None] | None, count: int, method: Method, calibration: Calibration | None
) -> list[Survey | None]:
    if companions is None or not PREDICTORS[method.predictor].companions:
        return [None] * count
    return [None if samples is None else survey(samples, calibration, placed=False) for samples in companions]


def _encode(
    surveys: Sequence[Survey | None], method: Method, beside: Sequence[Survey | None]
) -> list[EncodedBlock | None]:
    """The blocks coded with one method; None where that is not possible or not smaller."""
    out: list[EncodedBlock | None] = [None] * len(surveys)
    plans: list[tuple[int, Plan]] = []
    for place, (found, other) in enumerate(zip(surveys, beside, strict=True)):
        made = None if found is None else plan(found, method, other)
        if made is not None:
            plans.append((place, made))
    record = PREDICTORS[method.predictor]
    streams = record.engine().encode([made for _, made in plans])
    for (place, made), coded in zip(plans, streams, strict=True):
        payload = syntax.write(made, coded) if coded else b""
        if coded and len(payload) < made.size:
            out[place] = EncodedBlock(payload, made.calibrated, record.trained, made.companions)
    return out


def encode_smallest(
    blocks: Sequence[np.ndarray],
    layouts: Sequence[Layout],
    method: Method,
    calibration: Calibration | None = None,
    companions: Sequence[np.ndarray] | None = None,
) -> list[EncodedBlock]:
    """Blocks coded with the method, or with a faster one where that is smaller, or as the file has them.

    Floats that are not scaled integers are packed.
    A trained network is used for a block only where it saves more, over the adaptive predictors, than naming it takes.
    layouts: of each block's file. companions: for each block the samples (frames, channels) of other recordings.
    """
    surveys = [survey(block, calibration) if block.size else None for block in blocks]
    coded = _encode(surveys, method, _surveys(companions, len(blocks), method, calibration))
    plain: list[EncodedBlock | None] = [None] * len(blocks)
    compared = PREDICTORS[method.predictor].compared(method)
    for name, lanes in compared:
        faster = replace(method, predictor=name, lanes=lanes, references=MOST_REFERENCES, model=None)
        others = _encode(surveys, faster, [None] * len(blocks))
        plain = [_smaller(one, other) for one, other in zip(plain, others, strict=True)]
    out = []
    for block, layout, one, other in zip(blocks, layouts, coded, plain, strict=True):
        best = _fitting(_smaller(one, other), block, layout)
        if compared and best.trained:
            best = replace(best, plain=_fitting(other, block, layout))
        out.append(best)
    return out


def _smaller(one: EncodedBlock | None, other: EncodedBlock | None) -> EncodedBlock | None:
    """The smaller block, with a model's name counted in."""
    if one is None or other is None:
        return one or other
    named = NAMED if one.trained else 0
    return other if len(other.payload) <= len(one.payload) + named else one


def _fitting(coded: EncodedBlock | None, block: np.ndarray, layout: Layout) -> EncodedBlock:
    """A block, or its samples as the file has them where that is smaller."""
    if coded is not None and len(coded.payload) <= block.size * layout.itemsize:
        return coded
    content = content_of(block, layout)
    if block.dtype.kind == "f":
        from spikey.coding.packed_bytes import pack_bytes

        return EncodedBlock(bytes([PACKED]) + pack_bytes(content, layout.itemsize))
    return stored(content)


def content_of(samples: np.ndarray, layout: Layout) -> bytes:
    """Some channels of a recording as its file would have them."""
    return pack(samples, replace(layout, channels=samples.shape[1]))


def stored(content: bytes) -> EncodedBlock:
    """A block of samples as the file has them."""
    return EncodedBlock(bytes([STORED]) + content)


def copied(samples: np.ndarray) -> EncodedBlock:
    """A block whose samples are those of the recording's original."""
    return EncodedBlock(bytes([COPIED if samples.size else STORED]))
