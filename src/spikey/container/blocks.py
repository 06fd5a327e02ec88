"""One block of a file, checked: its payload is read, decoded and compared with its checksum."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from spikey.base.checksum import crc32
from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.codec.decode import NO_GROUPS, decode_block, decode_blocks, decode_some, groups_in
from spikey.codec.method import MOST_TOGETHER, SAMPLES_TOGETHER
from spikey.codec.payload import Facts, Groups, Lookup, Payload, facts_of, needs_model
from spikey.coding.packed_bytes import unpack_bytes
from spikey.container.dependencies import Dependencies, MissingDependency
from spikey.container.input import Input
from spikey.container.layout import (
    BLOCK_SAMPLES,
    COPIED_BYTE,
    MAX_BLOCK_HEADER,
    PACKED_BYTE,
    STORED_BYTE,
    Block,
)
from spikey.container.salvage import describe, runs
from spikey.container.structure import Structure
from spikey.container.window import Companions
from spikey.recording.layout import pack, packed, unpack

FRONT = 1 << 14  # bytes of a payload that describe its groups, most often
AHEAD = 1 << 25  # bytes of blocks fetched from a remote file before they are decoded


class BlockDecoder:
    """Decodes single blocks of one file.

    companions: gives the samples of the recordings that the file was coded with. check_headers: whether the header in
    front of a block must be the one that the index lists; not where the blocks were found without an index.
    """

    def __init__(
        self,
        file: Input,
        structure: Structure,
        dependencies: Dependencies,
        companions: Companions | None,
        check_headers: bool,
    ):
        self.file, self.dependencies, self.check_headers = file, dependencies, check_headers
        self.structure, self.layout = structure, structure.layout
        self._companions = companions
        self._provided: dict[int, np.ndarray] = {}  # samples by the blocks' offsets, not yet checked
        self._groups: dict[int, Groups] = {}  # by the blocks' offsets

    def payload(self, block: Block) -> memoryview:
        """A block's payload as it lies in the file, unchecked."""
        return self.file.view_at(block.offset, block.size)

    def method_byte(self, block: Block) -> bytes:
        """The first byte of a block's payload, which contains the number of its predictor."""
        return self.file.read_at(block.offset, min(1, block.size))

    def facts(self, block: Block) -> Facts:
        """How a block of samples is coded, which is not checked; DataError where it is visibly damaged."""
        data, dtype = self.payload(block), self.layout.memory_dtype
        return facts_of(Payload(data, block.frames, block.channels, dtype, self.file.name), self._lookup())

    def _lookup(self) -> Lookup:
        return Lookup(self.dependencies.calibration, self.dependencies.model)

    def fetch(self, blocks: list[Block], channels: np.ndarray | None = None) -> None:
        """Have a remote file fetch blocks, headers included; of the groups of channels only those that are needed."""
        if not self.file.remote:
            return
        if channels is None or not any(self._in_part(block, channels) for block in blocks):
            self.file.fetch([self._extent(block) for block in blocks])
            return
        self.file.fetch(
            [(start, min(end, start + MAX_BLOCK_HEADER + FRONT)) for start, end in map(self._extent, blocks)]
        )
        ranges = []
        for block in blocks:
            inside = channels[(channels >= block.first_channel) & (channels < block.extent[3])] - block.first_channel
            ranges += [(block.offset + start, block.offset + end) for start, end in self._needed(block, inside)]
        self.file.fetch(ranges)

    @staticmethod
    def _extent(block: Block) -> tuple[int, int]:
        return max(block.offset - MAX_BLOCK_HEADER, 0), block.offset + block.size

    @staticmethod
    def _in_part(block: Block, channels: np.ndarray) -> bool:
        return block.size > 2 * FRONT and len(channels) < block.channels

    def _needed(self, block: Block, channels: np.ndarray) -> list[tuple[int, int]]:
        """The ranges of a block's payload that some of its channels need."""
        groups = self.groups(block)
        if len(channels) == block.channels or not groups.channels:
            return [(0, block.size)]
        return [(0, groups.front), *groups.places_of(channels)]

    def provide(self, block: Block, samples: np.ndarray) -> None:
        """Take what a block has been decoded to elsewhere; its checksum is still compared."""
        self._provided[block.offset] = samples

    def is_provided(self, block: Block) -> bool:
        """Whether a block has been decoded elsewhere."""
        return block.offset in self._provided

    def content(self, block: Block) -> bytes | np.ndarray:
        """What a block contains, checked: samples (frames, channels), or bytes.

        Raises DamagedError, with the block's extent, where it is damaged, and MissingDependency.
        """
        what = self._words(block)
        try:
            self.fetch([block])
            self._check_header(block)
            payload = self.payload(block)
            content, data = self.unpack(block, payload, what)
            if self.structure.header.single:
                check = crc32(data, crc32(payload, zlib.crc32(self.structure.front)))
            else:
                check = block.check_of(payload, data)
            if check != block.check:
                raise DataError(f"{what}: fails its checksum")
        except MissingDependency:
            raise
        except DataError as error:
            raise DamagedError(str(error), [block.extent]) from None
        return content

    def _words(self, block: Block) -> str:
        return f"{self.file.name}, {describe(block.extent)}"

    def _check_header(self, block: Block) -> None:
        """DataError where a block's header is not as it should be."""
        if not self.structure.header.single and self.check_headers:
            head = block.write()
            if block.offset < len(head) or self.file.read_at(block.offset - len(head), len(head)) != head:
                raise DataError(f"{self._words(block)}: its block's header is damaged")

    def groups(self, block: Block) -> Groups:
        """A block's groups of channels, counted within it, where these can be decoded and checked alone.

        None where there are none, or where what describes them is damaged.
        """
        if block.kind != BLOCK_SAMPLES or self.structure.header.single or self.is_provided(block):
            return NO_GROUPS
        if block.offset not in self._groups:
            self._groups[block.offset] = NO_GROUPS
            with suppress(DataError):
                self._check_header(block)
                self._groups[block.offset] = self._found_groups(block)
        return self._groups[block.offset]

    def _found_groups(self, block: Block) -> Groups:
        if block.size > 2 * FRONT:
            with suppress(DataError):  # of zeros that follow a part of what describes the groups
                groups = groups_in(self._payload_of(block, self._part(block, [(0, FRONT)])))
                if groups.front <= FRONT:
                    return groups
        return groups_in(self._payload_of(block, self.payload(block)))

    def _part(self, block: Block, ranges: list[tuple[int, int]]) -> memoryview:
        """A block's payload of which some ranges are read, and the others are zeros."""
        if block.offset + block.size > self.file.size:  # as an index may list it that is salvaged
            raise DataError(
                f"{self.file.name}: ends {block.offset + block.size - self.file.size} bytes too early", code="truncated"
            )
        data = memoryview(bytearray(block.size))
        for start, end in ranges:
            data[start:end] = self.file.view_at(block.offset + start, end - start)
        return data

    def some(self, block: Block, channels: np.ndarray) -> np.ndarray:
        """The samples (frames, channels) of some channels of a block that has groups, checked by the groups' checksums.

        channels: int64, ascending, counted within the block.
        Raises DamagedError, with the extents of the groups, where some are damaged, and MissingDependency.
        """
        wanted, inside = channels.tolist(), channels
        try:
            part = self._part(block, self._needed(block, channels))
            samples, damaged = decode_some(self._payload_of(block, part), self._lookup(), wanted)
            if damaged:  # or the size of another group is
                payload = self._payload_of(block, self.payload(block))
                samples, damaged = decode_some(payload, self._lookup(), wanted)
            if damaged:
                inside = np.array(damaged)
                raise DataError(f"{self._words(block)}: a group of channels is damaged")
            if self.layout.itemsize < samples.itemsize:
                pack(samples, replace(self.layout, channels=len(channels)))
        except MissingDependency:
            raise
        except (DataError, UsageError) as error:  # the latter of a 24-bit block
            first, end, low, _ = block.extent
            lost = [group for group in self.groups(block).channels if np.isin(group, inside).any()]
            where = [(first, end, low + start, low + stop) for start, stop in runs(np.concatenate(lost))]
            raise DamagedError(str(error), where) from None
        return samples

    def _payload_of(self, block: Block, data: bytes | memoryview) -> Payload:
        dtype = self.layout.memory_dtype
        return Payload(data, block.frames, block.channels, dtype, self._words(block), self._beside(block))

    def unpack(self, block: Block, payload: memoryview, what: str) -> tuple[bytes | np.ndarray, bytes | memoryview]:
        """A block's content, unchecked, and the bytes that its checksum covers."""
        data: bytes | memoryview
        if block.kind != BLOCK_SAMPLES:
            content = unpack_bytes(payload, block.frames, what)
            return content, content
        layout = replace(self.layout, channels=block.channels)
        if payload[:1] == STORED_BYTE:
            data = payload[1:]
            if len(data) != block.frames * layout.frame_bytes:
                raise DataError(f"{what}: is stored with a wrong size")
            return unpack(data, layout), data
        if payload[:1] == PACKED_BYTE:
            data = unpack_bytes(payload[1:], block.frames * layout.frame_bytes, what)
            return unpack(data, layout), data
        if payload[:1] == COPIED_BYTE:
            if self._companions is None or len(payload) > 1:
                raise DataError(f"{what}: is damaged: invalid reference to another recording")
            copied = self._companions.copied(block.extent, self.layout)
            return copied, packed(copied, layout)
        samples = self._provided.pop(block.offset, None)
        if samples is None:
            samples = decode_block(self._payload_of(block, payload), self._lookup())
        try:
            return samples, packed(samples, layout)
        except UsageError:  # a damaged 24-bit block
            raise DataError(f"{what}: decodes to samples that its type cannot hold") from None

    def _beside(self, block: Block) -> Callable[[], np.ndarray] | None:
        """What gives the samples of companions in a block's frames, where there are any."""
        companions = self._companions
        return None if companions is None else lambda: companions.columns(block.first_frame, block.frames)

    def batches(self, blocks: list[Block]) -> Iterator[list[Block]]:
        """Blocks that are decoded, or fetched, together."""
        learned = bool(self.dependencies.model_id)
        most = max(MOST_TOGETHER // min(self.layout.channels, 16), 1) if learned else len(blocks)
        batch: list[Block] = []
        size = samples = 0
        for block in blocks:
            full = learned and samples + block.frames * block.channels > SAMPLES_TOGETHER
            if batch and (full or len(batch) == most or (size + block.size > AHEAD and self.file.remote)):
                yield batch
                batch, size, samples = [], 0, 0
            batch.append(block)
            size += block.size
            samples += block.frames * block.channels
        if batch:
            yield batch


def decode_together(wanted: list[tuple[BlockDecoder, Block]]) -> None:
    """Decode blocks of one or several files together where a trained network gains by that.

    What fails is left to be decoded alone, where the error belongs to its block.
    """
    groups: dict[tuple[bytes, int, bytes], list[tuple[BlockDecoder, Block, Payload]]] = {}
    for decoder, block in wanted:
        if block.kind != BLOCK_SAMPLES or decoder.is_provided(block):
            continue
        if block.offset + block.size > decoder.file.size:
            continue
        data = decoder.payload(block)
        if needs_model(data):
            payload = Payload(data, block.frames, block.channels, decoder.layout.memory_dtype)
            key = decoder.dependencies.model_id, data[0], decoder.dependencies.calibration_id
            groups.setdefault(key, []).append((decoder, block, payload))
    for group in groups.values():
        needed = group[0][0].dependencies
        with suppress(DataError):
            lookup = Lookup(needed.calibration, needed.model)
            decoded = decode_blocks([payload for *_, payload in group], lookup)
            for (decoder, block, _), samples in zip(group, decoded, strict=True):
                decoder.provide(block, samples)
