"""Files of one block, with the model of a trained network named, embedded or left out: whichever is smallest."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from spikey.codec.payload import EncodedBlock
from spikey.container.embedding import Embedding, Fate, Tally
from spikey.container.layout import COPIED_BYTE, Header
from spikey.container.records import CALIBRATION, COMPANIONS, MODEL


def file_of_one(header: Header, payload: bytes, content: bytes) -> bytes:
    """A file in one piece."""
    head = header.write()
    check = zlib.crc32(content, zlib.crc32(payload, zlib.crc32(head)))
    return head + payload + struct.pack("<I", check)


def single_file(
    header: Header, encoded: EncodedBlock, embedding: Embedding | None, content: bytes, tally: Tally
) -> bytes:
    """A file of one block, with the model named or embedded, or without it where that is smaller."""

    def whole(block: EncodedBlock, model: bytes | None) -> bytes:
        idle = [] if block.calibrated else [CALIBRATION]
        if not block.companions and block.payload != COPIED_BYTE:
            idle.append(COMPANIONS)
        return file_of_one(with_model(header, model, idle), block.payload, content)

    if embedding is None or not encoded.trained:
        return whole(encoded, None)
    named = whole(encoded, embedding.model.id)
    plain = None if encoded.plain is None else whole(encoded.plain, None)
    tally.add(None if plain is None else len(plain) - len(named))
    tally.fate = embedding.fate(len(named), tally.saved)
    if tally.fate is Fate.DROPPED and plain is not None:
        return plain
    return named if tally.fate is Fate.NAMED else whole(encoded, embedding.record)


def with_model(header: Header, content: bytes | None, without: list[int]) -> Header:
    """A header with the record of a model, where it has one, and without records of some types."""
    calibrated = [record for record in header.records if record[0] == CALIBRATION]
    others = [record for record in header.records if record[0] != CALIBRATION]
    model = [] if content is None else [(MODEL, content)]
    records = [record for record in calibrated + model + others if record[0] not in without]
    return replace(header, records=records, calibration=b"" if CALIBRATION in without else header.calibration)
