"""Measures ratio and speed of codecs on recordings, one process, one thread, after a warm-up.

`spikey.report.bench.worker` does the same with a process of its own for each codec, which measures memory as well.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spikey.base.errors import DataError
from spikey.codec.calibration_policy import AUTO, Chosen, choose_calibration
from spikey.codec.encode import encode_blocks, encode_smallest, stored
from spikey.codec.payload import EncodedBlock
from spikey.container.contents import Contents
from spikey.container.reader import Reader, decode_ahead
from spikey.container.writer import write_file
from spikey.files.compress import contents_of
from spikey.files.encoding import Encoding, encode_recording
from spikey.files.settings import Settings
from spikey.model.trained import Model
from spikey.recording.layout import pack
from spikey.recording.source import NotPCM, Source
from spikey.recording.wav import open_wav
from spikey.report.bench.peers import choose
from spikey.report.bench.peers.contract import FILE, DoesNotApply, Peer, Shape
from spikey.report.bench.recordings import Loaded, load

WARM_UP = 1 << 20  # samples: as many as have a calibration estimated


@dataclass(frozen=True)
class Codec:
    """Encoder and decoder of recordings in memory; given: as in `Peer`, empty for Spikey, which is given the file.

    begin: what is done once a recording before it is encoded, however long that is; encoding may be given its result.
    """

    encode: Callable[..., bytes]
    decode: Callable[[bytes, Shape], bytes]
    given: str = ""
    begin: Callable[[Loaded], Any] | None = None


@dataclass(frozen=True)
class One:
    """What became of one recording: its bytes and samples, the seconds each way; or why it does not count."""

    name: str
    original: int = 0
    compressed: int = 0
    samples: int = 0
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    memory: int | None = None  # bytes held at once beyond what was held before
    skipped: str = ""
    failed: str = ""


@dataclass
class Result:
    """One codec on all recordings: bytes and samples in all, the seconds each way, and every recording's bytes.

    sizes: None for recordings that do not count. skipped, failed: how many do not, by the reason: the codec is not for
    such recordings, or it failed or lost samples. memory: bytes, the most that it held for a recording; None: unknown.
    """

    codec: str
    recordings: int
    original: int
    compressed: int
    samples: int
    encode_seconds: float
    decode_seconds: float
    sizes: list[int | None] = field(default_factory=list)
    given: str = ""
    memory: int | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def add(self, one: One) -> None:
        """Count one recording."""
        for reasons, reason in ((self.skipped, one.skipped), (self.failed, one.failed)):
            if reason:
                reasons[reason] = reasons.get(reason, 0) + 1
        if one.skipped or one.failed:
            self.sizes.append(None)
            return
        self.recordings += 1
        self.original += one.original
        self.compressed += one.compressed
        self.sizes.append(one.compressed)
        self.samples += one.samples
        self.encode_seconds += one.encode_seconds
        self.decode_seconds += one.decode_seconds
        if one.memory is not None:
            self.memory = max(self.memory or 0, one.memory)

    @property
    def complete(self) -> bool:
        """Whether every recording counts, so that the ratio can be compared with others."""
        return bool(self.recordings) and not self.skipped and not self.failed

    def row(self) -> dict[str, Any]:
        """With the figures that follow from the counts."""
        return asdict(self) | {
            "ratio": self.original / max(self.compressed, 1),
            "bits_per_sample": 8 * self.compressed / max(self.samples, 1),
            "encode_ms_s": self.samples / max(self.encode_seconds, 1e-9) / 1e6,
            "decode_ms_s": self.samples / max(self.decode_seconds, 1e-9) / 1e6,
        }


def spikey_codec(settings: Settings) -> Codec:
    """Encoder to the bytes of a file, decoder to the bytes of the samples."""
    method = settings.method()

    def begin(source: Loaded) -> Chosen:
        return choose_calibration(AUTO, source, method)

    def encode(source: Loaded, begun: Chosen | None = None) -> bytes:
        out = io.BytesIO()
        chosen = begun or begin(source)
        blocks = encode_recording(source, Encoding(method, chosen.calibration))
        write_file(source, out, blocks, contents_of(settings, chosen))
        return out.getvalue()

    return Codec(encode, lambda data, shape: _decoded(data), begin=begin)


def _decoded(data: bytes | Reader) -> bytes:
    """The bytes of a compressed file's samples."""
    with data if isinstance(data, Reader) else Reader(data) as reader:
        return b"".join(pack(samples, reader.layout) for samples in reader.blocks())


def peer_codec(peer: Peer) -> Codec:
    """A peer as a codec."""
    return Codec(peer.encode, peer.decode, peer.given)


def codecs(presets: list[str], peers: str = "none", models: Sequence[Model] = ()) -> dict[str, Codec]:
    """The codecs to measure in this process, by name. peers: as `spikey.report.bench.peers.choose` takes it."""
    found = {f"spikey {model.name}": spikey_codec(Settings(model=model)) for model in models}
    found |= {f"spikey {preset}": spikey_codec(Settings(preset=preset)) for preset in presets}
    return found | {peer.title: peer_codec(peer) for peer in choose(peers)[0]}


