"""What near-lossless and hybrid files gain and lose on real recordings: `python -m tools.near_table DATA`.

Prints a table as Markdown: ratio and bits per sample of all files together, the largest error of any sample in codes,
the middle signal-to-noise ratio of the files, and the ratio with the correction file. WavPack's hybrid mode stands
beside it where the program is there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spikey.base.errors import DataError, SpikeyError
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.levels.quantised import Bins, find_axes
from spikey.lossy.near_lossless import hybrid, near_lossless, restore
from spikey.recording.wav import open_wav

ERRORS = (1, 2, 4, 8)
BITS = (3.0, 2.5, 2.0)


@dataclass
class Row:
    """What became of all files in one mode. original, compressed, corrections: bytes; noise ratios in dB."""

    name: str
    original: int = 0
    samples: int = 0
    compressed: int = 0
    corrections: int = 0
    largest: int = 0
    ratios: list[float] = field(default_factory=list)

    def markdown(self) -> str:
        """The row of the table."""
        whole = f"{self.original / (self.compressed + self.corrections):.3f}" if self.corrections else ""
        noise = f"{np.median(self.ratios):.1f}" if self.ratios else ""
        return (
            f"| {self.name} | {self.original / self.compressed:.3f} | {8 * self.compressed / self.samples:.3f} | "
            f"{self.largest} | {noise} | {whole} |"
        )


Written = tuple[int, int]  # bytes of the file, and of its correction
Mode = Callable[[Path, Path, Path, Path], Written]  # recording, file to write, correction to write, restored recording


def modes(preset: str) -> dict[str, Mode]:
    """Every mode by its name."""
    settings = Settings(preset=preset)

    def lossless(path: Path, out: Path, beside: Path, restored: Path) -> Written:
        shutil.copy(path, restored)
        return compress_file(path, out, settings).compressed, 0

    def near(error: int) -> Mode:
        def write(path: Path, out: Path, beside: Path, restored: Path) -> Written:
            written = near_lossless(path, out, error, settings)
            restore(out, restored)
            return written.outcome.compressed, 0

        return write

    def within(bits: float) -> Mode:
        def write(path: Path, out: Path, beside: Path, restored: Path) -> Written:
            written = hybrid(path, out, bits, settings, correction=beside)
            restore(out, restored)
            return written.outcome.compressed, written.correction.compressed if written.correction else 0

        return write

    found: dict[str, Mode] = {f"lossless, {preset}": lossless}
    found |= {f"near-lossless, k = {error}": near(error) for error in ERRORS}
    found |= {f"hybrid, {bits:g} bits": within(bits) for bits in BITS}
    if shutil.which("wavpack") and shutil.which("wvunpack"):
        found |= {f"WavPack -hh -x6 -b{bits:g} -c": _wavpack(bits) for bits in BITS}
    return found


def _wavpack(bits: float) -> Mode:
    def write(path: Path, out: Path, beside: Path, restored: Path) -> Written:
        packed = out.with_suffix(".wv")
        _run("wavpack", "-hh", "-x6", f"-b{bits:g}", "-c", "-q", "-y", str(path), "-o", str(packed))
        _run("wvunpack", "-i", "-q", "-y", str(packed), "-o", str(restored))
        return packed.stat().st_size, packed.with_suffix(".wvc").stat().st_size

    return write


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SpikeyError(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")


def measure(paths: list[Path], preset: str = "balanced", progress: Callable[[Path], None] | None = None) -> list[Row]:
    """Every mode on every file, decoded from what was written and compared with the recording."""
    rows = {name: Row(name) for name in modes(preset)}
    for path in paths:
        with open_wav(path) as source:
            samples = source.read(0, source.frames)
            codes = Bins("hybrid", 0, ((0, 1),), find_axes(source))
        power = float(samples.astype(np.float64).var(axis=0).sum())
        for name, mode in modes(preset).items():
            with tempfile.TemporaryDirectory() as folder:
                out, beside, restored = (Path(folder) / part for part in ("a.spky", "a.fix.spky", "a.wav"))
                size, correction = mode(path, out, beside, restored)
                with open_wav(restored) as decoded:
                    others = decoded.read(0, decoded.frames)
            row = rows[name]
            row.original += path.stat().st_size
            row.samples += samples.size
            row.compressed += size
            row.corrections += correction
            row.largest = max(row.largest, int(codes.errors(samples, others).max(initial=0)))
            noise = float(((samples.astype(np.float64) - others) ** 2).mean(axis=0).sum())
            if noise and power:
                row.ratios.append(10 * float(np.log10(power / noise)))
        if progress is not None:
            progress(path)
    return list(rows.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="a folder of WAV files")
    parser.add_argument("--every", type=int, default=1, help="take the first of every so many files, sorted by name")
    parser.add_argument("--preset", default="balanced")
    options = parser.parse_args()
    paths = sorted(options.folder.rglob("*.wav"))[:: max(options.every, 1)]
    if not paths:
        raise DataError(f"{options.folder}: holds no WAV files")
    rows = measure(paths, options.preset, lambda path: print(path.name, file=sys.stderr))
    print(f"{len(paths)} files, {rows[0].original:,} bytes, {rows[0].samples:,} samples\n")
    print("| mode | ratio | bits per sample | largest error, codes | SNR, dB | ratio with the correction |")
    print("|---|---:|---:|---:|---:|---:|")
    for row in rows:
        print(row.markdown())


if __name__ == "__main__":
    try:
        main()
    except SpikeyError as error:
        sys.exit(f"spikey: {error}")
