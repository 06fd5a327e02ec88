"""Files of one block, with the model of a trained network named, embedded or left out: whichever is smallest."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import NamedTuple

from spikey.codec.block import companions_in, needs, needs_model
from spikey.container.embedding import Embedding, Fate, Tally
from spikey.container.layout import CALIBRATION, COMPANIONS, COPIED_BYTE, MODEL, Header


class Choice(NamedTuple):
    """A block's payload, and the one without the trained network; None where the network is not used, or unknown."""

    payload: bytes
    plain: bytes | None = None


def file_of_one(header: Header, payload: bytes, content: bytes) -> bytes:
    """A file in one piece."""
    head = header.write()
    check = zlib.crc32(content, zlib.crc32(payload, zlib.crc32(head)))
    return head + payload + struct.pack("<I", check)


def single_file(header: Header, choice: Choice, embedding: Embedding | None, content: bytes, tally: Tally) -> bytes:
    """A file of one block, with the model named or embedded, or without it where that is smaller."""

    def whole(payload: bytes, model: bytes | None) -> bytes:
        idle = [] if needs(payload, header.layout.channels)[0] else [CALIBRATION]
        if not companions_in(payload) and payload != COPIED_BYTE:
            idle.append(COMPANIONS)
        return file_of_one(with_model(header, model, idle), payload, content)

    if embedding is None or not needs_model(choice.payload):
        return whole(choice.payload, None)
    named = whole(choice.payload, embedding.model.id)
    plain = None if choice.plain is None else whole(choice.plain, None)
    tally.add(None if plain is None else len(plain) - len(named))
    tally.fate = embedding.fate(len(named), tally.saved)
    if tally.fate is Fate.DROPPED and plain is not None:
        return plain
    return named if tally.fate is Fate.NAMED else whole(choice.payload, embedding.record)


def with_model(header: Header, content: bytes | None, without: list[int]) -> Header:
    """A header with the record of a model, where it has one, and without records of some types."""
    calibrated = [record for record in header.records if record[0] == CALIBRATION]
    others = [record for record in header.records if record[0] != CALIBRATION]
    model = [] if content is None else [(MODEL, content)]
    records = [record for record in calibrated + model + others if record[0] not in without]
    return replace(header, records=records, calibration=b"" if CALIBRATION in without else header.calibration)