def measure(
    paths: list[Path], chosen: dict[str, Codec], repeats: int = 3, progress: Callable[[int], None] | None = None
) -> list[Result]:
    """Each codec on all WAV files, one codec after the other; times are the best of `repeats`; all is decoded.

    Raises DataError when nothing could be read or a codec of Spikey's does not restore the samples.
    """
    results = []
    for name, codec in chosen.items():
        result = Result(name, 0, 0, 0, 0, 0.0, 0.0, given=codec.given)
        for index, path in enumerate(paths):
            try:
                recording = load(path)
            except NotPCM:
                continue
            if not index:
                warm_up(recording, codec)
            result.add(measure_one(recording, name, codec, repeats))
            if progress is not None:
                progress(1)
        results.append(result)
    if results and not results[0].sizes:
        raise DataError(f"none of {len(paths)} files is an integer recording")
    return results


def warm_up(recording: Loaded, codec: Codec) -> None:
    """Have everything imported and compiled on a recording's beginning; failures show when it is measured."""
    part = recording.beginning(max(WARM_UP // recording.layout.channels, 1))
    try:
        codec.decode(codec.encode(part), Shape(part.layout, part.frames))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise


def measure_one(recording: Loaded, name: str, codec: Codec, repeats: int) -> One:
    """One codec on one recording; DataError where Spikey fails, while a peer's failure is part of the result."""
    wanted = recording.file_bytes() if codec.given == FILE else recording.payload
    shape = Shape(recording.layout, recording.frames)
    encode_time = decode_time = float("inf")
    data, restored = b"", b""
    try:
        for _ in range(repeats):
            start = time.perf_counter()
            given = () if codec.begin is None else (codec.begin(recording),)
            begun = time.perf_counter()
            data = codec.encode(recording, *given)
            middle = time.perf_counter()
            restored = codec.decode(data, shape)
            end = time.perf_counter()
            took = recording.share * (begun - start) + middle - begun
            encode_time, decode_time = min(encode_time, took), min(decode_time, end - middle)
    except DoesNotApply as error:
        return One(recording.name, skipped=str(error))
    except BaseException as error:  # pcodec's panics are no Exceptions
        if not codec.given or isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return One(recording.name, failed=" ".join(f"{type(error).__name__}: {error}".split())[:200])
    if restored != wanted:
        if not codec.given:
            raise DataError(f"{recording.name}: {name} does not restore it; please report this")
        return One(recording.name, failed="what it decodes is not what it was given")
    samples = recording.frames * recording.layout.channels
    return One(recording.name, recording.size, len(data), samples, encode_time, decode_time)


def measure_together(
    paths: list[Path],
    model: Model,
    together: int,
    fallback: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """A trained model on all recordings, `together` of them side by side; every recording must be one block.

    fallback: whether recordings that adaptive predictors make smaller are coded with those, as usual.
    """
    note = "" if fallback else ", no fallback"
    result = Result(f"spikey {model.name}, {together} together{note}", 0, 0, 0, 0, 0.0, 0.0)
    method = Settings(model=model).method()
    for at in range(0, len(paths), together):
        with ExitStack() as stack:
            sources = [stack.enter_context(open_wav(path)) for path in paths[at : at + together]]
            blocks = [source.read(0, source.frames) for source in sources]
            wanted = [pack(block, source.layout) for block, source in zip(blocks, sources, strict=True)]
            start = time.perf_counter()
            chosen = choose_calibration(AUTO, sources[0], method)
            layouts = [source.layout for source in sources]
            if fallback:
                made = encode_smallest(blocks, layouts, method, chosen.calibration)
            else:
                tried = encode_blocks(blocks, method, chosen.calibration)
                made = [one or stored(content) for one, content in zip(tried, wanted, strict=True)]
            contents = contents_of(Settings(model=model), chosen)
            files = [_file_of(each, block, contents) for each, block in zip(sources, made, strict=True)]
            middle = time.perf_counter()
            readers = [Reader(file) for file in files]
            decode_ahead([(reader, reader.structure.blocks[0]) for reader in readers])
            restored = [_decoded(reader) for reader in readers]
            end = time.perf_counter()
            if restored != wanted:
                raise DataError(f"{result.codec} does not restore the recordings; please report this")
            result.recordings += len(sources)
            result.original += sum(source.head_size + len(data) for source, data in zip(sources, wanted, strict=True))
            result.compressed += sum(map(len, files))
            result.sizes += map(len, files)
            result.samples += sum(block.size for block in blocks)
            result.encode_seconds += middle - start
            result.decode_seconds += end - middle
        if progress is not None:
            progress(len(sources))
    return result


def _file_of(source: Source, block: EncodedBlock, contents: Contents) -> bytes:
    out = io.BytesIO()
    write_file(source, out, block, contents)
    return out.getvalue()
