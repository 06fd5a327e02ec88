"""A folder of recordings of one instant, and an archive of them."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikey.container.archive import Archive
from spikey.files.archives import compress_archive
from spikey.files.extraction import restore
from spikey.files.settings import Settings
from spikey.levels.n1 import N1_VALUES
from spikey.recording.layout import Layout, pack
from spikey.recording.wav import canonical_head

FAST = Settings(preset="fast")


FRAMES = 3000


def noise(seed: int, frames: int = FRAMES, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 12, (frames, channels))


def wav(signal: np.ndarray, rate: int = 19_531) -> bytes:
    """A WAV of N1 samples around a signal (frames, channels) in codes."""
    samples = N1_VALUES[np.clip(512 + signal, 0, 1023).astype(int)].astype("int16")
    layout = Layout(samples.shape[1], rate, "int16")
    return canonical_head(layout, len(samples)) + pack(samples, layout)


def floats(signal: np.ndarray) -> bytes:
    content = signal.astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 20_000, 80_000, 4, 32)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(content))
        + b"WAVEfmt \x10\0\0\0"
        + form
        + b"data"
        + (struct.pack("<I", len(content)) + content)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four recordings of one instant, one of them negative; copies of two; and what must not be taken for any of it."""
    root = tmp_path_factory.mktemp("set")
    common = noise(0)
    for index in range(4):
        sign = -1 if index == 2 else 1
        (root / f"a{index}.wav").write_bytes(wav(sign * common + noise(index + 1)))
    (root / "deep" / "er").mkdir(parents=True)
    shutil.copy(root / "a1.wav", root / "deep" / "same.wav")
    (root / "deep" / "er" / "tail.wav").write_bytes((root / "a0.wav").read_bytes() + b"LIST and what follows")
    (root / "shorter.wav").write_bytes(wav(common[:-1]))
    (root / "faster.wav").write_bytes(wav(common, rate=30_000))
    (root / "two.wav").write_bytes(wav(noise(9, channels=2)))
    (root / "floats.wav").write_bytes(floats(common))
    (root / "empty.wav").write_bytes(wav(noise(0, 0)))
    law = bytearray((root / "a0.wav").read_bytes())
    law[20:22] = b"\x06\0"  # A-law
    law[34:36] = b"\x08\0"
    (root / "law.wav").write_bytes(bytes(law))
    return root


def members(root: Path) -> list[tuple[str, Path]]:
    return [(path.relative_to(root).as_posix(), path) for path in sorted(root.rglob("*.wav"))]


@pytest.fixture(scope="module")
def archive(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "all.spky"
    packing = compress_archive(members(folder), out, replace(FAST, jobs=2))
    assert packing.failures == [] and packing.written == out.stat().st_size
    assert sum(o.original for o in packing.outcomes.values()) == sum(p.stat().st_size for _, p in members(folder))
    return out


def contents(archive: Archive, tmp_path: Path) -> dict[str, bytes]:
    found = {}
    for name in archive:
        restore(archive, name, tmp_path / "out.wav", overwrite=True)
        found[name] = (tmp_path / "out.wav").read_bytes()
    return found


def damaged(path: Path, tmp_path: Path, *places: int, name: str = "damaged.spky") -> Path:
    """A copy of a file with the bytes at some places changed."""
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0x55
    out = tmp_path / name
    out.write_bytes(bytes(data))
    return out
