"""`spikey demo`: compress and restore a simulated recording."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from spikey.base.errors import SpikeyError


def command(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder for the files.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated recording.", min=0)] = 0,
    config: Annotated[Path, typer.Option(help="Configuration file; a missing one is not used.")] = Path("config.yaml"),
) -> None:
    """Compress and restore a simulated recording, compare every byte, draw the prediction.

    Examples
    --------
    spikey demo
    """
    from spikey.codec.registry import ranked
    from spikey.recording.wav import open_wav
    from spikey.report.bench.measure import codecs, measure
    from spikey.report.picture import draw_prediction
    from spikey.report.probe import trace

    folder.mkdir(parents=True, exist_ok=True)
    wav, packed, restored = folder / "recording.wav", folder / "recording.bin", folder / "restored.wav"
    program = [sys.executable, "cli.py"] if Path("cli.py").exists() else [sys.executable, "-m", "spikey"]
    configured = ["--config", str(config)] if config.exists() else []

    def run(*arguments: str) -> float:
        typer.echo(f"$ {' '.join(['python', *program[1:], *arguments])}")
        start = time.perf_counter()
        if subprocess.run([*program, *arguments], check=False).returncode:
            raise SpikeyError("the demo failed; see the error above")
        return time.perf_counter() - start

    files = ["--input_file", str(wav), "--output_file", str(packed)]
    back = ["--input_file", str(packed), "--output_file", str(restored)]
    if not _is_simulated(wav, seed):
        run("simulate", str(wav), "--seed", str(seed))  # refuses to replace another recording
    run("compress", *configured, *files)  # compiles on a fresh machine
    seconds = run("compress", *configured, *files), run("decompress", *configured, *back)
    original = wav.read_bytes()
    if restored.read_bytes() != original:
        raise SpikeyError(f"{restored} differs from {wav}")
    size = packed.stat().st_size
    with open_wav(wav) as source:
        samples = source.read(0, source.frames)[:, 0]
        positions, predictions, residuals = trace(samples)
        picture = folder / "prediction.png"
        later = slice(len(positions) // 2, None)  # after the predictor has adapted
        arrays = positions[later], predictions[later], residuals[later]
        draw_prediction(picture, *arrays, source.layout.rate, "Simulated N1 recording, after 2.5 s")
        typer.echo(
            f"\nidentical, byte for byte: {len(original):,} bytes as {size:,}, ratio {len(original) / size:.3f}, "
            f"{8 * size / source.frames:.3f} bits per sample"
        )
    typer.echo(
        f"whole processes: compress and verify {seconds[0]:.2f} s, decompress {seconds[1]:.2f} s, mostly to start "
        "Python; inside one process:"
    )
    for result in measure([wav], codecs(ranked(), "pcodec conv1(16)")):
        row = result.row()
        typer.echo(
            f"  {row['codec']:34} ratio {row['ratio']:.3f}, encode {row['encode_ms_s']:5.1f} and "
            f"decode {row['decode_ms_s']:5.1f} million samples/s"
        )
    typer.echo(f"picture of signal, prediction and residual: {picture}")


def _is_simulated(path: Path, seed: int) -> bool:
    """Whether a file is the recording that an earlier demo simulated."""
    from spikey.recording.layout import Layout, pack
    from spikey.recording.simulate import rate_of, simulate
    from spikey.recording.wav import canonical_head

    if not path.exists():
        return False
    layout = Layout(1, rate_of("n1"), "int16")
    frames = round(5.0 * layout.rate)
    samples = simulate(frames, 1, layout.rate, seed, profile="n1")
    return path.read_bytes() == canonical_head(layout, frames) + pack(samples, layout)
