"""Honest inputs to mutate, small ones: the golden files, and what Spikey writes of a few hundred samples."""

from __future__ import annotations

import io
import json
import shutil
import struct
import sys
import tempfile
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from kit.golden import ALONE, DENSE, LSTM, known_model  # noqa: E402
from kit.paths import GOLDEN  # noqa: E402
from kit.writing import write_file  # noqa: E402
from spikey.codec.encode import encode_block  # noqa: E402
from spikey.codec.method import Method, learned  # noqa: E402
from spikey.container.extra import Extra, side_file  # noqa: E402
from spikey.container.reader import Reader  # noqa: E402
from spikey.files.acquisition import create  # noqa: E402
from spikey.files.archives import compress_archive  # noqa: E402
from spikey.files.settings import Settings  # noqa: E402
from spikey.integrations import hdf5  # noqa: E402
from spikey.integrations.chunk import Options, encode_chunk  # noqa: E402
from spikey.model.calibration import Calibration, n1, shipped  # noqa: E402
from spikey.model.compact import make_compact  # noqa: E402
from spikey.model.trained import Model  # noqa: E402
from spikey.recording.layout import Layout  # noqa: E402
from spikey.recording.readable import ArraySource  # noqa: E402
from spikey.recording.simulate import simulate  # noqa: E402
from spikey.recording.wav import canonical_head  # noqa: E402
from spikey.report.self_test import known_signal  # noqa: E402

LARGEST = 6000  # bytes of a seed: most changes should hit what is looked at

FILE_WORDS = [b"SPKY", b"SPKA", b"SPKT", b"\xb5SB\n", b"\xb5SI\n", b"\xb5SE\n", b"\xb5SD\n", b"YKPS", b"AKPS"]
FILE_WORDS += [bytes([number]) + b"\x01\x00" for number in (0x41, 0x42, 0x43, 0x44, 0x46, 0x47, 0x51, 0x61, 5, 15)]
CHUNK_WORDS = [
    b"\x03<i2",
    b"\x03|S0",
    b"\x03>u4",
    b"\x08<M8[s/3]",
    b"\x03|u1",
    b"\x03|V0",
    b"\x04<U99",
    b"\x04|b1",
    b"\x02\x3d\x03<i2",  # version, all flags of samples, type
    b"\x02\x20\x03<i2",
    b"\x41\x02",
]
FILTER_WORDS = [b'"chunk"', b'"dtype"', b'"options"', b'{"jobs":', b"null", b"1e999", b'"behind":[', b"[[[[", b"NaN"]
MODEL_WORDS = [
    b'"dtype"',
    b"I16",
    b"I32",
    b"F64",
    b'"shape"',
    b"[0]",
    b"__metadata__",
    b'"data_offsets"',
    b"lstm",
    b"-1",
]
WAV_WORDS = [
    b"RIFF",
    b"RF64",
    b"BW64",
    b"WAVE",
    b"fmt ",
    b"data",
    b"ds64",
    b"LIST",
    b"\xfe\xff",
    b"\x03\x00",
    b"\xff" * 4,
]
YAML_WORDS = [
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!python/name:os.system ",
    b"---\n",
    b"name: DEFAULT\n",
    b"import: Test\n",
    b"? ",
]
YAML_WORDS += [
    b"training: {",
    b"}",
    b"1e999",
    b".nan",
    b"null",
    b"0x",
    b"!!binary ",
    b"2001-99-99",
    b"- ",
    b"'",
    b'"',
    b"\t",
]
ZIP_WORDS = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"../",
    b"/etc/",
    b"a.wav",
    b"\xff" * 4,
]


@cache
def scratch() -> Path:
    """A folder for inputs that must be files; gone when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="spikey-fuzz-")
    _open.append(folder)
    return Path(folder.name)


_open: list[tempfile.TemporaryDirectory[str]] = []


def emptied(folder: Path) -> None:
    """Make an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def signal(frames: int) -> np.ndarray:
    """Two channels of the N1, int16 (frames, 2)."""
    return known_signal(frames)


