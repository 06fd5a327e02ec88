"""The recordings of a training: found or downloaded, and split into training and validation recordings."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spikey.base.errors import DataError, UsageError
from spikey.config.schema import Data
from spikey.recording.simultaneous import groups
from spikey.training.download import download
from spikey.training.unzip import Bar, Say, unpack

UNPACKED = "recordings"  # folder in data.directory that an archive is unpacked to


def recordings(data: Data, progress: Bar | None = None, say: Say = lambda text: None) -> list[Path]:
    """The sorted WAV files below `data.directory`, or, where there are none, those of `data.url`.

    An address of a zip archive is downloaded into `data.directory`, a local archive is read where it lies; either is
    unpacked to `data.directory`/recordings, whole or not at all, and a download is deleted once it is. A local folder
    is used as it is. Hidden files and folders and __MACOSX are passed over.

    progress: called with a total, None if unknown, and a unit; returns a context manager that yields a function to call
    with each amount done, as `spikey.cli.common.progress_bar` does. say: called with lines for a person.
    Raises UsageError or DataError, one sentence, where no recordings can be found or fetched.
    """
    bar = progress or _no_bar
    directory = Path(data.directory)
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise UsageError(f"{directory}: data.directory is not a folder")
    found = _wav_files(directory)
    if found:
        return found
    address = _address(data.url)
    if isinstance(address, Path) and address.is_dir():
        found = _wav_files(address)
        if not found:
            raise UsageError(f"{address}: data.url is a folder without WAV files, and {directory} has none either")
        return found
    folder = directory / UNPACKED
    with suppress(OSError):
        folder.rmdir()  # if it is empty
    if os.path.lexists(folder):
        raise UsageError(f"{folder}: exists where the recordings are to be unpacked; move it away")
    if isinstance(address, Path):
        unpack(address, folder, bar, say)
        return _wav_files(directory)
    # The name distinguishes addresses, so that none is continued with the bytes of another.
    target = directory / f"download-{hashlib.sha256(address.encode(errors='backslashreplace')).hexdigest()[:12]}.zip"
    if not target.exists():
        say(f"{directory} contains no WAV files; downloading {address}")
        download(address, target, bar, say)
    try:
        unpack(target, folder, bar, say)
    except DataError as error:
        target.unlink(missing_ok=True)
        raise DataError(f"{error.text}; the download from {address} is deleted again", code=error.code) from None
    target.unlink(missing_ok=True)
    return _wav_files(directory)


def split(paths: list[Path], ratio: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Split WAV files into training files, `ratio` of them or a little less, and validation files; both are sorted.

    Simultaneous recordings stay together. The split depends on nothing but `seed`, the paths
    below the folder that all are in, and the recordings themselves. Raises UsageError where that leaves one side empty,
    DataError, naming the file, for a recording that cannot be read.
    """
    if not 0 < ratio < 1:
        raise UsageError(f"the fraction of recordings to train on is between 0 and 1, not {ratio}")
    files = sorted(set(paths), key=Path.as_posix)
    together = groups(files)
    if not files:
        raise UsageError("there are no recordings to split")
    if len(files) == 1:
        raise UsageError(f"{files[0]}: is the only recording, and it takes two, one to train and one to validate")
    if len(together) == 1:
        raise UsageError(
            f"{files[0].parent}: all {len(files)} recordings are simultaneous, so that none of them can "
            "validate what is learned from the others"
        )
    root = os.path.commonpath([os.path.abspath(file.parent) for file in files])

    def lot(group: list[Path]) -> bytes:
        name = Path(os.path.relpath(group[0], root)).as_posix()
        return hashlib.sha256(f"{seed}/{name}".encode(errors="backslashreplace")).digest()

    together.sort(key=lot)
    wanted = min(max(round(ratio * len(files)), 1), len(files) - 1)
    training: set[Path] = set()
    for group in together:
        if len(training) + len(group) <= wanted:
            training.update(group)
    if not training:
        smallest = min(len(group) for group in together)
        training.update(next(group for group in together if len(group) == smallest))
    return [file for file in files if file in training], [file for file in files if file not in training]


def _wav_files(folder: Path) -> list[Path]:
    """All WAV files below a folder, sorted; none where there is no folder."""

    def wanted(path: Path) -> bool:
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)
        return path.suffix.lower() == ".wav" and not hidden and os.path.isfile(path)

    return sorted(filter(wanted, folder.rglob("*")), key=Path.as_posix)


def _address(url: str) -> Path | str:
    """`data.url` as a path that exists, or as an http or https address; UsageError where it is neither."""
    scheme, separator, _ = url.partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        path = Path(url)
    elif scheme in ("http", "https"):
        return url
    elif scheme == "file":
        host, slash, rest = url[len("file://") :].partition("/")
        if host not in ("", "localhost"):
            raise UsageError(f"{url}: data.url names another machine; a local file is file:///path, or the path alone")
        path = Path(urllib.request.url2pathname(slash + rest))
    else:
        raise UsageError(f"{url}: data.url is of a kind that cannot be fetched; http, https, file and paths can")
    if os.path.exists(path):
        return path
    raise UsageError(f"{url}: data.url does not exist; it takes an address or a local zip archive or folder")


@contextmanager
def _no_bar(total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    yield lambda amount: None
