"""Whole files: every kind of recording comes back byte for byte, and whatever goes wrong leaves nothing behind."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import threading
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spikey
from kit.writing import cut_into
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.codec.method import Method
from spikey.codec.registry import preset_method
from spikey.container import blocks as blocks_module
from spikey.container import layout as lay
from spikey.container import writer as writer_module
from spikey.container.reader import Reader
from spikey.files import compress, decompress, encoding
from spikey.files.decompress import describe_lost, verify_file
from spikey.files.settings import Outcome, Settings
from spikey.model.calibration import n1
from spikey.recording.layout import DTYPES, Layout, pack
from spikey.recording.output import atomic_output
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head, open_wav

# What is written stands in the same place again and again; refusals to overwrite are tested in test_outputs.py.
compress_file = partial(compress.compress_file, overwrite=True)
decompress_file = partial(decompress.decompress_file, overwrite=True)
QUICK = Settings(preset="fast", calibration=n1())


def chunk(label: bytes, body: bytes, size: int | None = None) -> bytes:
    return label + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(channels: int = 1, bits: int = 16, tag: int = 1, rest: bytes = b"") -> bytes:
    size = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, 20_000, 20_000 * size, size, bits) + rest)


def riff(*chunks: bytes, kind: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body)) + body


def canonical(samples: np.ndarray, dtype: str = "int16", rate: float = 20_000) -> bytes:
    layout = Layout(samples.shape[1], rate, dtype)
    return canonical_head(layout, len(samples)) + pack(samples, layout)


SAMPLES = simulate(700, 1, seed=5)
PCM = SAMPLES.tobytes()
EXTENSIBLE = struct.pack("<HHIH", 22, 24, 3, 1) + bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")
THREE = np.random.default_rng(0).integers(-900, 900, (300, 3))
# name: bytes, and how the container keeps them
FILES = {
    "canonical": (canonical(SAMPLES), lay.CANONICAL),
    "canonical, 3 channels of 24 bits": (canonical(THREE.astype(np.int32), "int24"), lay.CANONICAL),
    "canonical, 8 bits": (canonical((THREE // 8 + 128).astype(np.uint8), "uint8"), lay.CANONICAL),
    "canonical, 32 bits": (canonical(THREE.astype(np.int32) << 16, "int32"), lay.CANONICAL),
    "no samples": (canonical(SAMPLES[:0]), lay.CANONICAL),
    "one sample": (canonical(SAMPLES[:1]), lay.CANONICAL),
    "chunks before and after": (
        riff(chunk(b"LIST", b"odd"), fmt(), chunk(b"data", PCM), chunk(b"note", b"recorded on a Monday" * 9)),
        lay.WRAPPED,
    ),
    "large chunks": (
        riff(fmt(), chunk(b"junk", bytes(70_001)), chunk(b"data", PCM), chunk(b"tail", os.urandom(80_000))),
        lay.WRAPPED,
    ),
    "trailing bytes": (canonical(SAMPLES) + b"and more", lay.WRAPPED),
    "half a frame": (riff(fmt(2), chunk(b"data", PCM[:-1])), lay.WRAPPED),
    "data size 0": (riff(fmt(), b"data" + bytes(4) + PCM), lay.WRAPPED),
    "data size too large": (canonical(SAMPLES)[:-100], lay.WRAPPED),
    "unknown size": (riff(fmt(), b"data" + b"\xff" * 4 + PCM), lay.WRAPPED),
    "extensible": (riff(fmt(1, 24, 0xFFFE, EXTENSIBLE), chunk(b"data", PCM[:1398])), lay.WRAPPED),
    "RF64": (
        riff(chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM), 0, 0)), fmt(), b"data" + b"\xff" * 4 + PCM, kind=b"RF64"),
        lay.WRAPPED,
    ),
    "12 bits in 16": (
        riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 20_000, 40_000, 2, 12)), chunk(b"data", PCM)),
        lay.WRAPPED,
    ),
    "float": (riff(fmt(1, 32, 3), chunk(b"data", SAMPLES.astype("<f4").tobytes())), lay.WRAPPED),
    "mu-law": (riff(fmt(1, 8, 7), chunk(b"data", PCM[:701])), lay.BYTES),
    "big-endian": (b"RIFX" + riff(fmt(), chunk(b"data", PCM))[4:], lay.BYTES),
}


def check(path: Path, folder: Path, settings: Settings = QUICK) -> bytes:
    """Compress, verify and restore a file; return the compressed bytes."""
    packed, restored = folder / "a.spky", folder / "a.out"
    outcome = compress_file(path, packed, settings)
    data = packed.read_bytes()
    assert (outcome.original, outcome.compressed) == (path.stat().st_size, len(data))
    assert verify_file(packed).original == path.stat().st_size
    assert decompress_file(packed, restored) == (Outcome(outcome.original, len(data), outcome.samples), [])
    assert restored.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in folder.iterdir() if p != path) == ["a.out", "a.spky"]
    return data


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.parametrize("blocks", [False, True])
def test_every_kind_of_wav_comes_back(tmp_path, name, blocks, monkeypatch):
    if blocks:
        cut_into(monkeypatch, 128, 2)
        monkeypatch.setattr(writer_module, "RECORD_BYTES", 50)
        monkeypatch.setattr(writer_module, "most_bytes", lambda size: 1 << 40)  # so many blocks take more than allowed
    content, wrapper = FILES[name]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with Reader(check(path, tmp_path)) as reader:
        assert reader.header.wrapper == wrapper
        in_blocks = {block.kind for block in reader.structure.blocks} >= {lay.BLOCK_HEAD}
    with nullcontext() if wrapper == lay.BYTES else open_wav(path, floats=True) as source:
        around = source.head_size + source.tail_size if source else 0
    assert in_blocks == (wrapper == lay.WRAPPED and around > (50 if blocks else 1 << 16))


def test_fallback_says_what_the_file_is(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(FILES["mu-law"][0])
    outcome = compress_file(path, tmp_path / "a.spky", QUICK)
    assert "mu-law" in outcome.note and outcome.samples == 0
    assert outcome.compressed < outcome.original
    with spikey.open(tmp_path / "a.spky") as reader, pytest.raises(UsageError, match="plain bytes"):
        reader[:]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_raw(tmp_path, dtype, channels):
    path = tmp_path / "a.dat"
    path.write_bytes(np.random.default_rng(0).integers(0, 30, 1001, np.uint8).tobytes())
    settings = Settings(preset="fast", raw=(channels, 2.5, dtype), keep_partial=True)
    with Reader(check(path, tmp_path, settings)) as reader:
        assert reader.shape == (1001 // (channels * DTYPES[dtype][0]), channels) and reader.rate == 2.5
        assert reader.layout.dtype == dtype
    path.write_bytes(b"")
    check(path, tmp_path, Settings(preset="fast", raw=(channels, 2.5, dtype), keep_partial=True))


@given(content=st.binary(max_size=400), channels=st.integers(1, 4), dtype=st.sampled_from(list(DTYPES)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_raw(tmp_path, content, channels, dtype):
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    check(path, tmp_path, Settings(preset="fast", raw=(channels, 30_000, dtype), keep_partial=True))


def test_what_settings_select():
    assert Settings().method() == preset_method("fast") and Settings().free
    assert Settings(preset="balanced").method() == preset_method("balanced")
    assert Settings(predictor="lpc", preset="max").method().predictor == "lpc"
    assert Settings(predictor="lpc", delta=False).method() == Method("lpc", delta=False, lanes=2)
    assert not any(each.free for each in (Settings(preset="fast"), Settings(predictor="lpc")))
    with pytest.raises(UsageError, match="no preset 'quick'; there are fast, balanced, max"):
        Settings(preset="quick").method()


# ---------------------------------------------------------------- what goes wrong


def test_a_source_that_changes_is_noticed(tmp_path, monkeypatch):
    path, out = tmp_path / "a.wav", tmp_path / "a.spky"
    original = encoding.encode_smallest
    long = canonical(simulate(20_000, 1, seed=1))
    for content, at in ((long, -1), (FILES["large chunks"][0], 70_100)):
        path.write_bytes(content)

        def meanwhile(samples, *rest, at=at, **named):
            content = bytearray(path.read_bytes())
            content[at] ^= 1
            path.write_bytes(content)
            return original(samples, *rest, **named)

        monkeypatch.setattr(encoding, "encode_smallest", meanwhile)
        with pytest.raises(SpikeyError, match=r"a\.wav: changed while it was read"):
            compress_file(path, out, QUICK)
        assert not out.exists() and len(list(tmp_path.iterdir())) == 1
    path.write_bytes(FILES["mu-law"][0])
    monkeypatch.setattr(
        compress, "write_bytes_file", lambda size, pieces, item, out, _: grown(path, size, pieces, item, out)
    )
    with pytest.raises(SpikeyError, match="changed"):
        compress_file(path, out, QUICK)
    assert len(list(tmp_path.iterdir())) == 1


def grown(path, size, pieces, item, out):
    written = writer_module.write_bytes_file(size, pieces, item, out)
    path.write_bytes(path.read_bytes() + b"x")
    return written


def test_a_coder_that_errs_is_noticed(tmp_path, monkeypatch):
    path, out = tmp_path / "a.wav", tmp_path / "a.spky"
    path.write_bytes(FILES["canonical"][0])
    decode = blocks_module.decode_block
    monkeypatch.setattr(blocks_module, "decode_block", lambda *arguments: decode(*arguments) + 1)
    with pytest.raises(SpikeyError):
        compress_file(path, out, QUICK)
    assert not out.exists()
    compress_file(path, out, Settings(preset="fast", verify=False))
    assert out.exists()


def forbidden(path: Path) -> None:
    with atomic_output(path) as (file, _):
        file.write(b"x")


def test_outputs_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    for path, says in [
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "a.spky", "No such file or directory"),
        (tmp_path / "file" / "a.spky", "Not a directory"),
        (tmp_path / ("n" * 300), "File name too long"),
        (tmp_path / "file", "exists"),
        (Path("/dev/full"), "No space left on device"),
    ]:
        with pytest.raises(UsageError, match=says) as error:
            forbidden(path)
        assert path.name[:20] in str(error.value) and error.value.exit_status == 2
    if os.geteuid():
        (tmp_path / "sealed").mkdir(mode=0o500)
        with pytest.raises(UsageError, match="Permission denied"):
            forbidden(tmp_path / "sealed" / "a")
    assert (tmp_path / "file").read_bytes() == b"old"
    forbidden(Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


class FullDisk(io.FileIO):
    """A file whose disk is full after 20 bytes."""

    def write(self, data):
        if self.tell() + len(data) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("name", ["canonical", "large chunks", "mu-law"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, name):
    path, packed = tmp_path / "a.wav", tmp_path / "a.spky"
    path.write_bytes(FILES[name][0])
    compress_file(path, packed, QUICK)
    full = packed.read_bytes()
    monkeypatch.setattr(os, "fdopen", lambda handle, mode: io.BufferedRandom(FullDisk(handle, "r+")))
    for work in (
        lambda: compress_file(path, tmp_path / "b.spky", QUICK),
        lambda: compress_file(path, packed, QUICK),
        lambda: decompress_file(packed, tmp_path / "b.wav"),
    ):
        with pytest.raises(UsageError, match=r"(a|b)\.(spky|wav): cannot be written \(No space left on device\)"):
            work()
        assert {p.name for p in tmp_path.iterdir()} == {"a.wav", "a.spky"}
    assert packed.read_bytes() == full


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch, jobs):
    cut_into(monkeypatch, 100, 2)
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b"
    path.write_bytes(canonical(THREE.astype(np.int32), "int24"))
    compress_file(path, packed, QUICK)

    def interrupt(*_):
        raise KeyboardInterrupt

    settings = Settings(preset="fast", jobs=jobs)
    before = threading.active_count()
    for work in (
        lambda: compress_file(path, out, settings, interrupt),
        lambda: decompress_file(packed, out, jobs=jobs, progress=interrupt),
    ):
        with pytest.raises(KeyboardInterrupt):
            work()
        assert {p.name for p in tmp_path.iterdir()} == {"a.wav", "a.spky"}
    assert threading.active_count() == before


def test_input_and_output_must_differ(tmp_path):
    path, packed = tmp_path / "a.wav", tmp_path / "a.spky"
    path.write_bytes(FILES["canonical"][0])
    compress_file(path, packed, QUICK)
    (tmp_path / "link.wav").symlink_to(path)
    for work in (
        lambda: compress_file(path, path, QUICK),
        lambda: compress_file(path, tmp_path / "link.wav", QUICK),
        lambda: decompress_file(packed, packed),
    ):
        with pytest.raises(UsageError, match="read and written at once"):
            work()
    assert path.read_bytes() == FILES["canonical"][0]


def test_a_link_stays_one_and_permissions_are_ordinary(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "a.spky"
    link.symlink_to(tmp_path / "real" / "b.spky")
    forbidden(link)
    assert link.is_symlink() and (tmp_path / "real" / "b.spky").read_bytes() == b"x"
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "real" / "b.spky").stat().st_mode) == 0o666 & ~umask


def test_files_that_cannot_be_read(tmp_path):
    out = tmp_path / "out"
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("no recording at all")
    os.mkfifo(tmp_path / "pipe")
    for name, says in [
        ("none", "does not exist"),
        ("", "is a folder"),
        ("empty", "is empty"),
        ("text", "not a"),
        ("pipe", "not a regular file"),
    ]:
        for work in (
            compress_file,
            decompress_file,
            lambda path, _: verify_file(path),
            lambda path, _: spikey.open(path),
        ):
            with pytest.raises(DataError, match=says) as error:
                work(tmp_path / name, out)
            assert str(tmp_path / name) in str(error.value)
    assert not out.exists()


def test_damage_and_salvage(tmp_path, monkeypatch):
    cut_into(monkeypatch, 100, 2)
    monkeypatch.setattr(writer_module, "RECORD_BYTES", 10)
    layout = Layout(3, 20_000, "int16")
    head, samples = b"RIFF" + bytes(50), THREE.astype(np.int16)
    content = riff(chunk(b"junk", head), fmt(3), chunk(b"data", pack(samples, layout)), chunk(b"tail", b"end" * 9))
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    path.write_bytes(content)
    compress_file(path, packed, QUICK)
    with Reader(packed) as reader:
        victims = [
            next(b for b in reader.structure.blocks if b.kind == kind) for kind in (lay.BLOCK_HEAD, lay.BLOCK_SAMPLES)
        ]
    data = bytearray(packed.read_bytes())
    for victim in victims:
        data[victim.offset + 3] ^= 1
    packed.write_bytes(data)
    lost = [victim.extent for victim in victims]
    with pytest.raises(DamagedError, match=r"a\.spky, bytes 0 to") as error:
        decompress_file(packed, out)
    assert not out.exists()
    with pytest.raises(DamagedError, match=r"a\.spky: 2 blocks are damaged or missing: ") as error:
        verify_file(packed)
    assert sorted(error.value.ranges) == sorted(lost)
    _, listed = decompress_file(packed, out, salvage=True)
    assert sorted(listed) == sorted(lost)
    wanted = samples.copy()
    wanted[:100, :2] = 0
    size = victims[0].frames
    assert out.read_bytes() == bytes(size) + pack(wanted, layout) + content[size + samples.nbytes :]


def test_salvage_of_a_file_in_one_piece_refuses(tmp_path):
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    for name in ("canonical", "mu-law"):
        path.write_bytes(FILES[name][0])
        compress_file(path, packed, QUICK)
        data = bytearray(packed.read_bytes())
        data[-9] ^= 1
        packed.write_bytes(data)
        with pytest.raises(DamagedError):
            decompress_file(packed, out, salvage=True)
        assert not out.exists()


def test_what_is_lost_in_words():
    lost = [(0, 5, 0, 0), (0, 256, 0, 2), (3, 4, 1, 2), (9, 10, 0, 1)]
    assert describe_lost(lost) == (
        "4 blocks are damaged or missing: bytes 0 to 5, frames 0 to 256 of channels 0 to 1, "
        "frames 3 to 4 of channels 1 to 1 and 1 more"
    )
