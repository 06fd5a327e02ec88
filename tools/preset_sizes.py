"""What each preset makes of each recording, and how long it takes on one core.

    python -m tools.preset_sizes --real DIR --locust FILE [--n1 DIR]      # writes docs/results.json, "preset_sizes"

The bytes of the `.spky` file that `spikey compress --preset P` writes, everything counted, of the recordings that
`tools.record_sizes` describes; of the WAV files of --n1 every fifth, all together. Beside them the file of the preset
`archive` of earlier versions ("sizes" there). Time is that of the processor, so that other work hardly counts, with
kernels compiled, without reading back; hours for a terabyte are those of its 16-bit samples, encoded and decoded.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spikey
from spikey.codec.registry import ranked
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from tools.measured import Recording, command_of, keep, revision
from tools.record_sizes import recordings

TIMED = ("generated", "N1, every fifth file")  # of which the speed counts


def sets(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Recording]]]:
    """Recordings one by one, and those of the N1 together."""
    n1 = arguments.n1
    arguments.n1 = None
    for one in recordings(arguments, folder):
        yield one.name, [one]
    if n1 is not None:
        yield TIMED[1], [Recording(path.name, path, None) for path in sorted(n1.glob("*.wav"))[::5]]


def measure(some: list[Recording], preset: str, folder: Path) -> dict[str, Any]:
    """Bytes of the files, samples, and seconds of the processor for encoding and decoding."""
    found = {"bytes": 0, "samples": 0, "encode": 0.0, "decode": 0.0}
    for one in some:
        out, began = folder / "out.spky", time.process_time()
        done = compress_file(one.path, out, Settings(preset=preset, raw=one.raw, verify=False), overwrite=True)
        found["encode"] += time.process_time() - began
        found["bytes"] += done.compressed
        found["samples"] += done.samples
        began = time.process_time()
        with spikey.open(out) as reader:
            reader.read(0, reader.frames)
        found["decode"] += time.process_time() - began
    return found


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--locust", type=Path)
    parser.add_argument("--n1", type=Path)
    arguments = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, some in sets(arguments, Path(folder)):
            for preset in ranked():
                measure(some[:1], preset, Path(folder))  # compiles
            rows[name] = {preset: measure(some, preset, Path(folder)) for preset in ranked()}
            print(name, *(row["bytes"] for row in rows[name].values()), flush=True)
    command = command_of("preset_sizes", arguments, "real", "locust", "n1")
    keep("preset_sizes", {"command": command, "commit": revision(), "recordings": rows})


if __name__ == "__main__":
    main()
