"""Mutation fuzzing of everything that reads bytes which Spikey did not write.

Checksums are switched off, so that mutated data reach the kernels; a tenth of the inputs keep them, and then nothing
wrong may come back. A finding is whatever raises anything but Spikey's own errors, ends the process, takes more than
10 s or 800 MB, or gives out what is not in the input.

    python tools/fuzz.py --seconds 60                      # all entry points, a minute together
    python tools/fuzz.py --seconds 3600 --entry file chunk # an hour each
    python tools/fuzz.py --bounds                          # kernels check their indices (compiles anew, slow)
    python tools/fuzz.py --interpreted --entry block       # kernels as Python: an integer that overflows is found
    python tools/fuzz.py --replay tests/kit/fuzz               # what was found once

Findings are kept in `fuzz-findings/ENTRY/`; a small one that is repaired belongs into `tests/kit/fuzz/ENTRY/`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tools")]
SILENT = 180.0  # seconds after which a process that is still at one input has hung
MOST_CRASHES = 5  # of one entry point, after which it is left alone


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description="Mutation fuzzing of every entry point.")
    parser.add_argument("--seconds", type=float, default=60, help="of all entry points together; of each with --entry")
    parser.add_argument("--entry", nargs="+", metavar="NAME", help="entry points; all unless given")
    parser.add_argument("--seed", type=int, default=None, help="the same number gives the same inputs; else random")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for findings")
    parser.add_argument("--bounds", action="store_true", help="NUMBA_BOUNDSCHECK=1, with a cache of its own")
    parser.add_argument("--interpreted", action="store_true", help="NUMBA_DISABLE_JIT=1")
    parser.add_argument("--replay", type=Path, help="give an entry point's inputs in FOLDER/ENTRY/ to it, once")
    parser.add_argument("--list", action="store_true", help="the entry points")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)  # this process does the work
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Run the command; 1 where anything is found."""
    chosen = arguments(given)
    if chosen.bounds:
        os.environ["NUMBA_BOUNDSCHECK"] = "1"
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / "spikey-fuzz-bounds"))
    if chosen.interpreted:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
        os.environ["PYTHONWARNINGS"] = "error:overflow encountered:RuntimeWarning"
    from fuzzing.entries import ENTRIES

    names = chosen.entry or list(ENTRIES)
    if unknown := set(names) - set(ENTRIES):
        print(f"there is no entry point {', '.join(sorted(unknown))}; there are {', '.join(ENTRIES)}", file=sys.stderr)
        return 2
    if chosen.list:
        print("\n".join(ENTRIES))
        return 0
    if chosen.replay is not None:
        return replay(chosen.replay, names)
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    share = chosen.seconds if chosen.entry else chosen.seconds / len(names)
    if chosen.within:
        return max(fuzz(name, share, seed, chosen.keep) for name in names)
    chosen.keep.mkdir(parents=True, exist_ok=True)
    return max(supervised(name, share, seed, chosen) for name in names)


def fuzz(name: str, seconds: float, seed: int, keep: Path | None) -> int:
    """Fuzz one entry point in this process; 1 where anything is found."""
    from fuzzing.campaign import run
    from fuzzing.entries import ENTRIES

    outcome = run(ENTRIES[name], seconds, seed, keep, lambda line: print(line, flush=True))
    print(
        f"{name}: {outcome.tried:,} inputs, {outcome.decoded:,} decoded, {outcome.refused:,} refused, "
        f"{len(outcome.findings)} findings (seed {seed})",
        flush=True,
    )
    return int(bool(outcome.findings))


def supervised(name: str, seconds: float, seed: int, chosen: argparse.Namespace) -> int:
    """`fuzz` in a process of its own: an input that ends it, or at which it hangs, is kept, and another one goes on."""
    end, found = time.monotonic() + seconds, 0
    for number in range(MOST_CRASHES):
        left = end - time.monotonic()
        if number and left < 1:
            break
        command = [sys.executable, __file__, "--within", "--entry", name, "--seconds", str(max(left, 1))]
        command += ["--seed", str(seed + 1_000_003 * number), "--keep", str(chosen.keep)]
        current = chosen.keep / f"{name}.current"
        current.unlink(missing_ok=True)
        process = subprocess.Popen(command)
        try:
            status = _ended(process, current)
        except BaseException:
            process.kill()
            raise
        if status in (0, 1):
            return max(found, status)
        found = 1
        if not current.exists():
            print(f"{name}: ended with status {status} before the first input", flush=True)
            return 1
        target = chosen.keep / name / f"{'hang' if status is None else 'crash'}-{number}-{seed}"
        target.parent.mkdir(exist_ok=True)
        current.replace(target)
        print(f"{name}: {'hung' if status is None else f'ended with status {status}'}: {target}", flush=True)
    return found


def _ended(process: subprocess.Popen[bytes], current: Path) -> int | None:
    """The status with which a process ends; None where it had to be ended, as it had hung."""
    while True:
        try:
            return process.wait(1)
        except subprocess.TimeoutExpired:
            pass
        try:
            idle = time.time() - current.stat().st_mtime
        except OSError:  # it is starting, or writing
            continue
        if idle > SILENT:
            process.kill()
            process.wait()
            return None


def replay(folder: Path, names: list[str]) -> int:
    """Give kept inputs to their entry points; 1 where one still does what it should not."""
    from fuzzing.campaign import attempt
    from fuzzing.entries import ENTRIES

    bad = count = 0
    for name in names:
        for path in sorted((folder / name).glob("*")):
            for checked in (False, True):
                finding, _ = attempt(ENTRIES[name], path.read_bytes(), checked)
                if finding is not None:
                    bad += 1
                    print(f"{path}: {finding.kind}: {finding.detail}", flush=True)
            count += 1
    print(f"{count} inputs, {bad} findings")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