@cache
def model() -> Model:
    """A small network."""
    return known_model(DENSE)


def _written(samples: np.ndarray, method: Method, **options: object) -> bytes:
    out = io.BytesIO()
    write_file(ArraySource(samples, 20_000), out, method, n1(), **options)  # type: ignore[arg-type]
    return out.getvalue()


@cache
def _files() -> tuple[bytes, ...]:
    found = [path.read_bytes() for path in sorted(GOLDEN.glob("*.spky")) if path.stat().st_size <= LARGEST]
    wide = np.repeat(signal(60), 5, axis=1)
    found += [_written(wide, Method(lanes=1, references=4), block_frames=25)]
    found += [_written(wide.astype(np.float32) * np.float32(0.5), Method(), block_frames=30)]
    note = scratch() / "note.txt"
    note.write_bytes(b"what was done\n")
    times = scratch() / "times.npy"
    np.save(times, 5.25 + np.arange(3000) / 30_000)
    beside = side_file("note.txt", note), side_file("times.npy", times)
    extra = Extra({"source": {"file": "a.bin"}, "streams": []}, beside)
    found += [_written(signal(40), Method(), extra=extra)]
    return tuple(found) + _lossy()


def _lossy() -> tuple[bytes, ...]:
    from spikey.lossy.near_lossless import hybrid, near_lossless

    source, settings = scratch() / "lossy.raw", Settings(raw=(2, 20_000, "int16"))
    signal(300).tofile(source)
    near_lossless(source, scratch() / "near.spky", 2, settings)
    hybrid(source, scratch() / "hybrid.spky", 4.0, settings, correction=scratch() / "correction.spky")
    return tuple((scratch() / f"{name}.spky").read_bytes() for name in ("near", "hybrid", "correction"))


def files() -> list[bytes]:
    """Files of all methods."""
    return list(_files())


@cache
def _growing() -> bytes:
    path = scratch() / "growing.spky"
    with create(path, 2, 20_000, block_frames=50) as writer:
        writer.append(signal(180))
    with Reader(path) as reader:
        return path.read_bytes()[: reader.structure.blocks[-1].offset + reader.structure.blocks[-1].size]


def growing() -> list[bytes]:
    """A recording without its index; one only, as blocks of several may follow each other by right."""
    return [_growing()]


@cache
def _archives() -> tuple[bytes, ...]:
    folder, found = scratch() / "archive", []
    emptied(folder)
    one = signal(400)[:, :1] // 64
    follows = one + (np.arange(400)[:, None] % 3).astype(np.int16)
    for name, samples in (("a", one), ("b", follows), ("c", signal(200)[:, 1:]), ("d", one)):
        head = canonical_head(Layout(1, 19_531, "int16"), len(samples))
        (folder / f"{name}.wav").write_bytes(head + samples.astype("<i2").tobytes())
    members = [(path.name, path) for path in sorted(folder.glob("*.wav"))]
    for preset in ("fast", "max"):
        compress_archive(members, folder / "x.spky", Settings(preset=preset, calibration=None))
        found.append((folder / "x.spky").read_bytes())
        (folder / "x.spky").unlink()
    return tuple(found)


def archives() -> list[bytes]:
    """An archive with companions and a copy, by two presets."""
    return list(_archives())


def payloads() -> list[bytes]:
    """Payloads of blocks of 201 frames and 2 channels of int16."""
    samples, companion = signal(201), signal(201)[:, ::-1]
    methods = [Method(), Method("balanced", lanes=1, references=4)]
    methods += [Method("max", lanes=1, references=4), Method("refined", lanes=1, references=8), learned(model())]
    found = [encode_block(samples, method, n1(), companion) for method in methods]
    found.append(encode_block((samples.astype(np.int32) * 70_000 + 3).astype(np.int32), Method(), None))
    found.append(encode_block(samples.astype(np.float32) * np.float32(0.195), Method(), None))
    times = np.arange(201)[:, None] * [41.0, 1.0] + 700 * (np.arange(201)[:, None] > 90)
    found.append(encode_block((times * 99).astype(np.int32), Method(), None))
    found.append(encode_block((times / 30_000 + 7.5).astype(np.float32), Method(), None))
    kinds = [0] * len(methods) + [2, 3, 2, 3]
    return [bytes([25, 1, kind]) + payload for kind, payload in zip(kinds, found, strict=True) if payload is not None]


