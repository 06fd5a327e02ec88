"""The samples of a chunk: integers (frames, channels) as blocks of the codec, each with a checksum.

A chunk's head contains `Coding`, which is all that the blocks need to be decoded; the body is payloads and checksums.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from spikey.base.checksum import crc32
from spikey.base.errors import DamagedError, DataError
from spikey.base.wire import Cursor, varint
from spikey.base.workers import spread
from spikey.codec.cut import Extent, block_shape
from spikey.codec.decode import decode_blocks
from spikey.codec.encode import encode_smallest
from spikey.codec.method import LARGEST, MOST_TOGETHER, SAMPLES_TOGETHER, STORED, Method
from spikey.codec.payload import EncodedBlock, Lookup, Payload
from spikey.integrations.calibrations import find
from spikey.recording.layout import MOST_CHANNELS, Layout, packed, unpack

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration
    from spikey.model.trained import Model

CALIBRATED, EMBEDDED, TRAINED, CUT = 4, 8, 16, 32  # flags of a chunk
FLAGS = CALIBRATED | EMBEDDED | TRAINED | CUT
LARGEST_CALIBRATION = 1 << 20  # bytes of its file, and packed of no more than one more
MODELLED = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
SUM = struct.Struct("<I")
Shape = tuple[int, ...]
One = TypeVar("One")


class Means(NamedTuple):
    """How samples are encoded; embed: the calibration's bytes if the chunk is to contain it."""

    method: Method
    calibration: Calibration | None = None
    embed: bytes | None = None


@dataclass(frozen=True)
class Coding:
    """What the head of a chunk contains of its samples.

    calibration, model: ids; empty where no block uses one. embedded: size and packed bytes of the calibration, where
    they are stored in the chunk. full: frames and channels of a full block, and sizes: bytes of all payloads, in order;
    None and nothing where there is one block.
    """

    calibration: bytes = b""
    embedded: tuple[int, bytes] | None = None
    model: bytes = b""
    full: tuple[int, int] | None = None
    sizes: tuple[int, ...] = ()

    @property
    def flags(self) -> int:
        """The chunk's flags for the fields that follow."""
        found = CALIBRATED * bool(self.calibration) | EMBEDDED * (self.embedded is not None)
        return found | TRAINED * bool(self.model) | CUT * (self.full is not None)

    def write(self) -> bytes:
        """All of it, as bytes."""
        out = self.calibration
        if self.embedded is not None:
            size, packed = self.embedded
            out += varint(size) + varint(len(packed)) + packed
        return out + self.model + b"".join(map(varint, (*(self.full or ()), *self.sizes)))


