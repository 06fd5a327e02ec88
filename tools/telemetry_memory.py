"""What decoding telemetry takes of memory, `python -m tools.telemetry_memory`: files of some lengths, into each form.

A recording is simulated, repeated to each length, encoded at the budget, and decoded by a process of its own for each
form, whose largest resident memory the system reports. `iter` only counts events; `read` holds all arrays; `all` writes
all forms but WAV, which is large, together.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import spikey
from spikey.recording.simulate import simulate

RATE = 20_000.0
SIMULATED = 10  # seconds, which are repeated
TOGETHER = ("csv", "npz", "zarr", "nwb")
FORMS = ("iter", "read", "check", "info", *TOGETHER, "wav", "all")
CALLS = {
    "iter": "import sys, spikey; sum(len(part.event_frames) for part in spikey.iter_telemetry(sys.argv[1]))",
    "read": "import sys, spikey; spikey.read_telemetry(sys.argv[1])",
}


def encode(path: Path, minutes: float, channels: int, settings: spikey.TelemetrySettings) -> None:
    """A telemetry file of so many minutes."""
    samples = simulate(round(SIMULATED * RATE), channels, RATE, seed=0)
    encoder = spikey.TelemetryEncoder(channels, RATE, settings=settings, stream=1)
    left = round(minutes * 60 * RATE)
    with open(path, "wb") as file:
        file.write(b"SPKT")
        while left > 0:
            some = samples[:left]
            file.writelines(encoder.push(some))
            left -= len(some)
        file.writelines(encoder.close())


def command(form: str, source: Path, folder: Path) -> list[str]:
    """What runs a form."""
    if form in CALLS:
        return [sys.executable, "-c", CALLS[form], str(source)]
    spikey_command = [sys.executable, "-m", "spikey"]
    if form in ("check", "info"):
        return [*spikey_command, {"check": "verify"}.get(form, form), str(source)]
    outputs = [
        word for each in (TOGETHER if form == "all" else (form,)) for word in (f"--{each}", f"{folder}/out.{each}")
    ]
    return [*spikey_command, "telemetry", "decode", str(source), *outputs]


def measure(arguments: list[str]) -> tuple[int, float]:
    """The largest resident memory of a process, in bytes, and the seconds that it took."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    words = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {words}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), time.perf_counter() - start


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10], help="lengths of the files")
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--budget", type=float, default=1e6, help="bit/s")
    parser.add_argument("--packet-ms", type=float, help="of a packet; long ones are decoded faster")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--files", type=Path, nargs="+", help="measure these telemetry files instead")
    parser.add_argument("--folder", type=Path, help="where outputs are written; default: a temporary one")
    arguments = parser.parse_args()
    settings = spikey.TelemetrySettings(budget=arguments.budget, packet_ms=arguments.packet_ms)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        files = arguments.files or [folder / f"{minutes:g} min.spkt" for minutes in arguments.minutes]
        for path, minutes in zip(files, [] if arguments.files else arguments.minutes, strict=False):
            # In a process of its own: one that has held much counts as large in those that it starts.
            encoder = multiprocessing.get_context("spawn").Process(
                target=encode, args=(path, minutes, arguments.channels, settings)
            )
            encoder.start()
            encoder.join()
            if encoder.exitcode:
                raise SystemExit(f"{path}: could not be encoded")
        measure(command("info", files[0], folder))  # compiles what is not yet
        print(f"{'MB at most, and seconds':24}" + "".join(f"{path.stem:>18}" for path in files))
        for form in arguments.forms:
            cells = []
            for path in files:
                held, took = measure(command(form, path, folder))
                cells.append(f"{held / 1e6:,.0f} MB {took:6.0f} s")
                shutil.rmtree(folder / "out.zarr", ignore_errors=True)
                for each in folder.glob("out.*"):
                    each.unlink()
            print(f"{form:24}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
