"""One block of a file, checked: its payload is read, decoded and compared with its checksum."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.codec.decode import decode_block, decode_blocks, decode_some, groups_in
from spikey.codec.method import MOST_TOGETHER, SAMPLES_TOGETHER
from spikey.codec.payload import Facts, Lookup, Payload, facts_of, needs_model
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
from spikey.recording.layout import pack, unpack

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
        self._groups: dict[int, list[np.ndarray]] = {}  # by the blocks' offsets

    def payload(self, block: Block) -> bytes:
        """A block's payload as it lies in the file, unchecked."""
        return self.file.read_at(block.offset, block.size)

    def method_byte(self, block: Block) -> bytes:
        """The first byte of a block's payload, which contains the number of its predictor."""
        return self.file.read_at(block.offset, min(1, block.size))

    def facts(self, block: Block) -> Facts:
        """How a block of samples is coded, which is not checked; DataError where it is visibly damaged."""
        data, dtype = self.payload(block), self.layout.memory_dtype
        return facts_of(Payload(data, block.frames, block.channels, dtype, self.file.name), self._lookup())

    def _lookup(self) -> Lookup:
        return Lookup(self.dependencies.calibration, self.dependencies.model)

    def fetch(self, blocks: list[Block]) -> None:
        """Have a remote file fetch blocks, headers included."""
        self.file.fetch([(max(block.offset - MAX_BLOCK_HEADER, 0), block.offset + block.size) for block in blocks])

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
            payload = self._fetched(block)
            content, data = self.unpack(block, payload, what)
            if self.structure.header.single:
                check = zlib.crc32(data, zlib.crc32(payload, zlib.crc32(self.structure.front)))
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

    def _fetched(self, block: Block) -> bytes:
        """A block's payload, where its header is as it should be."""
        self.fetch([block])
        if not self.structure.header.single and self.check_headers:
            head = block.write()
            if block.offset < len(head) or self.file.read_at(block.offset - len(head), len(head)) != head:
                raise DataError(f"{self._words(block)}: its block's header is damaged")
        return self.payload(block)

    def groups(self, block: Block) -> list[np.ndarray]:
        """The channels of a block's groups, counted within the block, where these can be decoded and checked alone.

        Nothing where there are none, or where they are damaged.
        """
        if block.kind != BLOCK_SAMPLES or self.structure.header.single or self.is_provided(block):
            return []
        if block.offset not in self._groups:
            found: list[np.ndarray] = []
            with suppress(DataError):
                found = groups_in(self._payload_of(block, self._fetched(block)))
            self._groups[block.offset] = found
        return self._groups[block.offset]

    def group(self, block: Block, place: int) -> np.ndarray:
        """The samples (frames, channels) of a group, checked by its own checksum.

        Raises DamagedError, with the extents of its channels, where it is damaged, and MissingDependency.
        """
        channels = self.groups(block)[place]
        try:
            payload = self._payload_of(block, self._fetched(block))
            samples, damaged = decode_some(payload, self._lookup(), channels.tolist())
            if damaged:
                first = block.first_channel + min(damaged)
                raise DataError(f"{self._words(block)}: the group of channel {first} is damaged")
            if self.layout.itemsize < samples.itemsize:
                pack(samples, replace(self.layout, channels=len(channels)))
        except MissingDependency:
            raise
        except (DataError, UsageError) as error:  # the latter of a 24-bit block
            first, end, low, _ = block.extent
            lost = [(first, end, low + start, low + stop) for start, stop in runs(channels)]
            raise DamagedError(str(error), lost) from None
        return samples

    def _payload_of(self, block: Block, data: bytes) -> Payload:
        dtype = self.layout.memory_dtype
        return Payload(data, block.frames, block.channels, dtype, self._words(block), self._beside(block))

    def unpack(self, block: Block, payload: bytes, what: str) -> tuple[bytes | np.ndarray, bytes]:
        """A block's content, unchecked, and the bytes that its checksum covers."""
        if block.kind != BLOCK_SAMPLES:
            data = unpack_bytes(payload, block.frames, what)
            return data, data
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
                raise DataError(f"{what}: refers to another recording badly")
            copied = self._companions.copied(block.extent, self.layout)
            return copied, pack(copied, layout)
        samples = self._provided.pop(block.offset, None)
        if samples is None:
            samples = decode_block(self._payload_of(block, payload), self._lookup())
        try:
            return samples, pack(samples, layout)
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
