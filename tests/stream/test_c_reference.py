"""The C reference in reference/ writes and reads the same bytes as the package, on this machine and on 64-bit Arm."""

from __future__ import annotations

import fnmatch
import importlib.util
import io
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kit.golden import CASES, GOLDEN
from kit.paths import CC, ROOT
from kit.writing import cut_into, write_file
from spikey.codec.adaptive.loop import run
from spikey.codec.encode import encode_block
from spikey.codec.method import Method
from spikey.coding.range_coder import finish, range_encoder
from spikey.container import writer
from spikey.files.compress import compress_file
from spikey.files.decompress import decompress_file
from spikey.files.settings import Settings
from spikey.levels.n1 import N1_VALUES
from spikey.levels.registry import find_levels
from spikey.levels.rescaled import Rescaled
from spikey.model.calibration import Calibration, n1
from spikey.model.density import narrow
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.scale import deviation, scale
from spikey.recording.layout import Layout, pack
from spikey.recording.readable import ArraySource
from spikey.recording.wav import canonical_head

SOURCE = ROOT / "reference"
FILES = ["spikey.c", "block.c", "container.c", "main.c"]
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion"]
SANITIZED = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ARM, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
UNCHECKED = "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"  # checksums are not compared
COVERED = {"lpc", "no_delta", "uncalibrated", "embedded", "ramp", "wide", "low_bits", "table"}
NOT_COVERED = {
    "*balanced*": "another predictor",
    "refined*": "another predictor",
    "learned*": "another predictor",
    "max*": "another predictor",
    "*crossed": "references between channels",
    "blocked": "references between channels",
    "bytes": "DEFLATE",
    "records": "files whose samples lie between other bytes",
    "advancing": "levels that advance",
    "float*": "floating-point samples",
    "fast*": "another predictor",
}
LONG = {"walk 20000", "blocks of one channel", "blocks of many channels", "large table"}  # for emulators and sanitizers
pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> dict[str, list[str] | str]:
    """How to call each build of spikey-ref; a text says why there is none."""
    folder = tmp_path_factory.mktemp("c")

    def make(compiler: str, out: str, *arguments: str) -> None:
        subprocess.run([compiler, "-std=c99", *arguments, "-o", str(folder / out)], check=True)

    def plain() -> dict[str, list[str] | str]:
        make(str(CC), "native", *STRICT, "-O2", *(str(SOURCE / file) for file in FILES))
        if not (shutil.which(ARM) and shutil.which(EMULATOR)):
            return {"native": [str(folder / "native")], "arm64": f"needs {ARM} and {EMULATOR}"}
        make(ARM, "arm64", "-O1", "-static", *(str(SOURCE / file) for file in FILES))
        return {"native": [str(folder / "native")], "arm64": [EMULATOR, str(folder / "arm64")]}

    def sanitized() -> dict[str, list[str] | str]:
        (folder / "probe.c").write_text("int main(void) { return 0; }\n")
        probe = [str(CC), *SANITIZED, "-o", str(folder / "probe"), str(folder / "probe.c")]
        if subprocess.run(probe, capture_output=True).returncode:
            return dict.fromkeys(("sanitized", "fuzzed"), "the compiler has no sanitizers")
        for file in FILES:
            make(str(CC), f"{file}.o", *SANITIZED, "-c", str(SOURCE / file))
        make(str(CC), "unchecked.o", *SANITIZED, UNCHECKED, "-c", str(SOURCE / "container.c"))
        objects = [str(folder / f"{file}.o") for file in FILES]
        make(str(CC), "sanitized", *SANITIZED, *objects)
        objects[FILES.index("container.c")] = str(folder / "unchecked.o")
        make(str(CC), "fuzzed", *SANITIZED, *objects)
        return {name: [str(folder / name)] for name in ("sanitized", "fuzzed")}

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(plain), pool.submit(sanitized)
        return one.result() | other.result()


def program(programs: dict[str, list[str] | str], name: str) -> list[str]:
    found = programs[name]
    if isinstance(found, str):
        pytest.skip(found)
    return found


