"""What a worker of a cluster does: a stretch of a recording into blocks, or a short recording into a whole file.

The functions have no effects, and the same arguments give the same bytes: a task that is lost, or that runs twice, does
no harm.
"""

from __future__ import annotations

import secrets
import zlib
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np

from spikey.base.errors import DataError, SpikeyError, UsageError, install
from spikey.base.version import __version__
from spikey.codec.cut import Part, batches, block_shape, parts_of
from spikey.codec.decode import decode_block, decode_blocks
from spikey.codec.method import Method
from spikey.codec.payload import Lookup, Payload
from spikey.coding.packed_bytes import unpack_bytes
from spikey.container.contents import Coding
from spikey.container.layout import PACKED_BYTE, STORED_BYTE
from spikey.files.compare import same_bits
from spikey.files.compress import compress_file, open_recording
from spikey.files.encoding import Encoding, encode_parts
from spikey.files.settings import Outcome, Settings
from spikey.model.calibration import Calibration
from spikey.recording.layout import Layout, unpack
from spikey.recording.readable import Readable
from spikey.recording.source import Source

Checked = tuple[Coding, int]  # a block, and its payload's CRC-32 for the way to the client


@dataclass(frozen=True)
class Recording:
    """A recording as described to all its tasks, so that each can open it again."""

    path: str
    raw: tuple[int, float, str] | None
    layout: Layout
    frames: int
    head_size: int
    version: str

    @classmethod
    def of(cls, source: Readable, path: str, settings: Settings) -> Recording:
        """What describes an opened recording."""
        return cls(path, settings.raw, source.layout, source.frames, source.head_size, __version__)

    def open(self) -> Source:
        """The recording; DataError where it is another one by now."""
        source = open_recording(self.path, Settings(raw=self.raw))
        if (source.layout, source.frames, source.head_size) != (self.layout, self.frames, self.head_size):
            source.close()
            raise DataError(f"{self.path}: changed while it was read, or a worker sees another file there")
        return source


def check_version(version: str) -> None:
    """Raise UsageError on a worker that could write other bytes than the one that asks."""
    if version != __version__:
        raise UsageError(
            f"a worker has spikey {__version__}, and here it is {version}; "
            f"install the same version everywhere: {install()}",
            code="missing-package",
        )


def encode_stretch(
    recording: Recording,
    frames: range,
    channels: range,
    method: Method,
    calibration: Calibration | None,
    verify: bool,
    samples: np.ndarray | None = None,
) -> list[Checked]:
    """The blocks of some frames of some channels, in order; samples: theirs, where they come along.

    verify: decode each block and compare it with the samples.
    """
    check_version(recording.version)
    if samples is None:
        with recording.open() as source:
            samples = source.read(frames.start, len(frames))[:, channels.start : channels.stop]
    layout, stretch = recording.layout, samples

    def read(first: int, count: int) -> np.ndarray:
        return stretch[first - frames.start :][:count]

    out = []
    parts = parts_of(read, block_shape(layout, recording.frames, method), frames, channels.start)
    for batch in batches(parts, method, layout):
        coded = encode_parts(batch, layout, Encoding(method, calibration))
        if verify:
            _compare(batch, coded, Lookup(lambda: calibration, lambda: method.model), recording)
        out += [_checked(each) for each in coded]
    return out


def _checked(made: Coding) -> Checked:
    """Without the coding that does without the network, which would take as long on its way again."""
    encoded = replace(made.encoded, plain=None)
    return Coding(made.block, encoded), zlib.crc32(encoded.payload)


def _compare(parts: list[Part], coded: list[Coding], lookup: Lookup, recording: Recording) -> None:
    """Decode blocks and compare them with the samples that they were made of."""
    wanted = [
        Payload(
            one.encoded.payload, one.block.frames, one.block.channels, recording.layout.memory_dtype, recording.path
        )
        for one in coded
    ]
    learned = [each for each, one in zip(wanted, coded, strict=True) if one.encoded.trained]
    together = iter(decode_blocks(learned, lookup))
    for (_, samples), each, one in zip(parts, wanted, coded, strict=True):
        payload, plain = one.encoded.payload, replace(recording.layout, channels=one.block.channels)
        if payload[:1] == STORED_BYTE:
            decoded = unpack(payload[1:], plain)
        elif payload[:1] == PACKED_BYTE:
            size = one.block.frames * plain.frame_bytes
            decoded = unpack(unpack_bytes(payload[1:], size, recording.path), plain)
        elif one.encoded.trained:
            decoded = next(together)
        else:
            decoded = decode_block(each, lookup)
        if not same_bits(decoded, samples):
            raise SpikeyError(
                f"{recording.path}: what was encoded does not decode to it; no output was written. Please report this"
            )


def compress_whole(
    path: str, settings: Settings, version: str, data: bytes | None = None
) -> tuple[bytes, int, Outcome]:
    """A recording of moderate size as the bytes of a `.spky` file, their CRC-32, and what became of it.

    data: the recording's own bytes, where they come along.
    """
    import fsspec

    check_version(version)
    store = fsspec.filesystem("memory")
    place = f"memory://spikey/{secrets.token_hex(8)}"
    inside = f"{place}/{PurePath(path).name}"
    try:
        if data is not None:
            store.pipe_file(inside, data)
        outcome = compress_file(path if data is None else inside, f"{place}/out", settings)
        packed = store.cat_file(f"{place}/out")
        return packed, zlib.crc32(packed), outcome
    except SpikeyError as error:
        raise type(error)(str(error).replace(inside, path)) from None
    finally:
        if store.exists(place):
            store.rm(place, recursive=True)


def size_seen(path: str) -> int:
    """The size in bytes of a file as this machine sees it, or -1."""
    from spikey.recording.source import open_file

    try:
        file, _, size = open_file(path)
    except SpikeyError:
        return -1
    file.close()
    return size
