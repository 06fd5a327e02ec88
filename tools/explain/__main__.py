"""Draws what docs/how-it-works.md shows and prints its figures: `python -m tools.explain OUT_FOLDER [A.wav]`.

Without a recording one is simulated, so that anybody gets the same pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spikey.base.errors import InterruptedByUser, SpikeyError
from spikey.cli.common import prepare_kernels, progress_bar
from spikey.recording.output import make_folder, report_output
from tools.explain.figures import lines
from tools.explain.pictures import PICTURES
from tools.explain.recording import WORK, explain
from tools.explain.style import picture, png


def write(folder: Path, recording: Path | None = None) -> list[str]:
    """Write all pictures into a folder, which is made, and return the lines of figures.

    Raises UsageError where matplotlib is missing or the folder cannot be written, DataError for the recording.
    """
    picture("")  # whether there is matplotlib is asked before the work is done
    make_folder(folder)
    prepare_kernels()
    with progress_bar(WORK + len(PICTURES), "steps") as progress:
        found = explain(recording, progress)
        for name, draw in PICTURES.items():
            with report_output(folder / name) as (file, _):
                file.write(png(draw(found)))
            progress(1, name)
    return lines(found)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.explain", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="OUT_FOLDER")
    parser.add_argument(
        "recording", type=Path, nargs="?", metavar="A.wav", help="its first channel; default: simulated"
    )
    given = parser.parse_args(arguments)
    try:
        print("\n".join(write(given.folder, given.recording)))
    except SpikeyError as error:
        sys.stderr.write(f"spikey: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("spikey: interrupted; no unfinished output was kept\n")
        return InterruptedByUser.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