def call(command: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done


# ---------------------------------------------------------------- recordings


def neural(frames: int, seed: int = 1) -> np.ndarray:
    """Coloured noise as the N1's converter sees it."""
    noise = np.random.default_rng(seed).normal(0, 300, frames + 8)
    analog = np.convolve(noise, [1, 0.8, 0.5, 0.3, 0.2, 0.1, 0.1, 0.05], "same")[:frames]
    edges = n1().edges
    return N1_VALUES[np.searchsorted(edges[1:-1], analog + int(edges[512]), side="right")]


def artifact() -> np.ndarray:
    samples = neural(3000).copy()
    samples[1000:1040], samples[1040:1100], samples[2000] = N1_VALUES[-1], N1_VALUES[0], N1_VALUES[0]
    return samples


def recordings() -> dict[str, tuple[np.ndarray, str]]:
    """Samples (frames, channels) and the file's type."""
    random = np.random.default_rng(7)
    lengths = (0, 1, 2, 16, 17, 31, 32, 33, 255, 256, 257, 1000, 20_000)
    every = {f"neural {frames}": (neural(frames, frames), "int16") for frames in lengths}
    every |= {f"walk {n}": (np.cumsum(random.integers(-9, 10, n)).astype(np.int16), "int16") for n in lengths}
    time = np.arange(3000)
    square = np.where(time % 100 < 50, -1, 1)
    gaps = random.permutation(60_000)[:40] - 30_000
    every |= {
        "constant": (np.full(700, 123, np.int16), "int16"),
        "silent": (np.zeros(700, np.int16), "int16"),
        "square": ((1000 * square).astype(np.int16), "int16"),
        "square of N1": (N1_VALUES[512 + 100 * square], "int16"),
        "saturated": (N1_VALUES[np.clip(512 + (900 * np.sin(time / 20)).astype(int), 0, 1023)], "int16"),
        "noise of N1": (N1_VALUES[random.integers(0, 1024, 3000)], "int16"),
        "unsuited": (N1_VALUES[np.argsort(np.diff(n1().edges))[:200][random.integers(0, 200, 3000)]], "int16"),
        "noise, stored": (random.integers(-32768, 32768, 3000).astype(np.int16), "int16"),
        "artifact": (artifact(), "int16"),
        "steps of 12": ((12 * random.integers(-90, 90, 2000) + 5).astype(np.int16), "int16"),
        "table": (gaps[random.integers(0, 40, 3000)].astype(np.int16), "int16"),
        "large table": (np.unique(random.integers(-30_000, 30_000, 900))[random.integers(0, 800, 20_000)], "int16"),
        "wide": ((9000 * np.sin(time / 30) + random.normal(0, 20, 3000)).astype(np.int16), "int16"),
        "wide jumps": ((15_000 * square + random.normal(0, 20, 3000)).astype(np.int16), "int16"),
        "bytes": ((128 + 60 * np.sin(time / 9) + random.normal(0, 3, 3000)).astype(np.uint8), "uint8"),
        "24 bits": ((4e6 * np.sin(time / 30) + random.normal(0, 900, 3000)).astype(np.int32), "int24"),
        "32 bits": ((2e9 * np.sin(time / 30) + random.normal(0, 900, 3000)).astype(np.int32), "int32"),
        "extremes of 32 bits": (np.array([-(2**31), 2**31 - 1, 0, 5, 2**31 - 1] * 50, np.int32), "int32"),
        "three channels": (np.stack([neural(1000, 3), artifact()[:1000], neural(1000, 4) // 3], axis=1), "int16"),
        "small blocks": (np.stack([neural(60, seed) for seed in range(17)] * 65, axis=1), "int16"),
        "blocks of one channel": (neural(132_000), "int16"),
        "blocks of many channels": (np.stack([neural(5000, seed) for seed in range(18)], axis=1), "int16"),
    }
    return {name: (samples if samples.ndim == 2 else samples[:, None], kind) for name, (samples, kind) in every.items()}


@pytest.fixture(scope="module")
def wavs(tmp_path_factory) -> dict[str, tuple[Path, Path, Path]]:
    """Each recording as a canonical WAV file, and what the package makes of it with the calibration n1 and without."""
    folder = tmp_path_factory.mktemp("wavs")
    paths = {}
    for number, (name, (samples, kind)) in enumerate(recordings().items()):
        layout = Layout(samples.shape[1], 19_531, kind)
        wav, packed, plain = (folder / f"{number}.{end}" for end in ("wav", "spky", "plain"))
        content = pack(samples.astype(layout.memory_dtype), layout)
        wav.write_bytes(canonical_head(layout, len(samples)) + content)
        for out, calibration in ((packed, n1()), (plain, None)):
            compress_file(wav, out, Settings(predictor="lpc", calibration=calibration, verify=False))
        paths[name] = wav, packed, plain
    return paths


# ---------------------------------------------------------------- the same bytes


@pytest.mark.parametrize("build", ["native", "sanitized", "arm64"])
def test_same_bytes_both_ways(programs, wavs, tmp_path, build):
    command = program(programs, build)

    def check(name: str) -> list[str]:
        wav, packed, plain = wavs[name]
        out = tmp_path / wav.stem
        troubles = []
        calls: list[tuple[Path, Path, list[object]]] = [
            (packed, wav, ["compress", wav, out]),
            (wav, packed, ["decompress", packed, out]),
            (plain, wav, ["compress", wav, out, "--uncalibrated"]),
            (wav, plain, ["decompress", plain, out]),
        ]
        for wanted, source, arguments in calls[: 4 if build == "native" else 2]:
            out.unlink(missing_ok=True)
            done = call(command, *arguments)
            if done.returncode or out.read_bytes() != wanted.read_bytes():
                troubles.append(f"{name}: {arguments[0]} {source.suffix} to {wanted.suffix} {done.stderr}")
        return troubles

    names = [name for name in wavs if build == "native" or name not in LONG]
    with ThreadPoolExecutor(2) as pool:
        assert [trouble for found in pool.map(check, names) for trouble in found] == []


@pytest.mark.parametrize("build", ["native", "sanitized", "arm64"])
def test_golden_files(programs, tmp_path, build):
    command = program(programs, build)
    for name in CASES:
        out = tmp_path / "out"
        out.unlink(missing_ok=True)
        done = call(command, "decompress", GOLDEN / f"{name}.spky", out)
        if name in COVERED:
            assert done.returncode == 0, name
            assert out.read_bytes() == np.ascontiguousarray(CASES[name][0]()).tobytes(), name
        else:
            assert done.returncode == 1 and "leaves out" in done.stderr and not out.exists(), name


def test_every_golden_file_is_covered_or_said_not_to_be():
    for name in CASES:
        patterns = [pattern for pattern in NOT_COVERED if fnmatch.fnmatch(name, pattern)]
        assert (name in COVERED) != bool(patterns), name


@pytest.mark.parametrize(("method", "lanes"), [(Method(lanes=n), n) for n in (1, 3, 7, 16)])
def test_other_lanes_are_read(programs, tmp_path, method, lanes):
    """Of payloads that no preset writes."""
    samples = neural(1003)[:, None]
    payload = encode_block(samples, method, n1())
    assert payload is not None and payload[1] == lanes
    head = b"SPKY\x01\x09\x02\x01\x02\xeb\x07" + n1().id
    check = zlib.crc32(head + payload + samples.tobytes())
    path, out = tmp_path / "a.spky", tmp_path / "a"
    path.write_bytes(head + payload + struct.pack("<I", check))
    assert call(program(programs, "native"), "decompress", path, out).returncode == 0
    assert out.read_bytes() == samples.tobytes()


class Wrapped(ArraySource):
    """A recording with a few bytes around it that DEFLATE does not make smaller."""

    head_size, tail_size = 30, 7

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        return iter([bytes(range(30))])

    def tail_chunks(self, size: int = 0) -> Iterator[bytes]:
        return iter([b"tailing"])


@pytest.mark.parametrize("kind", ["single", "blocks", "blocks all around", "not wrapped"])
def test_other_forms_are_read(programs, tmp_path, monkeypatch, kind):
    """Wrapped recordings, and blocks of a few frames and channels."""
    samples = np.stack([neural(350, seed) for seed in range(5)], axis=1)
    if kind != "single":
        cut_into(monkeypatch, 100, 2)
    if kind == "blocks all around":
        monkeypatch.setattr(writer, "RECORD_BYTES", 10)
    out, path = io.BytesIO(), tmp_path / "a.spky"
    source = ArraySource(samples, 20_000) if kind == "not wrapped" else Wrapped(samples, 20_000)
    write_file(source, out, Method(), n1())
    path.write_bytes(out.getvalue())
    assert call(program(programs, "native"), "decompress", path, tmp_path / "a").returncode == 0
    wanted = samples.tobytes()
    wanted = wanted if kind == "not wrapped" else bytes(range(30)) + wanted + b"tailing"
    assert (tmp_path / "a").read_bytes() == wanted


def test_rescaled_codes_are_read(programs, tmp_path):
    """Which the C reference does not write."""
    codes = np.unique(neural(5000), return_inverse=True)[1].astype(np.int64) - 40
    samples = (np.sign(codes) * (np.abs(codes) * 625 // 26) + 13).astype(np.int16)
    assert isinstance(find_levels(samples), Rescaled)
    wav, packed, out = (tmp_path / name for name in ("a.wav", "a.spky", "b.wav"))
    wav.write_bytes(canonical_head(Layout(1, 20_000, "int16"), len(samples)) + samples.tobytes())
    compress_file(wav, packed, Settings(predictor="lpc", calibration=None, verify=False))
    for build in ("native", "sanitized"):
        assert call(program(programs, build), "decompress", packed, out).returncode == 0
        assert out.read_bytes() == wav.read_bytes()
        out.unlink()


def test_stored_bytes_are_read(programs, tmp_path):
    plain = np.random.default_rng(1).integers(0, 256, 500, dtype=np.uint8).tobytes()
    out, path = io.BytesIO(), tmp_path / "a.spky"
    writer.write_bytes_file(len(plain), iter([plain]), 4, out)
    path.write_bytes(out.getvalue())
    assert call(program(programs, "native"), "decompress", path, tmp_path / "a").returncode == 0
    assert (tmp_path / "a").read_bytes() == plain


def test_wav_files_of_other_forms_are_refused(programs, tmp_path):
    wav, out = tmp_path / "a.wav", tmp_path / "a.spky"
    good = canonical_head(Layout(1, 20_000, "int16"), 100) + neural(100).tobytes()
    for bad in (b"", b"RIFF", good[:-1], good + b"x", good[:20] + b"\3" + good[21:], good[:22] + b"\0" + good[23:]):
        wav.write_bytes(bad)
        done = call(program(programs, "native"), "compress", wav, out)
        assert done.returncode == 1 and "leaves out" in done.stderr and not out.exists()


# ---------------------------------------------------------------- damage


def test_damage_is_noticed(programs, wavs, tmp_path):
    _, packed, _ = wavs["neural 257"]
    bad, out = tmp_path / "bad.spky", tmp_path / "out"
    data = packed.read_bytes()
    for at in range(0, len(data), 7):
        for changed in (data[:at], data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]):
            bad.write_bytes(changed)
            assert call(program(programs, "native"), "decompress", bad, out).returncode == 1
            assert not out.exists()


@pytest.mark.parametrize(("build", "trials"), [("sanitized", 64), ("fuzzed", 96)])
def test_damage_does_no_harm(programs, wavs, build, trials):
    """Flipped bits, changed bytes and truncations under the sanitizers, with checksums and without."""
    command = program(programs, build)
    files = [GOLDEN / f"{name}.spky" for name in sorted(COVERED | {"balanced", "crossed", "blocked", "bytes"})]
    for name in ("neural 0", "neural 33", "constant", "table", "three channels", "small blocks"):
        files.append(wavs[name][1])

    def fuzz(file: Path) -> int:
        return call(command, "fuzz", file, trials if file.stat().st_size < 20_000 else 16).returncode

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(fuzz, files)) == [0] * len(files)


# ---------------------------------------------------------------- firmware

FIRMWARE = r"""
#include <stdio.h>
#include <string.h>
#include "spikey.h"
#define CHANNELS 3
#define FRAMES 1500
#define PACKET 40
static spikey_channel sender[CHANNELS], receiver[CHANNELS];
static uint8_t buffer[8192];
static uint16_t codes[FRAMES];
int main(void)
{
    spikey_encoder e;
    spikey_decoder d;
    size_t size, i;
    int t, c, packet;
    fprintf(stderr, "%d", (int)sizeof(spikey_channel));
    if (fread(codes, 2, FRAMES, stdin) != FRAMES)
        return 2;
    /* one channel into one stream */
    if (spikey_start(&sender[0], 1024, &spikey_n1, 77, 1, 1) != SPIKEY_OK)
        return 3;
    spikey_encoder_start(&e, buffer, sizeof buffer);
    for (t = 0; t < FRAMES; t++) {
        if (spikey_encode(&sender[0], &e, 0, codes[t]) != SPIKEY_OK)
            return 4;
        spikey_step(&sender[0]);
    }
    if (spikey_encode(&sender[0], &e, 0, 1024) != SPIKEY_USAGE || spikey_encoder_finish(&e, &size) != SPIKEY_OK)
        return 5;
    for (i = 0; i < size; i++)
        printf("%02x", buffer[i]);
    /* a group of channels in packets, started anew at every tenth */
    for (packet = 0; packet * PACKET + PACKET <= FRAMES; packet++) {
        for (c = 0; c < CHANNELS && packet % 10 == 0; c++)
            if (spikey_start(&sender[c], 1024, &spikey_n1, 77, 1, 1) != SPIKEY_OK
                || spikey_start(&receiver[c], 1024, &spikey_n1, 77, 1, 1) != SPIKEY_OK)
                return 6;
        spikey_encoder_start(&e, buffer, sizeof buffer);
        for (t = packet * PACKET; t < packet * PACKET + PACKET; t++)
            for (c = 0; c < CHANNELS; c++) {
                spikey_encode(&sender[c], &e, 0, codes[(t + 100 * c) % FRAMES]);
                spikey_step(&sender[c]);
            }
        if (spikey_encoder_finish(&e, &size) != SPIKEY_OK)
            return 7;
        memset(buffer + size, 0xAA, sizeof buffer - size);
        spikey_decoder_start(&d, buffer, size);
        for (t = packet * PACKET; t < packet * PACKET + PACKET; t++)
            for (c = 0; c < CHANNELS; c++) {
                if (spikey_decode(&receiver[c], &d, 0) != codes[(t + 100 * c) % FRAMES])
                    return 8;
                spikey_step(&receiver[c]);
            }
    }
    if (spikey_start(&sender[0], 1, NULL, 0, 1, 1) != SPIKEY_USAGE
        || spikey_start(&sender[0], 9, &spikey_n1, 0, 1, 1) != SPIKEY_USAGE
        || spikey_start(&sender[0], 9, NULL, 0, SPIKEY_LANES + 1, 1) != SPIKEY_USAGE)
        return 9;
    spikey_encoder_start(&e, buffer, 3);
    spikey_start(&sender[0], 1024, NULL, 77, 1, 1);
    for (t = 0; t < 100; t++, spikey_step(&sender[0]))
        spikey_encode(&sender[0], &e, 0, codes[t]);
    return spikey_encoder_finish(&e, &size) == SPIKEY_ROOM ? 0 : 10;
}
"""


@pytest.mark.parametrize("chunk", [1, 16, 100])
def test_codec_alone_with_one_lane(tmp_path, chunk):
    """spikey.c by itself, as firmware uses it: the stream that the package makes, and packets of a group."""
    (tmp_path / "a.c").write_text(FIRMWARE)
    flags = ["-std=c99", *STRICT, "-O2", "-DSPIKEY_LANES=1", f"-DSPIKEY_CHUNK={chunk}", f"-I{SOURCE}"]
    command = [str(CC), *flags, "-o", str(tmp_path / "a"), str(tmp_path / "a.c"), str(SOURCE / "spikey.c")]
    subprocess.run(command, check=True)
    samples = neural(1500)
    codes = (samples.astype(np.int32) >> 6) + 512
    done = subprocess.run([tmp_path / "a"], input=codes.astype("<u2").tobytes(), capture_output=True)
    assert done.returncode == 0
    assert bytes.fromhex(done.stdout.decode()) == stream_of(codes)
    if chunk < 100:
        assert f"| {done.stderr.decode()} |" in (SOURCE / "README.md").read_text()


ANY_CALIBRATION = r"""
#include <stdio.h>
#include "spikey.h"
static int32_t numbers[3], edges[4097], prior[21];
static uint32_t codes[1500];
static uint8_t buffer[16384];
int main(void)
{
    static spikey_channel channel;
    spikey_calibration calibration = {edges, prior, 0, 21, {0, 0, 0, 0}};
    spikey_encoder e;
    spikey_decoder d;
    size_t size, i;
    int t;
    if (fread(numbers, 4, 3, stdin) != 3 || fread(edges, 4, (size_t)numbers[0] + 1, stdin) != (size_t)numbers[0] + 1
        || fread(prior, 4, 21, stdin) != 21 || fread(codes, 4, 1500, stdin) != 1500)
        return 2;
    calibration.codes = (uint16_t)numbers[0];
    if (spikey_start(&channel, calibration.codes, &calibration, (unsigned)numbers[1], 1, numbers[2]) != SPIKEY_OK)
        return 3;
    spikey_encoder_start(&e, buffer, sizeof buffer);
    for (t = 0; t < 1500; t++, spikey_step(&channel))
        spikey_encode(&channel, &e, 0, codes[t]);
    if (spikey_encoder_finish(&e, &size) != SPIKEY_OK)
        return 4;
    for (i = 0; i < size; i++)
        printf("%02x", buffer[i]);
    spikey_start(&channel, calibration.codes, &calibration, (unsigned)numbers[1], 1, numbers[2]);
    spikey_decoder_start(&d, buffer, size);
    for (t = 0; t < 1500; t++, spikey_step(&channel))
        if (spikey_decode(&channel, &d, 0) != codes[t])
            return 5;
    return 0;
}
"""


def test_codec_with_any_calibration(tmp_path):
    """Of every width of alphabets, as far out as calibrations may go."""
    (tmp_path / "a.c").write_text(ANY_CALIBRATION)
    flags = ["-std=c99", *STRICT, "-O2", "-DSPIKEY_LANES=1", f"-I{SOURCE}"]
    command = [str(CC), *flags, "-o", str(tmp_path / "a"), str(tmp_path / "a.c"), str(SOURCE / "spikey.c")]
    subprocess.run(command, check=True)
    random = np.random.default_rng(5)
    cases = ((2, 0, 1), (2, 255, 1), (700, 120, 1), (700, 120, 0), (1500, 255, 1), (3000, 60, 1), (4096, 255, 1))
    for size, start, delta in cases:
        widths = random.integers(1, 2**21 // size - 2, size)
        edges = (np.concatenate([[0], np.cumsum(widths)]) - widths.sum() // 2).astype(np.int32)
        prior = (2**26 * 0.8 ** np.arange(21) * np.cos(np.arange(21))).astype(np.int32)
        calibration = Calibration(edges, prior)
        walk = np.cumsum(random.integers(-size // 20 - 1, size // 20 + 2, 1500))
        codes = np.abs(walk % (2 * size) - size).clip(0, size - 1).astype(np.int32)
        given = struct.pack("<3i", size, start, delta) + edges.tobytes() + prior.tobytes() + codes.tobytes()
        done = subprocess.run([tmp_path / "a"], input=given, capture_output=True)
        assert done.returncode == 0
        assert bytes.fromhex(done.stdout.decode()) == stream_of(codes, calibration, start, bool(delta)), size


def stream_of(codes: np.ndarray, calibration: Calibration | None = None, start: int = 77, delta: bool = True) -> bytes:
    """What the package writes for one lane."""
    used = calibration or n1()
    predictor = lpc(20, 1, len(codes), used.alphabet, delta=delta, prior=used.prior, scale=deviation(start))
    encoder = range_encoder(1, 1 << 14)
    run(encoder, predictor, narrow(used.edges), scale(1, used.alphabet, start), codes.astype(np.int32), SEGMENT)
    return finish(encoder)[0]


def test_tables_are_up_to_date():
    spec = importlib.util.spec_from_file_location("make_c_tables", SOURCE / "make_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (SOURCE / "tables.h").read_text() == module.make()


def test_what_c_wrote_is_read(programs, wavs, tmp_path):
    wav, _, _ = wavs["three channels"]
    call(program(programs, "native"), "compress", wav, tmp_path / "a.spky")
    decompress_file(tmp_path / "a.spky", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == wav.read_bytes()
