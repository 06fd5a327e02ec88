"""From samples to encoded blocks: surveyed once, coded by an engine, and compared with what is faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spikey.codec.method import COPIED, FEW_CHANNELS, LARGEST, PACKED, STORED, Method
from spikey.codec.payload import EncodedBlock
from spikey.codec.registry import PREDICTORS, Predictor
from spikey.codec.survey import Block
from spikey.recording.layout import Layout, pack

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

NAMED = 7  # bytes of the record that names a model


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
    found = [Block(block, calibration) if block.size else None for block in blocks]
    return _encode(found, method, _beside(companions, len(blocks), method, calibration))


def _beside(
    companions: Sequence[np.ndarray | None] | None, count: int, method: Method, calibration: Calibration | None
) -> list[Block | None]:
    if companions is None or not PREDICTORS[method.predictor].companions:
        return [None] * count
    return [None if samples is None else Block(samples, calibration, placed=False) for samples in companions]


def _encode(
    blocks: Sequence[Block | None], method: Method, beside: Sequence[Block | None]
) -> list[EncodedBlock | None]:
    """The blocks coded with one method; None where that is not possible or not smaller."""
    out: list[EncodedBlock | None] = [None] * len(blocks)
    places = [place for place, block in enumerate(blocks) if block is not None]
    known = [block for block in blocks if block is not None]
    coded = PREDICTORS[method.predictor].engine().encode(known, method, [beside[place] for place in places])
    for place, found in zip(places, coded, strict=True):
        out[place] = found
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
    found = [Block(block, calibration) if block.size else None for block in blocks]
    record = PREDICTORS[method.predictor]
    coded = _encode(_suitable(found, record), method, _beside(companions, len(blocks), method, calibration))
    plain: list[EncodedBlock | None] = [None] * len(blocks)
    compared = record.compared(method)
    for name, lanes, references in compared:
        faster = replace(method, predictor=name, lanes=lanes, references=references, model=None)
        others = _encode(_suitable(found, PREDICTORS[name]), faster, [None] * len(blocks))
        plain = [_smaller(one, other) for one, other in zip(plain, others, strict=True)]
    out = []
    for block, layout, one, other in zip(blocks, layouts, coded, plain, strict=True):
        best = _fitting(_smaller(one, other), block, layout)
        if compared and best.trained:
            best = replace(best, plain=_fitting(other, block, layout))
        out.append(best)
    return out


def _suitable(blocks: Sequence[Block | None], record: Predictor) -> list[Block | None]:
    """The blocks that a predictor is for."""
    most = FEW_CHANNELS if record.few else LARGEST
    return [block if block is not None and block.samples.shape[1] <= most else None for block in blocks]


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
