"""Ratio and speed on recordings of several devices, beside the other codecs that laboratories use.

    pip install -e ".[bench,stores]"                             # in the checkout
    python -m tools.device_bench --n1 DIR --generated FILE --real DIR     # writes docs/results.json, "devices"

Runs `spikey bench` on each recording: presets `fast` and `max`, and FLAC, WavPack, pcodec and Blosc in every form in
which their users give them data (unchanged, corrected, on codes). Of each codec the form with the best ratio counts.
Of the challenge's files every fifth is taken, of what `tools.stores --generate` makes the first second. The folder of
real recordings has a folder for each of them, with `meta.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.measured import Recording, command_of, keep, of_devices

# What stands for each kind of device, by the names of the folders.
DEVICES = {
    "np-oe-spikewrap": "Neuropixels 1.0, AP, 385 channels",
    "np2013-with-sync": "Neuropixels 2.0, 385 channels",
    "oe-intan32-cinpla": "Intan, tetrodes, 32 channels",
    "nlx551-tet2": "Neuralynx, a tetrode's 2 channels",
    "oe-example16-cortex": "Open Ephys, 16 channels",
    "biocam100-fw17": "MEA, 100 channels",
}
GENERATED = Recording("generated probe, 384 channels", Path(), (384, 30_000.0, "int16"))
CODECS = {  # titles, and how the names in `spikey bench` begin
    "Spikey `fast`": "spikey fast",
    "Spikey `max`": "spikey max",
    "FLAC": "flac",
    "WavPack": "wavpack",
    "pcodec": "pcodec",
    "Blosc": "blosc",
}


def recordings(arguments: argparse.Namespace) -> Iterator[tuple[Recording, list[str]]]:
    """What is measured, and the options of `spikey bench` that it takes."""
    if arguments.n1 is not None:
        yield Recording("Neuralink N1, 119 recordings", arguments.n1, None), ["--every", "5", "--repeats", "1"]
    if arguments.generated is not None:
        yield GENERATED._replace(path=arguments.generated), ["--seconds", "1", "--repeats", "3"]
    if arguments.real is not None:
        found = {one.name: one for one in of_devices(arguments.real)}
        for name, title in DEVICES.items():
            yield found[name]._replace(name=title), ["--repeats", "3"]


def measure(one: Recording, options: list[str]) -> dict[str, Any]:
    """What `spikey bench` measures on a recording."""
    command = [sys.executable, "-m", "spikey", "bench", str(one.path), *options, "--no-floor", "--json"]
    command += ["--preset", "fast", "--preset", "max"]
    command += ["--peers", "flac, wavpack, pcodec, blosc"]
    if one.raw is not None:
        channels, rate, dtype = one.raw
        command += ["--channels", str(channels), "--rate", str(rate), "--dtype", dtype]
    answer: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return answer


def best_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Ratio, million samples a second encoding and decoding, and name of each codec's best row."""
    found = {}
    for title, start in CODECS.items():
        own = [row for row in rows if row["codec"].lower().startswith(start) and row["compressed"]]
        if own:
            best = max(own, key=lambda row: float(row["ratio"]))
            speeds = [float(f"{best[key]:.3g}") for key in ("encode_ms_s", "decode_ms_s")]
            found[title] = [round(best["ratio"], 4), *speeds, best["codec"]]
    return found


def table(run: dict[str, Any]) -> list[str]:
    """The README's table of devices: ratio, and in parentheses million samples a second to encode and decode."""
    lines = [f"| recording | {' | '.join(CODECS)} |", "|---|" + "---:|" * len(CODECS)]
    for name, found in run["rows"].items():
        best = max(found[codec][0] for codec in CODECS if codec in found)
        cells = []
        for codec in CODECS:
            ratio, encode, decode, _ = found.get(codec, (None, 0, 0, ""))
            bold = "**" if ratio == best else ""
            cells.append("-" if ratio is None else f"{bold}{ratio:.2f}{bold} ({encode:.3g}, {decode:.3g})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--generated", type=Path)
    parser.add_argument("--n1", type=Path)
    arguments = parser.parse_args()
    run: dict[str, Any] = {"command": command_of("device_bench", arguments, "n1", "generated", "real"), "rows": {}}
    for one, options in recordings(arguments):
        answer = measure(one, options)
        run["rows"][one.name] = best_of(answer["rows"])
        run |= {name: answer[name] for name in ("processor", "versions")}
        print(one.name, run["rows"][one.name], flush=True)
    keep("devices", run)


if __name__ == "__main__":
    main()
