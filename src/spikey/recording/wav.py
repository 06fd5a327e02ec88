"""WAV files with PCM samples, integers or floats: RIFF, and RF64 or BW64 (EBU Tech 3306, ITU-R BS.2088) beyond 4 GiB.

Only what is needed to find the samples is read; all other bytes, whatever they contain, are kept as head and tail.
Headers lie, most often where a recorder was stopped by force, so sizes are checked against the file.
"""

from __future__ import annotations

import io
import struct
import uuid
from dataclasses import dataclass

from spikey.base.errors import DataError, UsageError
from spikey.recording.layout import Layout
from spikey.recording.opened import read_at
from spikey.recording.source import NotPCM, PathLike, Source, open_file

MAX_CHUNKS = 10_000
UNKNOWN_SIZE = 0xFFFFFFFF
HEAD_BYTES = 44
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
# A sub-format is a format tag followed by these bytes (KSDATAFORMAT_SUBTYPE_*).
SUBFORMAT_END = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
DTYPE_OF_SIZE = {1: "uint8", 2: "int16", 3: "int24", 4: "int32"}
FLOAT_OF_SIZE = {4: "float32", 8: "float64"}
ENCODINGS = {
    0x02: "Microsoft ADPCM",
    0x03: "IEEE float",
    0x06: "A-law",
    0x07: "mu-law",
    0x11: "IMA ADPCM",
    0x55: "MP3",
}
OTHER_FILES = {
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"FORM": "an AIFF file",
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a ZIP archive",
    b"ID3": "an MP3 file",
    b"RIFF": "a RIFF file of another kind",
}
AS_RAW = "give --channels, --rate and --dtype to read it as raw samples"


def canonical_head(layout: Layout, frames: int) -> bytes:
    """The 44 bytes that precede `frames` frames in the plainest WAV: RIFF, WAVE, fmt (PCM, 16 bytes), data.

    Raises `UsageError` if such a header cannot state them: another sample type, a fractional rate, 4 GiB or more.

    >>> canonical_head(Layout(1, 30000, "int16"), 5)[:16]
    b'RIFF.\\x00\\x00\\x00WAVEfmt '
    """
    size = frames * layout.frame_bytes
    if layout.dtype not in DTYPE_OF_SIZE.values() or layout.rate != int(layout.rate):
        raise UsageError(f"a WAV header cannot contain {layout.dtype} samples at {layout.rate} Hz")
    rate = int(layout.rate)
    try:
        # fmt: off
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF", HEAD_BYTES - 8 + size, b"WAVE",
            b"fmt ", 16, PCM, layout.channels, rate, rate * layout.frame_bytes, layout.frame_bytes, 8 * layout.itemsize,
            b"data", size,
        )
        # fmt: on
    except struct.error:
        raise UsageError(f"{frames} frames of {layout} are beyond what a plain WAV header can contain") from None


def open_wav(path: PathLike, floats: bool = False) -> Source:
    """Open a WAV file of 8 (unsigned), 16, 24 or 32-bit integers, any number of channels; with `floats` also of floats.

    The samples reach to the end of the file if the data chunk has no size, none (0, or 0xFFFFFFFF without ds64),
    or one beyond the end. A data chunk of size 0 that proper chunks follow is really empty.
    Raises `NotPCM` for other encodings of samples, `DataError` for other or damaged files.

    >>> import os, tempfile
    >>> layout = Layout(1, 30000, "int16")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "probe.wav")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(canonical_head(layout, 2) + bytes([1, 0, 255, 255]))
    ...     with open_wav(path) as source:
    ...         source.layout, source.read(0, 2).tolist(), source.canonical
    (Layout(channels=1, rate=30000, dtype='int16'), [[1], [-1]], True)
    """
    file, name, end = open_file(path)
    try:
        layout, start, size = _Parser(file, name, end, floats).parse()
        source = Source(file, name, layout, start, size, end)
        if source.head_size == HEAD_BYTES and source.tail_size == 0:
            source.canonical = source.head() == _head_or_nothing(source)
        return source
    except BaseException:
        file.close()
        raise


def _head_or_nothing(source: Source) -> bytes:
    try:
        return canonical_head(source.layout, source.frames)
    except UsageError:
        return b""


