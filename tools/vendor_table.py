"""What becomes of sessions of vendors: whether they come back byte for byte, and how small they get.

    python -m tools.vendor_table FOLDER      # writes docs/results.json, "vendors"

FOLDER has the sessions below, as far as they are there. Each is compressed with `spikey compress`, restored with
`spikey decompress`, and every file compared. Sizes count all files that are restored, and everything that is written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tools.measured import keep, revision


class Session(NamedTuple):
    """A real session: the format, and where it lies below the folder."""

    format: str
    place: str


SESSIONS = (
    Session("spikeglx", "spikeglx/Noise4Sam_g0"),
    Session("spikeglx", "spikeglx/NP2_with_sync"),
    Session("open-ephys-binary", "openephysbinary/v0.6.x_neuropixels_multiexp_multistream"),
    Session("open-ephys-legacy", "openephys/OpenEphys_SampleData_2_(multiple_starts)"),
    Session("intan-signals", "intan/intan_fps_test_231117_052500"),
    Session("intan-channels", "intan/intan_fpc_test_231117_052630"),
    Session("neuralynx", "neuralynx/Cheetah_v5.4.0/original_data"),
    Session("blackrock", "blackrock/blackrock_2_1/l101210-001.ns2"),
    Session("blackrock", "blackrock/segment/PauseCorrect"),
    Session("axon", "axon"),
)


def spikey(*arguments: str | Path) -> Any:
    """What `spikey --json` writes."""
    command = [sys.executable, "-W", "ignore", "-m", "spikey", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(session: Path, folder: Path) -> dict[str, Any]:
    """Bytes of a session and of its outputs, and how many of its files differ when they are restored."""
    done = spikey("compress", session, f"{folder}/packed/")
    spikey("decompress", folder / "packed", f"{folder}/back/")
    home = session if session.is_dir() else session.parent
    back = folder / "back" / session.name if session.is_dir() else folder / "back"
    restored = [path for path in back.rglob("*") if path.is_file()]
    same = [path for path in restored if path.read_bytes() == (home / path.relative_to(back)).read_bytes()]
    return {
        "bytes": sum(path.stat().st_size for path in same),
        "packed": sum(path.stat().st_size for path in (folder / "packed").rglob("*.spky")),
        "files": len(same),
        "differing": len(restored) - len(same),
        "not_stored": len(done["not_stored"]) if session.is_dir() else 0,
    }


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    rows = []
    for session in SESSIONS:
        if (arguments.folder / session.place).exists():
            with tempfile.TemporaryDirectory() as folder:
                found = measure(arguments.folder / session.place, Path(folder))
            rows.append({"format": session.format, "session": session.place} | found)
            print(json.dumps(rows[-1]), flush=True)
    keep("vendors", {"command": "python -m tools.vendor_table FOLDER", "revision": revision(), "rows": rows})


if __name__ == "__main__":
    main()