def read_coding(flags: int, cursor: Cursor, shape: Shape) -> Coding:
    """Read what `Coding.write` wrote; DataError where it is too short or impossible."""
    calibration = cursor.take(4) if flags & CALIBRATED else b""
    embedded = None
    if flags & EMBEDDED:
        if not calibration:
            raise DataError(f"{cursor.what}: contains a calibration without an id")
        embedded = cursor.varint(LARGEST_CALIBRATION), cursor.take(cursor.varint(LARGEST_CALIBRATION + 1))
    model = cursor.take(4) if flags & TRAINED else b""
    if not flags & CUT:
        return Coding(calibration, embedded, model)
    full = cursor.varint(), cursor.varint()
    if not all(full):
        raise DataError(f"{cursor.what}: has blocks of no samples")
    frames, channels = frames_and_channels(shape)
    count = -(-frames // full[0]) * -(-channels // full[1])
    return Coding(calibration, embedded, model, full, tuple(cursor.varint() for _ in range(count)))


def without_ones(shape: Shape) -> Shape:
    """A shape without its leading axes of length 1."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def frames_and_channels(shape: Shape) -> tuple[int, int]:
    """How the samples of an array lie: the first axis is time, leading ones of length 1 aside, the others channels."""
    frames, *others = without_ones(shape) or (1,)
    return frames, math.prod(others)


@dataclass(frozen=True)
class EncodedSamples:
    """Blocks with the checksums of their samples and payloads, and what the head of the chunk has of them."""

    coding: Coding
    blocks: list[tuple[bytes, int]]

    def body(self, check: int) -> bytes:
        """The body of the chunk whose head has this checksum."""
        parts = []
        for number, (payload, own) in enumerate(self.blocks):
            parts += [payload, SUM.pack(_sum(own, number, check))]
        return b"".join(parts)


def _sum(own: int, number: int, check: int) -> int:
    """The checksum of a block: of its samples and payload, its number, and the chunk's head, so that no two mix."""
    return zlib.crc32(SUM.pack(number) + SUM.pack(check), own)


def encode_samples(samples: np.ndarray, means: Means, jobs: int) -> EncodedSamples:
    """Encode samples (frames, channels), any integer type of up to 32 bits, by so many threads."""
    native = samples.dtype.newbyteorder("=")
    layout = Layout(samples.shape[1], 0, native.name)
    full = block_shape(layout, len(samples), means.method)

    def encode(batch: list[Extent]) -> list[tuple[EncodedBlock, int]]:
        parts = [samples[_place(extent)].astype(native, copy=False) for extent in batch]
        encoded = encode_smallest(parts, [layout] * len(parts), means.method, means.calibration)
        return [
            (block, crc32(block.payload, _content_sum(part, layout)))
            for block, part in zip(encoded, parts, strict=True)
        ]

    batches = _batches(extents_of(full, *samples.shape), full, means.method.model is not None)
    found = [each for batch in spread(encode, batches, jobs) for each in batch]
    coding = _coding([block for block, _ in found], means)
    if len(found) > 1:
        coding = replace(coding, full=full, sizes=tuple(len(block.payload) for block, _ in found))
    return EncodedSamples(coding, [(block.payload, own) for block, own in found])


def _coding(blocks: list[EncodedBlock], means: Means) -> Coding:
    """What blocks use: a calibration or a network that none of them does is left out."""
    calibration, model, embedded = means.calibration, means.method.model, None
    if not any(block.calibrated for block in blocks):
        calibration = None
    elif means.embed is not None:
        from spikey.coding.packed_bytes import pack_bytes

        embedded = len(means.embed), pack_bytes(means.embed, 4)
    trained = model is not None and any(block.trained for block in blocks)
    return Coding(b"" if calibration is None else calibration.id, embedded, model.id if model and trained else b"")


def words_of(extent: Extent) -> str:
    """Where a block of a chunk lies, for a message."""
    first, frames, channel, channels = extent
    return f"frames {first} to {first + frames - 1} of channels {channel} to {channel + channels - 1}"


class _Block(NamedTuple):
    """A block in a chunk. check: its checksum as it lies there."""

    number: int
    extent: Extent
    payload: memoryview
    check: int

    @property
    def words(self) -> str:
        """Where it lies, for a message."""
        return words_of(self.extent)

    @property
    def lost(self) -> tuple[int, int, int, int]:
        """Where it lies, for `DamagedError`."""
        first, frames, channel, channels = self.extent
        return first, first + frames, channel, channel + channels


def decode_samples(
    coding: Coding, check: int, body: memoryview, dtype: np.dtype[Any], shape: Shape, jobs: int, calibration: str
) -> np.ndarray:
    """Samples (frames, channels) of a chunk's body; `check` is that of its head, `calibration` the configuration's.

    Raises DamagedError for what is not as it was written, and DataError where the head describes what cannot be, or
    the calibration or model is missing.
    """
    native, (frames, channels) = dtype.newbyteorder("="), frames_and_channels(shape)
    full = coding.full or (frames, channels)
    fitting = full[0] <= frames and full[1] <= channels <= MOST_CHANNELS and 0 < full[0] * full[1] <= LARGEST
    if native.name not in MODELLED or not fitting:
        raise DataError(f"a chunk of {shape} {dtype} cannot have blocks of {full[0]} frames and {full[1]} channels")
    sizes = coding.sizes or (len(body) - SUM.size,)
    if min(sizes) < 1 or sum(sizes) + SUM.size * len(sizes) != len(body):
        raise DamagedError(f"its blocks do not have the {len(body):,} bytes that follow its head")
    found, model = find_calibration(coding, calibration), find_model(coding)
    lookup = Lookup(lambda: found, lambda: model)
    single = full == (frames, channels)
    out = np.zeros((0, 0) if single else (frames, channels), native)
    only: list[np.ndarray] = []
    layout = Layout(channels, 0, native.name)

    def decode(batch: list[_Block]) -> None:
        for group in _alike(batch):
            try:
                decoded = _decode(group, layout, lookup)
            except DataError as error:
                raise DamagedError(str(error), [block.lost for block in group]) from None
            for block, part in zip(group, decoded, strict=True):
                own = crc32(block.payload, _content_sum(part, layout))
                if _sum(own, block.number, check) != block.check:
                    raise DamagedError(f"{block.words} fail their checksum", [block.lost])
                if single:
                    only.append(part)
                else:
                    out[_place(block.extent)] = part

    blocks = _blocks(extents_of(full, frames, channels), sizes, body)
    spread(decode, _batches(blocks, full, model is not None), jobs)
    return only[0] if single else out


def _content_sum(samples: np.ndarray, layout: Layout) -> int:
    """CRC-32 of samples as a file would have them."""
    return crc32(packed(samples, replace(layout, channels=samples.shape[1])))


def find_calibration(coding: Coding, configured: str) -> Calibration | None:
    """The calibration that a chunk names, if any; DataError where there is none of that id."""
    if not coding.calibration:
        return None
    if coding.embedded is None:
        return find(coding.calibration, configured)
    from spikey.coding.packed_bytes import unpack_bytes
    from spikey.model.calibration import load

    size, packed = coding.embedded
    calibration = load(unpack_bytes(packed, size, "a chunk's calibration"))
    if calibration.id != coding.calibration:
        raise DataError(f"a chunk names calibration {coding.calibration.hex()} but contains {calibration.id.hex()}")
    return calibration


def find_model(coding: Coding) -> Model | None:
    """The model that a chunk names, if any; DataError where there is none of that id."""
    if not coding.model:
        return None
    from spikey.model.trained import find

    return find(coding.model)


def extents_of(full: tuple[int, int], frames: int, channels: int) -> Iterator[Extent]:
    """Where the blocks of a chunk lie, in order: those of the same frames one after another."""
    for first in range(0, frames, full[0]):
        for channel in range(0, channels, full[1]):
            yield Extent(first, min(full[0], frames - first), channel, min(full[1], channels - channel))


def _place(extent: Extent) -> tuple[slice, slice]:
    first, frames, channel, channels = extent
    return slice(first, first + frames), slice(channel, channel + channels)


def _blocks(extents: Iterable[Extent], sizes: Iterable[int], body: memoryview) -> Iterator[_Block]:
    end = 0
    for number, (extent, size) in enumerate(zip(extents, sizes, strict=True)):
        payload, end = body[end : end + size], end + size + SUM.size
        yield _Block(number, extent, payload, *SUM.unpack(body[end - SUM.size : end]))


def _batches(each: Iterable[One], full: tuple[int, int], trained: bool) -> Iterator[list[One]]:
    """Blocks, as many together as a trained network is fastest with; otherwise one by one."""
    together = min(MOST_TOGETHER // full[1], SAMPLES_TOGETHER // (full[0] * full[1])) if trained else 1
    batch: list[One] = []
    for one in each:
        batch.append(one)
        if len(batch) >= together:
            yield batch
            batch = []
    if batch:
        yield batch


def _alike(batch: list[_Block]) -> Iterable[list[_Block]]:
    """Blocks of one method each, which is what the first byte of a payload contains."""
    groups: dict[int, list[_Block]] = {}
    for block in batch:
        groups.setdefault(block.payload[0], []).append(block)
    return groups.values()


def _decode(group: list[_Block], layout: Layout, lookup: Lookup) -> list[np.ndarray]:
    """The samples of blocks of one method, unchecked."""
    if group[0].payload[0] == STORED:
        return [_unpack(block, layout) for block in group]
    dtype = layout.memory_dtype
    return decode_blocks(
        [Payload(each.payload, each.extent.frames, each.extent.channels, dtype, each.words) for each in group], lookup
    )


def _unpack(block: _Block, layout: Layout) -> np.ndarray:
    layout = replace(layout, channels=block.extent.channels)
    if len(block.payload) - 1 != block.extent.frames * layout.frame_bytes:
        raise DataError(f"{block.words} are stored with a wrong size")
    return unpack(block.payload[1:], layout)
