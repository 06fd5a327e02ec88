"""Simulated recordings of every class of device, and what becomes of each: `python -m tools.device_table`.

Each comes with the plain form of the same information: codes from 0 on, in steps of one. What a device's own form of
samples costs is the difference; of a channel that holds less than a neural signal there is no plain form.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import spikey
from spikey.base.errors import SpikeyError
from spikey.codec.calibration_policy import AUTO, choose_calibration
from spikey.codec.method import LPC
from spikey.files.arrays import compress_with
from spikey.files.settings import Settings
from spikey.recording.layout import Layout, pack
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate

RATE = 30_000
REPEATS = 5
LPC_FILE = Settings(predictor="lpc")


@dataclass(frozen=True)
class Case:
    """A recording (frames, channels) of a class of devices; plain: the same information as plain codes, or None."""

    device: str
    samples: np.ndarray
    plain: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """What became of a case: the levels found, bits per sample, those of its plain form, ratio, million samples/s, and
    the seconds that looking for a calibration took.
    """

    case: Case
    levels: list[str]
    bits: float
    plain_bits: float | None
    ratio: float
    encode: float
    decode: float
    look: float


def cases(frames: int = 60_000, channels: int = 16, many: int = 5_000) -> Iterator[Case]:
    """One recording of each class; `many`: the channels of the widest."""
    codes = simulate(frames, channels, seed=1, profile="neuropixels", step=1)
    random = np.random.default_rng(1)

    def finer(bits: int) -> np.ndarray:
        """As a converter of so many bits more sees the same signal, int32."""
        return (codes.astype(np.int32) << bits) + random.integers(0, 1 << bits, codes.shape, dtype=np.int32)

    ten, twelve, sixteen, deep = codes, finer(2).astype(np.int16), finer(6), finer(12)
    yield Case("10 bits (Neuropixels)", ten, ten)
    yield Case("steps of 3", 3 * ten, ten)
    yield Case("steps of 12", 12 * ten, ten)
    yield Case("uint16 around 32,768 (Intan)", (sixteen + 32_768).astype(np.uint16), sixteen)
    yield Case("12 bits", twelve, twelve)
    yield Case("12 bits in the upper of 16", 16 * twelve, twelve)
    yield Case("14 bits in the upper of 16", 4 * finer(4).astype(np.int16), finer(4))
    yield Case("24 bits", deep, deep)
    yield Case("DNL (N1)", simulate(frames, channels, seed=1))

    odd, blanked = 12 * ten, 12 * ten
    odd[frames // 2] += 5
    for start in range(0, frames, 3000):
        blanked[start : start + 90] = -32_768
    yield Case("steps of 12, one sample of each channel off them", odd, ten)
    yield Case("steps of 12, 3 % blanked with -32,768", blanked)

    line = 64 * (np.arange(frames) // min(RATE // 2, frames // 4) % 2).astype(np.int16)[:, None]
    word = np.repeat(random.integers(0, 256, frames // 500 + 1), 500)[:frames].astype(np.int16)[:, None]
    silent, clipped = ten.copy(), ten.astype(np.int32)
    silent[:, ::2] = 7
    clipped += (900 * np.sin(np.arange(frames) * (12 / frames))).astype(np.int32)[:, None]
    yield Case("a digital sync line alone", line)
    yield Case("an 8-bit digital word alone", word)
    yield Case("neural and a sync line in one file", np.concatenate([ten[:, 1:], line], axis=1))
    yield Case("every second channel dead", silent)
    yield Case("saturated half of the time", np.clip(clipped, -512, 511).astype(np.int16))
    short = min(frames, 3000)
    wide = np.tile(ten[:short], (1, -(-many // channels)))[:, :many]
    yield Case(f"{many:,} channels", np.ascontiguousarray(wide), wide)

    single = np.float32
    yield Case("float32 microvolts, 0.195 a code", ten.astype(single) * single(0.195), ten)
    unsigned = (ten.astype(single) + single(32_768)) * single(0.195) + single(-6389.76)
    yield Case("float32 microvolts of an unsigned converter", unsigned, ten)
    yield Case("float32 parts of full scale", ten.astype(single) / single(32_768), ten)
    yield Case("float64 microvolts, 0.195 a code", ten * 0.195, ten)
    filtered = ten * 0.195 - 0.77 * np.roll(ten, 1, axis=0) * 0.1951234
    yield Case("true float32 (filtered)", filtered.astype(single))


def measure(case: Case, repeats: int = REPEATS) -> Row:
    """Compress with the predictor lpc, restore and compare; the best times of `repeats`, one thread.

    The speed is that of a long recording: the look for a calibration, once for each, is timed apart.
    """
    samples = case.samples
    encode = decode = look = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        data = compress_with(samples, RATE, Settings(predictor="lpc", calibration=None))
        middle = time.perf_counter()
        restored = spikey.decompress(data).samples
        end = time.perf_counter()
        choose_calibration(AUTO, ArraySource(samples, RATE), LPC)
        look = min(look, time.perf_counter() - end)
        encode, decode = min(encode, middle - start), min(decode, end - middle)
    layout = Layout(samples.shape[1], RATE, str(samples.dtype))
    if pack(restored, layout) != pack(samples, layout):
        raise SpikeyError(f"{case.device}: is not restored; please report this")
    data = compress_with(samples, RATE, LPC_FILE)
    plain = None if case.plain is None else compress_with(case.plain, RATE, LPC_FILE)
    with spikey.open(data) as reader:
        levels = reader.levels(reader.structure.blocks[0])
    return Row(
        case,
        levels,
        8 * len(data) / samples.size,
        None if plain is None else 8 * len(plain) / samples.size,
        samples.nbytes / len(data),
        samples.size / encode / 1e6,
        samples.size / decode / 1e6,
        look,
    )


def main() -> None:
    """Print the table, as Markdown."""
    measure(next(cases(3000)), 1)  # compiles
    print(
        "| device | type | detected (first channel) | ratio | bits per sample | plain codes | encode | decode "
        "| look, s |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for case in cases():
        row = measure(case)
        found = row.levels[0] if row.levels else "no grid: general method"
        plain = "" if row.plain_bits is None else f"{row.plain_bits:.3f}"
        print(
            f"| {case.device} | {case.samples.dtype} | {found} | {row.ratio:,.2f} | {row.bits:.3f} | {plain} | "
            f"{row.encode:.1f} | {row.decode:.1f} | {row.look:.2f} |"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