@dataclass
class _Parser:
    """Walks the chunks of an opened file of `end` bytes up to its samples."""

    file: io.BufferedReader
    name: str
    end: int
    floats: bool

    def parse(self) -> tuple[Layout, int, int]:
        """The layout, and offset and size in bytes of what belongs to the data chunk."""
        kind = self._kind()
        layout: Layout | None = None
        large: dict[bytes, int] = {}
        position = 12
        for _ in range(MAX_CHUNKS):
            # A chunk's header that the end of the file cuts off is as good as none.
            if position + 8 > self.end:
                raise DataError(f"{self.name} has a header but no data chunk", code="not-wav")
            label, size = self._chunk(position)
            position += 8
            if size == UNKNOWN_SIZE:
                size = large.get(label, size)
            if label == b"data":
                if layout is None:
                    raise DataError(f"{self.name} has no fmt chunk before its data chunk; {AS_RAW}", code="not-wav")
                return layout, position, self._payload(position, size)
            if label == b"fmt " and layout is None:
                layout = self._layout(position, size)
            elif label == b"ds64" and kind != b"RIFF" and not large:
                large = self._large_sizes(position, size)
            position = self._after(position, size)
        raise DataError(f"{self.name} has more than {MAX_CHUNKS} chunks but no samples among them")

    def _kind(self) -> bytes:
        first = self._read(0, min(12, self.end))
        if not first:
            raise DataError(f"{self.name} is empty")
        kind, form = first[:4], first[8:12]
        if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64") and b"WAVE".startswith(form):
            if len(first) < 12:
                raise DataError(
                    f"{self.name} ends after {self.end} bytes, within the header of a WAV file", code="truncated"
                )
            if kind == b"RIFX":
                raise NotPCM(f"{self.name} is a big-endian WAV file (RIFX), which is not read as samples")
            return kind
        looks = next((what for magic, what in OTHER_FILES.items() if first.startswith(magic)), None)
        found = f"looks like {looks}" if looks else f"starts with {first[:8]!r}"
        raise DataError(f"{self.name} is not a WAV file (it {found}); {AS_RAW}", code="not-wav")

    def _layout(self, position: int, size: int) -> Layout:
        fmt = self._read(position, min(size, 40, self.end - position))
        if len(fmt) < 16:
            raise DataError(f"{self.name} has a fmt chunk of {len(fmt)} bytes where at least 16 are due; {AS_RAW}")
        tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
        if tag == EXTENSIBLE:
            if len(fmt) < 40:
                raise NotPCM(f"{self.name} is an extensible WAV file without a sub-format")
            if fmt[26:] != SUBFORMAT_END:
                raise NotPCM(f"{self.name} holds samples of the sub-format {uuid.UUID(bytes_le=fmt[24:])}, not PCM")
            tag = int.from_bytes(fmt[24:26], "little")
        sizes = FLOAT_OF_SIZE if tag == FLOAT else DTYPE_OF_SIZE
        if tag != PCM and not (tag == FLOAT and self.floats):
            encoding = ENCODINGS.get(tag, f"of format tag {tag:#06x}")
            raise NotPCM(f"{self.name} holds samples that are {encoding}, not integer PCM")
        if channels == 0:
            raise NotPCM(f"{self.name} has a header with zero channels, so its samples cannot be separated")
        # What a sample occupies counts, not how many of its bits are in use: 12 bits in 2 bytes are int16.
        itemsize, rest = divmod(frame_bytes, channels)
        if rest or itemsize not in sizes or not 0 < bits <= 8 * itemsize:
            raise NotPCM(
                f"{self.name} has {channels} channels of {bits} bits in frames of {frame_bytes} bytes, "
                f"which is not {'float of 32 or 64' if tag == FLOAT else 'integer PCM of 8 to 32'} bits"
            )
        return Layout(channels, rate, sizes[itemsize])

    def _large_sizes(self, position: int, size: int) -> dict[bytes, int]:
        """The 64-bit sizes in a ds64 chunk: of the data chunk, and of others in its table."""
        ds64 = self._read(position, min(size, 28 + 12 * MAX_CHUNKS, self.end - position))
        if len(ds64) < 28:
            raise DataError(f"{self.name} has a ds64 chunk of {len(ds64)} bytes where at least 28 are due")
        _, data_size, _, entries = struct.unpack_from("<QQQI", ds64)
        stop = 28 + 12 * min(entries, (len(ds64) - 28) // 12)
        return {**dict(struct.iter_unpack("<4sQ", ds64[28:stop])), b"data": data_size}

    def _payload(self, position: int, size: int) -> int:
        rest = self.end - position
        if size == 0:
            return 0 if self._chunks_to_end(position) else rest
        return rest if size == UNKNOWN_SIZE else min(size, rest)

    def _chunks_to_end(self, position: int) -> bool:
        """Whether everything from `position` on is a chain of chunks, rather than samples that look like none."""
        for _ in range(MAX_CHUNKS):
            if position >= self.end:
                # The last chunk may lack its padding, but not more.
                return position <= self.end + 1
            if position + 8 > self.end:
                return False
            label, size = self._chunk(position)
            if not all(0x20 <= byte < 0x7F for byte in label):
                return False
            position = self._after(position + 8, size)
        return False

    def _after(self, position: int, size: int) -> int:
        """Where the chunk after one with `size` bytes at `position` starts: at an even distance, as a rule."""
        unpadded = position + size
        # Some writers forget the padding; the two chunks that matter are recognised nevertheless.
        if size % 2 == 0 or (unpadded + 8 <= self.end and self._chunk(unpadded)[0] in (b"data", b"fmt ")):
            return unpadded
        return unpadded + 1

    def _chunk(self, position: int) -> tuple[bytes, int]:
        data = self._read(position, 8)
        return data[:4], int.from_bytes(data[4:], "little")

    def _read(self, position: int, count: int) -> bytes:
        return bytes(read_at(self.file, self.name, position, count))
