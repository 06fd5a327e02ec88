"""What a file contains beside its blocks of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from spikey.base.errors import UsageError
from spikey.base.wire import varint
from spikey.codec.payload import EncodedBlock
from spikey.coding.packed_bytes import pack_bytes
from spikey.container.extra import Extra
from spikey.container.file_map import FileMap
from spikey.container.layout import BLOCK_SAMPLES, LARGEST_RECORD, Block, checked_block
from spikey.container.records import CALIBRATION, COMPANIONS, FILE_MAP, METADATA
from spikey.model.calibration import Calibration, is_compact
from spikey.model.trained import Model


class Coding(NamedTuple):
    """A block with its checksum, its payload, and the block's header without the trained network, if that is known."""

    block: Block
    encoded: EncodedBlock
    plain: Block | None = None


def coding(extent: tuple[int, int, int, int], encoded: EncodedBlock, content: bytes) -> Coding:
    """A block of samples. content: the samples as the file has them, which the checksum covers."""
    plain = None if encoded.plain is None else checked_block(BLOCK_SAMPLES, extent, encoded.plain.payload, content)
    return Coding(checked_block(BLOCK_SAMPLES, extent, encoded.payload, content), encoded, plain)


@dataclass(frozen=True)
class Contents:
    """What goes into a file beside its samples.

    calibration: the one that blocks were coded with; embed: its bytes, if the file is to contain them. model:
    the trained network that blocks were coded with; embed_model: whether the file contains it, None: where it is the
    user's own and takes at most 1 % of the file. compared: whether blocks of the network come with their coding without
    it. extra: metadata and side files. file_map: the files to be restored, where samples lie between other bytes, which
    are the source's head then. companions: how many channels of other recordings blocks were coded with, 0 for a copy.
    records: more extension records, as they are written. bounded: whether the samples are stored as they are where the
    file would be larger than its input by more than is allowed; never with metadata or more records.
    """

    calibration: Calibration | None = None
    embed: bytes | None = None
    model: Model | None = None
    embed_model: bool | None = None
    compared: bool = True
    extra: Extra | None = None
    file_map: FileMap | None = None
    companions: int | None = None
    records: tuple[tuple[int, bytes], ...] = ()
    bounded: bool = True

    @property
    def may_be_stored(self) -> bool:
        """Whether the file may be replaced by one of stored samples."""
        return self.bounded and self.extra is None and self.file_map is None and not self.records

    def records_around(self, around: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """All extension records in the order of the file; `around`: those of the bytes around the samples."""
        records = []
        if self.embed is not None:
            records.append((CALIBRATION, packed_record(self.embed, 1 if is_compact(self.embed) else 4)))
        records += around
        if self.extra is not None:
            records.append((METADATA, metadata_record(self.extra)))
        if self.file_map is not None:
            records.append((FILE_MAP, file_map_record(self.file_map)))
        if self.companions is not None:
            records.append((COMPANIONS, varint(self.companions)))
        return [*records, *self.records]


def metadata_record(extra: Extra) -> bytes:
    """The metadata, packed."""
    record = packed_record(extra.to_json())
    if len(record) > LARGEST_RECORD:
        raise UsageError(f"the metadata take {len(record):,} bytes packed; at most {LARGEST_RECORD:,} can be stored")
    return record


def file_map_record(file_map: FileMap) -> bytes:
    """A description of files, packed."""
    record = packed_record(file_map.write())
    if len(record) > LARGEST_RECORD:
        raise UsageError(f"the description of the files takes {len(record):,} bytes; at most {LARGEST_RECORD:,} can be")
    return record


def packed_record(data: bytes, itemsize: int = 1) -> bytes:
    """The content of an extension record that holds `data`."""
    return varint(len(data)) + pack_bytes(data, itemsize)
