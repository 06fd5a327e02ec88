"""Measure what code widths save: files of preset fast with and without a calibration.

    python -m tools.code_widths --real DIR      # writes docs/results.json, "code_widths"
    python -m tools.docs_tables                 # the tables of docs/calibration.md

DIR is as of `tools.record_sizes`. Sizes are those of `.spky` files, tables counted. `crossed`: each recording of a
shipped table with a table that is fitted on the family's other recordings alone, as if that were the shipped one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from spikey.container.reader import Reader
from spikey.container.records import CALIBRATION
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.model.calibration import Calibration
from tools import fit_calibrations, record_sizes
from tools.measured import Recording, keep


def size(recording: Recording, calibration: Calibration | str) -> dict[str, Any]:
    """Bytes and seconds of a recording's file, and of the table in it; what the table is."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "a.spky")
        began = time.perf_counter()
        compress_file(recording.path, out, Settings(raw=recording.raw, calibration=calibration, verify=False))
        seconds = time.perf_counter() - began
        with Reader(out) as reader:
            found = reader.calibration()
            table = len(reader.header.record(CALIBRATION) or b"")
            samples = reader.frames * reader.layout.channels
        bytes_in_all = out.stat().st_size
    words = "" if found is None else found.words()
    return {"bytes": bytes_in_all, "table": table, "words": words, "samples": samples, "seconds": round(seconds, 2)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="recordings of other devices")
    arguments = parser.parse_args()
    rows: dict[str, Any] = {}
    wanted = argparse.Namespace(real=arguments.real, locust=None, n1=None)
    with tempfile.TemporaryDirectory() as folder:
        known = [each for each in record_sizes.recordings(wanted, Path(folder)) if each.name != "generated"]
        for recording in known:
            size(recording, "auto")  # compiles, and reads the file once
            plain, auto = size(recording, "none"), size(recording, "auto")
            rows[recording.name] = {"original": recording.path.stat().st_size, "none": plain, "auto": auto}
            print(recording.name, plain["bytes"], auto["bytes"], auto["words"], flush=True)
        crossed = {}
        for names, metadata in fit_calibrations.FAMILIES.values():
            for name in names:
                others = [arguments.real / each for each in names if each != name]
                found = size(next(each for each in known if each.name == name), fit_calibrations.fit(others, metadata))
                crossed[name] = found["bytes"] - found["table"]
                print(name, "with the table of", *others, crossed[name], flush=True)
    keep("code_widths", {"rows": rows, "crossed": crossed})


if __name__ == "__main__":
    main()
