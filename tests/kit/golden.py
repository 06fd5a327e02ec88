"""Golden files: compressed recordings whose bytes are frozen. `python -m kit.golden` in tests/ writes missing ones.

A released format version stays as it is for ever: an existing golden file is never written again. Those in `PACKED`
contain DEFLATE, which each version of zlib may write otherwise: they are decoded, and not compared byte for byte.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from kit.golden_wide import WIDE_CASES
from kit.paths import GOLDEN
from kit.writing import write_file
from spikey.codec.encode import encode_block
from spikey.codec.method import Method, learned
from spikey.codec.payload import EncodedBlock
from spikey.container.file_map import FileMap
from spikey.container.writer import write_bytes_file
from spikey.files.compress import Output, write_recording
from spikey.files.settings import Settings
from spikey.model.calibration import n1
from spikey.model.trained import EXACT, Architecture, Model, reach_of
from spikey.recording.layout import Layout
from spikey.recording.mapped import MappedSource
from spikey.recording.readable import ArraySource
from spikey.recording.sample_map import Mapped, MappedFile, Rest, Run, Samples, joined, rest
from spikey.report.self_test import known_signal


def _pack(samples: np.ndarray, method: Method, *, calibrated: bool = True, embed: bool = False) -> bytes:
    out = io.BytesIO()
    calibration = n1() if calibrated else None
    write_file(ArraySource(samples, 20_000), out, method, calibration, embed=n1().to_bytes() if embed else None)
    return out.getvalue()


def _forced(samples: np.ndarray, method: Method) -> bytes:
    """With the payload of the method alone, which nothing else is compared with."""
    out = io.BytesIO()
    payload = encode_block(samples, method, n1())
    write_file(ArraySource(samples, 20_000), out, method, n1(), payload=EncodedBlock(payload, calibrated=True))
    return out.getvalue()


def known_model(architecture: Architecture, down: int = 4) -> Model:
    """A network of integers that a hash function gives, as large as the bounds allow, those of the head less by `down`
    binary digits.
    """
    tensors = {}
    for name, shape in architecture.shapes().items():
        size = int(np.prod(shape))
        drawn = np.frombuffer(hashlib.shake_256(name.encode()).digest(2 * size), dtype="<i2").astype(np.int64)
        tensors[name] = drawn.reshape(shape)
    for name in architecture.shapes():
        if name.endswith("weight"):
            bias, reach = name.replace("weight", "bias"), reach_of(architecture, name)
            most = (np.abs(tensors[name]) @ reach + np.abs(tensors[bias])) // EXACT + 1
            shift = np.array([int(factor).bit_length() for factor in most]) + down * (name == "head.weight")
            tensors[name] = (tensors[name] >> shift[:, None]).astype(np.int16)
            tensors[bias] = (tensors[bias] >> 1).astype(np.int32)
    return Model(architecture, tensors, {"name": "golden"})


LSTM = Architecture("lstm", alone=False, lags=3, hidden=8, layers=2)
DENSE = Architecture("fixed_input_nn", alone=False, lags=2, hidden=9, layers=3)
ALONE = Architecture("lstm", alone=True, lags=4, hidden=5, layers=1, delta=False)


def _learn(samples: np.ndarray, architecture: Architecture) -> bytes:
    """With the network, whether it pays or not; it travels with the file."""
    out, method = io.BytesIO(), learned(known_model(architecture))
    payload = encode_block(samples, method, n1())
    write_file(ArraySource(samples, 20_000), out, method, n1(), embed_model=True, payload=payload)
    return out.getvalue()


def _max(samples: np.ndarray, *, calibrated: bool = True) -> bytes:
    """With this predictor, whether it pays or not."""
    out, method, calibration = io.BytesIO(), Method("max", lanes=1, references=4), n1() if calibrated else None
    payload = encode_block(samples, method, calibration)
    write_file(ArraySource(samples, 20_000), out, method, calibration, payload=payload)
    return out.getvalue()


def _three() -> np.ndarray:
    """Three channels: one of the N1, one that is silent, one of other codes."""
    one, other = known_signal(500).T
    return np.stack([one, np.full_like(one, -7), other // 50], axis=1)


def _ramp() -> np.ndarray:
    return (np.arange(4000) * 3 - 5000).astype(np.int16)


def _wide() -> np.ndarray:
    time = np.arange(3000)
    return (known_signal(3000)[:, 0] * 3 + time * time * 7 % 61 + 3 * (time % 2)).astype(np.int16)


def _huge() -> np.ndarray:
    return known_signal(2000).astype(np.int32) * 65_521 + np.arange(2000, dtype=np.int32)[:, None]


def _table() -> np.ndarray:
    return (known_signal(3000).astype(np.int32) ** 3 // 1_000_003).astype(np.int32)


def _scaled() -> np.ndarray:
    """Microvolts: of a signed converter, of an unsigned one in single precision."""
    signal = known_signal(800).astype(np.float32)
    signal[:, 1] = (signal[:, 1] + np.float32(32768)) * np.float32(0.195) + np.float32(-6389.76)
    signal[:, 0] *= np.float32(0.195)
    return signal


def _doubles() -> np.ndarray:
    return known_signal(800)[:, :1] / 32767


def _floats() -> np.ndarray:
    """Floats that are no scaled integers, and enough of them that byte groups are packed one by one."""
    samples = known_signal(9000).astype(np.float32) * np.float32(0.195)
    return samples[:, :1] + samples[::-1, 1:] * np.float32(1e-3)


def _patched() -> np.ndarray:
    samples = known_signal(900).astype(np.float32) * np.float32(0.195)
    samples[77:99, 1] = np.nan
    samples[500:502, 1] = 0.1, -0.0
    return samples


def _advancing() -> np.ndarray:
    """Microseconds at 30 kHz, with a jump, rounded; and sample numbers beside a signal."""
    frames = np.arange(3000)
    times = frames * 100 // 3 + 1_000_000 * (frames > 1700) + known_signal(3000)[:, 0] // 20000
    return np.stack([times, frames * 7 - 2**31 + 9000 * (frames > 64), known_signal(3000)[:, 1]], axis=1).astype(
        np.int32
    )


def _seconds() -> np.ndarray:
    """Times over a rate, after a start, accumulated, in single precision, beside one another."""
    frames = np.arange(2000)
    over = (frames + 123_456) / 30_000 + 3600.25 * (frames > 1200)
    return np.stack([over, 12.345 + frames / 29_999.97, np.cumsum(np.full(2000, 1 / 25_000))], axis=1)


def _bytes() -> bytes:
    return known_signal(2000).astype(np.float32).tobytes()


def _bytes_file() -> bytes:
    out = io.BytesIO()
    write_bytes_file(len(_bytes()), iter([_bytes()]), 4, out)
    return out.getvalue()


def _one() -> np.ndarray:
    return known_signal()[:, 0]


def record_files(folder: Path) -> Mapped:
    """Two files of one channel: a header, records of a timestamp, big-endian samples and a marker, and a rest."""
    files = []
    for k, channel in enumerate(known_signal(400).astype(">i2").T):
        runs = joined([rest(40), Run(20, (Rest(8), Samples(20, k, 1), Rest(2))), rest(3)])
        records = b"".join(
            (10**6 + 20 * n).to_bytes(8, "little") + channel[20 * n : 20 * n + 20].tobytes() + b"\x07\xff"
            for n in range(20)
        )
        path = folder / f"c{k}.dat"
        path.write_bytes(b"header".ljust(40, b".") + records + b"end")
        files.append(MappedFile(path, runs))
    return Mapped("test", Layout(2, 20_000, "int16"), tuple(files), big_endian=True)


def _records() -> bytes:
    with TemporaryDirectory() as folder:
        mapped = record_files(Path(folder))
        file_map = FileMap(("a/c0.dat", "a/c1.dat"), tuple(file.runs for file in mapped.files), True)
        how = Settings(predictor="lpc", calibration="none")
        write_recording(MappedSource(mapped, "records"), Output(Path(folder, "a.spky")), how, file_map=file_map)
        return Path(folder, "a.spky").read_bytes()


# name: what was compressed, how
CASES: dict[str, tuple[Callable[[], np.ndarray | bytes], Callable[[], bytes]]] = {
    "lpc": (_one, lambda: _pack(_one(), Method())),
    "balanced": (_one, lambda: _pack(_one(), Method("balanced", lanes=1))),
    "crossed": (known_signal, lambda: _pack(known_signal(), Method(references=4))),
    "balanced_crossed": (known_signal, lambda: _forced(known_signal(), Method("balanced", lanes=1, references=4))),
    "no_delta": (_one, lambda: _pack(_one(), Method(delta=False))),
    "uncalibrated": (_one, lambda: _pack(_one(), Method(), calibrated=False)),
    "embedded": (_one, lambda: _pack(_one(), Method(), embed=True)),
    "ramp": (_ramp, lambda: _pack(_ramp(), Method())),
    "wide": (_wide, lambda: _pack(_wide(), Method())),
    "wide_balanced": (_wide, lambda: _pack(_wide(), Method("balanced", lanes=1))),
    "low_bits": (_huge, lambda: _pack(_huge(), Method())),
    "table": (_table, lambda: _pack(_table(), Method())),
    "blocked": (lambda: _many(), lambda: _pack(_many(), Method(references=4))),
    "bytes": (_bytes, _bytes_file),
    "float_scaled": (_scaled, lambda: _pack(_scaled(), Method(references=4))),
    "float_doubles": (_doubles, lambda: _pack(_doubles(), Method())),
    "float_patched": (_patched, lambda: _pack(_patched(), Method())),
    "advancing": (_advancing, lambda: _pack(_advancing(), Method())),
    "float_seconds": (_seconds, lambda: _pack(_seconds(), Method())),
    "float_packed": (_floats, lambda: _pack(_floats(), Method())),
    "learned_lstm": (_three, lambda: _learn(_three(), LSTM)),
    "learned_dense": (_three, lambda: _learn(_three(), DENSE)),
    "learned_alone": (lambda: known_signal(500), lambda: _learn(known_signal(500), ALONE)),
    "learned_many": (lambda: _nine(), lambda: _learn(_nine(), LSTM)),
    "max": (lambda: known_signal(500)[:, :1], lambda: _max(known_signal(500)[:, :1])),
    "max_crossed": (lambda: known_signal(120), lambda: _max(known_signal(120))),
    "max_wide": (lambda: _wide()[:500, None], lambda: _max(_wide()[:500, None], calibrated=False)),
    "records": (lambda: known_signal(400), _records),
    **WIDE_CASES,
}

PACKED = {"embedded", "bytes", "records", "fast_converters", "float_doubles", "float_patched"} | {
    name for name in CASES if name.startswith("learned")
}


def _many() -> np.ndarray:
    return np.concatenate([known_signal(300) + 64 * k for k in range(9)], axis=1).astype(np.int16)


def _nine() -> np.ndarray:
    """Enough channels of one alphabet for matrix products."""
    return np.concatenate([known_signal(900)[k * 180 : (k + 1) * 180] for k in range(5)], axis=1)[:, :9].copy()


if __name__ == "__main__":
    for name, (_, write) in CASES.items():
        path = GOLDEN / f"{name}.spky"
        if not path.exists():
            path.write_bytes(write())
            print(f"wrote {path}")
