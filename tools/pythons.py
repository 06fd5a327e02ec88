"""Which Pythons this machine has: `python tools/pythons.py newest`, `others` or `3.12`.

`newest` prints the version of the newest that runs, up to the newest that requirements-new.txt was tried with; `others`
all versions but that of the Python that asks; a version prints the path of that Python. `$PYTHON_NEW`, where it is set,
is the newest whatever its version. A shim that starts nothing does not count, nor does a Python without `venv`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TRIED = ("3.13", "3.12", "3.11")
PROBE = "import ensurepip, ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"  # what a virtual environment needs


def version_of(python: str) -> str | None:
    """The version of a Python, as "3.13"; None where it does not run, or cannot make environments."""
    try:
        done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def found() -> dict[str, str]:
    """The path of a Python of each version that runs, the newest first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    pythons: dict[str, str] = {}
    for version in TRIED:
        named = shutil.which(f"python{version}")
        installed = sorted(pyenv.glob(f"{version}*/bin/python{version}"), key=_patch, reverse=True)
        candidates = [*([named] if named else []), *map(str, installed)]
        candidates += [sys.executable] if _own() == version else []
        path = next((each for each in candidates if version_of(each) == version), None)
        if path is not None:
            pythons[version] = path
    if asked := os.environ.get("PYTHON_NEW"):
        answer = version_of(asked)
        if answer is None:
            sys.exit(f"PYTHON_NEW={asked}: is not a Python that runs and has venv; name another, or unset it")
        return {answer: asked} | {other: path for other, path in pythons.items() if other != answer}
    return pythons


def _patch(path: Path) -> list[int]:
    """The numbers of pyenv's folder `3.13.2`, to sort by."""
    return [int(part) if part.isdigit() else -1 for part in path.parents[1].name.split(".")]


def _own() -> str:
    return "{}.{}".format(*sys.version_info[:2])


def main(what: str) -> None:
    """Print what is asked for."""
    pythons = found()
    if what == "newest":
        print(next(iter(pythons)))
    elif what == "others":
        print(*(version for version in pythons if version != _own()))
    elif what in pythons:
        print(pythons[what])
    else:
        sys.exit(f"no Python {what} that runs and has venv is on the PATH or in pyenv's folder")


if __name__ == "__main__":
    main(sys.argv[1])
