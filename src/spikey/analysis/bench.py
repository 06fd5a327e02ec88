"""Measures ratio and speed of every preset and coder on recordings, one process, one thread, after a warm-up."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spikey.coding.block import Method, encode_blocks
from spikey.container.estimate import choose_calibration
from spikey.container.layout import STORED_BYTE
from spikey.container.reader import Reader, decode_ahead
from spikey.container.writer import encode_samples, write_file
from spikey.errors import DataError
from spikey.files import PRESETS, Settings
from spikey.model.calibration import Calibration
from spikey.model.trained import Model
from spikey.recording.source import NotPCM, Source, pack
from spikey.recording.wav import open_wav


@dataclass
class Result:
    """One codec on all recordings: bytes and samples in all, the seconds each way, and every recording's bytes."""

    codec: str
    recordings: int
    original: int
    compressed: int
    samples: int
    encode_seconds: float
    decode_seconds: float
    sizes: list[int] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """With the figures that follow from the counts."""
        return asdict(self) | {
            "ratio": self.original / max(self.compressed, 1),
            "bits_per_sample": 8 * self.compressed / max(self.samples, 1),
            "encode_ms_s": self.samples / max(self.encode_seconds, 1e-9) / 1e6,
            "decode_ms_s": self.samples / max(self.decode_seconds, 1e-9) / 1e6,
        }


Codec = tuple[Callable[[Source], bytes], Callable[[bytes], bytes]]


def spikey_codec(settings: Settings) -> Codec:
    """Encoder to the bytes of a file, decoder to the bytes of the samples."""

    def encode(source: Source) -> bytes:
        out = io.BytesIO()
        size = source.frames * source.layout.frame_bytes
        method = settings.method(size)
        calibration, embed = choose_calibration(source, method)
        write_file(source, out, method, calibration, embed=embed)
        return out.getvalue()

    return encode, _decoded


def _decoded(data: bytes | Reader) -> bytes:
    """The bytes of a compressed file's samples."""
    with data if isinstance(data, Reader) else Reader(data) as reader:
        return b"".join(pack(samples, reader.layout) for samples in reader.chunks())


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what native code writes to standard error, a panic's trace, from the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def pcodec_codec() -> Codec | None:
    """pcodec with 16-tap convolution on dense codes, as in its best published form; None when it is not installed."""
    try:
        from pcodec import ChunkConfig, DeltaSpec, standalone
    except ImportError:
        return None
    import numpy as np

    from spikey.recording.levels import find_levels

    best = ChunkConfig(compression_level=12, delta_spec=DeltaSpec.try_conv1(16))
    safe = ChunkConfig(compression_level=8)

    def encode(source: Source) -> bytes:
        out = []
        samples = source.read(0, source.frames)
        for channel in np.ascontiguousarray(samples.T):
            codes = find_levels(channel).to_codes(channel)[0].astype(np.int16)
            try:
                with _silence():
                    out.append(standalone.simple_compress(codes, best))
            except BaseException as error:  # its panics are no Exceptions; it panics on a few lengths
                if isinstance(error, KeyboardInterrupt):
                    raise
                out.append(standalone.simple_compress(codes, safe))
        return b"".join(len(part).to_bytes(4, "little") + part for part in out)

    def decode(data: bytes) -> bytes:
        at, parts = 0, []
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "little")
            parts.append(standalone.simple_decompress(data[at + 4 : at + 4 + size]))
            at += 4 + size
        return b"".join(part.tobytes() for part in parts)

    return encode, decode


def codecs(presets: list[str], coders: list[str], peers: bool, models: Sequence[Model] = ()) -> dict[str, Codec]:
    """The codecs to measure, by name."""
    found: dict[str, Codec] = {}
    for model in models:
        found[f"spikey {model.name}"] = spikey_codec(Settings(model=model))
    for preset in presets:
        for coder in coders:
            name = f"spikey {preset}" + (f", {coder}" if coder != "arithmetic" else "")
            found[name] = spikey_codec(Settings(preset=preset, coder=coder))
    lms = Settings(predictor="lms")
    if len(presets) == len(PRESETS):
        found["spikey lms"] = spikey_codec(lms)
    pco = pcodec_codec() if peers else None
    if pco is not None:
        found["pcodec conv1(16) on codes"] = pco
    return found


def measure(
    paths: list[Path], chosen: dict[str, Codec], repeats: int = 3, progress: Callable[[int], None] | None = None
) -> list[Result]:
    """Each codec on all recordings, one codec after the other; times are the best of `repeats`. Spikey's is verified.

    Raises DataError when nothing could be read or a codec does not restore the samples.
    """
    results = []
    for name, (encode, decode) in chosen.items():
        result = Result(name, 0, 0, 0, 0, 0.0, 0.0)
        for path in paths:
            try:
                source = open_wav(path)
            except NotPCM:
                continue
            with source:
                _measure_one(source, encode, decode, repeats, result)
            if progress is not None:
                progress(1)
        results.append(result)
    if results and not results[0].recordings:
        raise DataError(f"none of {len(paths)} files is an integer recording")
    return results


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
    method = Settings(model=model).method(0)
    for at in range(0, len(paths), together):
        with ExitStack() as stack:
            sources = [stack.enter_context(open_wav(path)) for path in paths[at : at + together]]
            blocks = [source.read(0, source.frames) for source in sources]
            wanted = [pack(block, source.layout) for block, source in zip(blocks, sources, strict=True)]
            start = time.perf_counter()
            calibration, _ = choose_calibration(sources[0], method)
            layouts = [source.layout for source in sources]
            if fallback:
                payloads = encode_samples(blocks, layouts, method, calibration)
            else:
                payloads = [payload or STORED_BYTE for payload in encode_blocks(blocks, method, calibration)]
            files = [_file_of(each, method, calibration, load) for each, load in zip(sources, payloads, strict=True)]
            middle = time.perf_counter()
            readers = [Reader(file) for file in files]
            decode_ahead([(reader, reader.blocks[0]) for reader in readers])
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


def _file_of(source: Source, method: Method, calibration: Calibration | None, payload: bytes) -> bytes:
    out = io.BytesIO()
    write_file(source, out, method, calibration, payload=payload)
    return out.getvalue()


def _measure_one(
    source: Source, encode: Callable[[Source], bytes], decode: Callable[[bytes], bytes], repeats: int, result: Result
) -> None:
    """Add one recording to `result`."""
    wanted = pack(source.read(0, source.frames), source.layout)
    if not result.recordings:
        decode(encode(source))
    encode_time = decode_time = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        data = encode(source)
        middle = time.perf_counter()
        restored = decode(data)
        end = time.perf_counter()
        encode_time, decode_time = min(encode_time, middle - start), min(decode_time, end - middle)
    if result.codec.startswith("spikey") and restored != wanted:
        raise DataError(f"{source.name}: {result.codec} does not restore it; please report this")
    result.recordings += 1
    result.original += source.head_size + len(wanted) + source.tail_size
    result.compressed += len(data)
    result.sizes.append(len(data))
    result.samples += source.frames * source.layout.channels
    result.encode_seconds += encode_time
    result.decode_seconds += decode_time