def chunks() -> list[bytes]:
    """Chunks of every way to encode them."""
    found = [path.read_bytes() for path in sorted((GOLDEN / "chunks").glob("*.chunk"))]
    samples = signal(400)
    path = scratch() / "mine.safetensors"
    path.write_bytes(replace(n1(), metadata={**n1().metadata, "device": "mine"}).to_bytes())
    found += [encode_chunk(known_signal(2000), Options(calibration=str(path)))]
    found += [encode_chunk(np.zeros((70_000, 2), "<i2"))]  # several blocks
    found += [encode_chunk(simulate(200, 3, seed=9), Options(model="n1-fixed"))]
    found += [encode_chunk(samples, Options(preset="balanced")), encode_chunk(np.asfortranarray(samples))]
    found += [encode_chunk(np.arange(300, dtype="u1").astype("u1")), encode_chunk(np.zeros((400, 2), "<i2"))]
    found += [encode_chunk(np.arange(300) + (1 << 40)), encode_chunk(5.25 + np.arange(300) / 30_000)]
    found += [encode_chunk(np.array([b"ab", b"cde"] * 20)), encode_chunk(np.zeros((3, 0, 2), ">f8"))]
    return found


def filters() -> list[bytes]:
    """Parameters of the HDF5 filter."""
    cases = [{}, {"preset": "balanced", "jobs": 2}, {"model": "n1-fixed"}]
    told = [{"options": options, "dtype": "<i2", "chunk": [1000, 40], "behind": [2]} for options in cases]
    return [np.array(hdf5.to_values(each), "<u4").tobytes() for each in told]


def frame(packets: list[bytes]) -> bytes:
    """Packets with two bytes of length before each."""
    return b"".join(struct.pack("<H", len(packet)) + packet for packet in packets)


def stream_signal() -> np.ndarray:
    """The samples of streams."""
    return np.repeat(signal(300), 3, axis=1)


def stream_of(**options: object) -> list[bytes]:
    """Packets of a stream, by options of the encoder."""
    from spikey.stream.encoder import Encoder

    samples = stream_signal()
    settings = {"packet_bytes": 300, "key_interval": 0.005, "stream": 7} | options
    encoder = Encoder(6, 20_000, "int16", **settings)  # type: ignore[arg-type]
    packets = [packet for at in range(0, 300, 20) for packet in encoder.push(samples[at : at + 20])]
    return packets + encoder.close()


def streams() -> list[bytes]:
    """Packets of streams, a length before each."""
    raw = np.random.default_rng(0).integers(-30_000, 30_000, (100, 6)).astype(np.int16)
    from spikey.stream.encoder import Encoder

    noise = Encoder(6, 20_000, "int16", stream=7, packet_bytes=200, calibration=None)
    packets = noise.push(signal(50).repeat(3, axis=1)) + noise.push(raw) + noise.close()
    return [frame(stream_of()), frame(stream_of(calibration=None)), frame(packets)]


def keys() -> list[bytes]:
    """Key packets alone."""
    return [frame([packet for packet in stream_of() if packet[0] & 1][:count]) for count in (1, 3, 8)]


def parities() -> list[bytes]:
    """Streams with parity, some packets of which are lost."""
    packets = stream_of(parity=2)
    return [frame(packets), frame([packet for at, packet in enumerate(packets) if at % 7])]


def requests() -> list[bytes]:
    """Datagrams that ask for packets."""
    from spikey.stream.transport import write_request

    return [write_request(7, [(0, 1), (2, 3)]), write_request(7, [])]


