"""Inputs of `spikey compress` that are vendors' folders and files: telling them, and what becomes of each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikey.cli.common import make_folder, say
from spikey.errors import DataError, UsageError, install

if TYPE_CHECKING:
    from spikey.integrations.vendors import Part

INSTALL = install("spikeinterface")
WAV = (b"RIFF", b"RIFX", b"RF64", b"BW64")
KNOWN = (".rhd", ".rhs", ".nwb", ".meta", ".oebin", *(f".ns{n}" for n in range(1, 7)))  # need SpikeInterface
RAW = (".dat", ".bin", ".raw")


def is_vendors(path: Path) -> bool:
    """Whether an input is a recording that SpikeInterface reads, not a WAV file or a folder of them.

    Raises UsageError where it must be one and SpikeInterface is missing.
    """
    installed = find_spec("spikeinterface") is not None
    if path.is_dir():
        if any(p.suffix.lower() == ".wav" for p in path.rglob("*")):
            return False
        if not installed:
            raise UsageError(
                f"{path}: holds no files that end in .wav; vendors' folders need SpikeInterface: {INSTALL}"
            )
    elif not _foreign(path):
        return False
    elif not installed:
        if path.suffix.lower() in KNOWN or path.with_suffix(".meta").is_file():
            raise UsageError(f"{path}: files of this kind need SpikeInterface: {INSTALL}")
        return False
    from spikey.integrations.vendors import takes

    return takes(path)


def _foreign(path: Path) -> bool:
    """Whether there is a file, and it is neither a WAV file nor compressed."""
    if not path.is_file() or path.suffix.lower() == ".wav":
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) not in (b"", b"SPKY", *WAV)
    except OSError:
        return False  # opening it again says why


def vendors_parts(path: Path, output: Path, alone: bool, stream: str | None, reader: str | None) -> dict[Path, Part]:
    """The parts of an input by what they are written to; `alone`: it is the only input."""
    try:
        from spikey.integrations.vendors import parts_of
    except ImportError as error:
        raise UsageError(f"{path}: {error}") from None
    try:
        parts = parts_of(path, stream, reader)
    except DataError as error:
        hint = "; give --channels, --rate and --dtype to read it as raw samples" if path.suffix.lower() in RAW else ""
        raise type(error)(f"{error}{hint}") from None
    one = output.suffix == ".spky" or (path.is_file() and len(parts) == 1)
    if alone and one and not output.is_dir():
        if len(parts) > 1:
            streams = ", ".join(sorted({name for part in parts for name in part.streams if name}))
            raise UsageError(
                f"{path}: becomes {len(parts)} files; name a folder for them, or choose one with --stream: {streams}"
            )
        return {output: parts[0]}
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; {path} needs a folder to be written to")
    targets = {output / f"{part.name}.spky": part for part in parts}
    for target in targets:
        make_folder(target.parent)
    return targets


@contextmanager
def warnings_said() -> Iterator[None]:
    """Say what other packages warn of, each once, in a line."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if issubclass(category, UserWarning) and text not in seen:
            seen.add(text)
            say(f"note: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
