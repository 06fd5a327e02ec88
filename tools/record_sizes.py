"""Record the compressed sizes of recordings, whole and in chunks of 1,000 frames, that later versions compare with.

    python -m tools.record_sizes --real DIR --locust FILE --n1 DIR      # writes docs/results.json, "sizes"

Whole: the bytes of the `.spky` file that `spikey compress --preset P` writes (estimated calibrations and all headers
counted). Chunks: the sum over `encode_chunk` of 1,000 frames at a time, as codecs of stores do. DIR of --real holds a
folder for each recording with `meta.json` (file, channels, rate, dtype); DIR of --n1 the WAV files of the challenge. A
recording of 384 channels is generated (`tools.store_cases.generated`, one second).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from spikey.files.compress import compress_file, open_recording
from spikey.files.settings import Settings
from spikey.integrations.chunk import Options, encode_chunk
from tools.measured import Recording, command_of, keep, of_devices, revision
from tools.store_cases import generated

PRESETS = ("fast", "balanced", "max")
CHUNK = 1000  # frames


def recordings(arguments: argparse.Namespace, folder: Path) -> Iterator[Recording]:
    """All recordings that the command line names; a generated one is written into `folder`."""
    if arguments.real is not None:
        yield from of_devices(arguments.real)
    if arguments.locust is not None:
        yield Recording("locust", arguments.locust, (4, 15_000.0, "int16"))
    case = generated(folder, seconds=1)
    yield Recording("generated", case.path, (case.channels, float(case.rate), "int16"))
    if arguments.n1 is not None:
        for path in sorted(arguments.n1.glob("*.wav")):
            yield Recording(path.name, path, None)


def sizes(recording: Recording, presets: tuple[str, ...] = PRESETS) -> dict[str, Any]:
    """Bytes of the samples, and by preset of the file and of its chunks."""
    found: dict[str, Any] = {"samples": 0, "whole": {}, "chunks": {}}
    settings = Settings(raw=recording.raw, verify=False)
    with open_recording(recording.path, settings) as source, tempfile.TemporaryDirectory() as folder:
        found["samples"] = source.frames * source.layout.frame_bytes
        for preset in presets:
            chosen = Settings(preset=preset, raw=recording.raw, verify=False)
            found["whole"][preset] = compress_file(recording.path, Path(folder, preset), chosen).compressed
            options, total = Options(preset=preset, verify=False), 0
            for at in range(0, source.frames, CHUNK):
                total += len(encode_chunk(source.read(at, min(CHUNK, source.frames - at)), options))
            found["chunks"][preset] = total
    return found


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--locust", type=Path)
    parser.add_argument("--n1", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(arguments.jobs) as pool:
        listed = list(recordings(arguments, Path(folder)))
        rows = dict(zip([each.name for each in listed], pool.map(sizes, listed), strict=True))
    columns = ["samples", *(f"{how} {preset}" for how in ("whole", "chunks") for preset in PRESETS)]
    figures = {
        "command": command_of("record_sizes", arguments, "real", "locust", "n1"),
        "commit": revision(),
        "columns": columns,
        "recordings": {
            name: [row["samples"], *row["whole"].values(), *row["chunks"].values()] for name, row in rows.items()
        },
    }
    keep("sizes", figures)
    for name, row in rows.items():
        print(name, row["samples"], *row["whole"].values(), *row["chunks"].values(), file=sys.stderr)


if __name__ == "__main__":
    main()