@cache
def _telemetries() -> tuple[bytes, ...]:
    from spikey.telemetry.encoder import TelemetryEncoder
    from spikey.telemetry.packet import MAGIC
    from spikey.telemetry.settings import Settings as TelemetrySettings

    found = [(GOLDEN / "telemetry.spkt").read_bytes()]
    samples = np.repeat(signal(6000), 2, axis=1)
    for options in (
        {"budget": 40_000.0},
        {"budget": 8000.0, "polarity": "both"},
        {"budget": 20_000.0, "neighbours": 3},
        {"budget": 8000.0, "neighbours": 1, "column": 3},
    ):
        encoder = TelemetryEncoder(4, 20_000, settings=TelemetrySettings(**options))  # type: ignore[arg-type]
        packets = [packet for at in range(0, 6000, 500) for packet in encoder.push(samples[at : at + 500])]
        found.append(MAGIC + b"".join(packets + encoder.close()))
    return tuple(found)


def telemetries() -> list[bytes]:
    """Telemetry files."""
    return list(_telemetries())


def models() -> list[bytes]:
    """Models of each architecture."""
    return [known_model(architecture).file for architecture in (LSTM, DENSE, ALONE)]


def calibrations() -> list[bytes]:
    """The shipped calibration of the N1, a small one, one of two converters, and compact forms."""
    small = Calibration(np.arange(9, dtype=np.int32) * 64, np.array([65536, 30000, -100], np.int32), {"levels": "n1"})
    edges = np.stack([np.arange(40, dtype=np.int32) * 64, np.arange(40, dtype=np.int32) * 60])
    two = Calibration(edges, small.prior, {"levels": "affine", "offset": -20, "step": 1})
    rows = [np.arange(-20, 20, dtype=np.int8) % 7 - 3 for _ in range(3)]
    base = shipped()[0]
    compact = [
        make_compact(rows, [0, 5], -20, 1, None, 0, small.prior),
        make_compact(rows[:1], [-32], -20, 1, base, 1 << 15, small.prior),
    ]
    return [n1().to_bytes(), small.to_bytes(), two.to_bytes(), *(one.to_bytes() for one in compact)]


def wavs() -> list[bytes]:
    """WAV files: canonical, of floats, of 24 bits with chunks around, RF64."""
    samples = signal(50)
    plain = canonical_head(Layout(2, 20_000, "int16"), 50) + samples.astype("<i2").tobytes()
    floats = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 436, b"WAVE", b"fmt ", 16, 3, 2, 20_000, 160_000, 8, 32)
    floats += struct.pack("<4sI", b"data", 400) + samples.astype("<f4").tobytes()
    extra = struct.pack("<4sI", b"LIST", 5) + b"abcde\0"
    wide = struct.pack("<4sI4s", b"RIFF", 999, b"WAVE") + extra
    wide += struct.pack("<4sIHHIIHHHHI", b"fmt ", 40, 0xFFFE, 1, 20_000, 60_000, 3, 24, 22, 24, 4)
    wide += struct.pack("<H", 1) + bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
    wide += struct.pack("<4sI", b"data", 150) + bytes(range(150)) + extra
    large = struct.pack("<4sI4s4sIQQQI", b"RF64", 0xFFFFFFFF, b"WAVE", b"ds64", 28, 300, 200, 50, 0) + plain[12:36]
    large += struct.pack("<4sI", b"data", 0xFFFFFFFF) + samples.astype("<i2").tobytes()
    return [plain, floats, wide, large]


def configurations() -> list[bytes]:
    """Configuration files."""
    several = b"name: DEFAULT\n---\nname: Test\ntraining: {epochs: 50, minutes: 1.5}\n---\nname: Long\nimport: Test\n"
    return [(ROOT / "config.yaml").read_bytes()[:3000].rsplit(b"\n", 1)[0] + b"\n", several, b"preset: archive\n"]


def zips() -> list[bytes]:
    """Zip files of recordings, stored and deflated."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as zipped:
            for name in ("a.wav", "deep/b.wav", "notes.txt", "__MACOSX/._a.wav"):
                zipped.writestr(name, wavs()[0])
            zipped.comment = json.dumps({"a": 1}).encode()
        found.append(out.getvalue())
    return found
