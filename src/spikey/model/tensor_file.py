"""The files that hold calibrations and models: safetensors with integer tensors and one JSON text, named by their hash.

Nothing in such a file is executed. The same tensors and metadata always give the same bytes, so that an id (the first
four bytes of the SHA-256) names contents.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as _load_tensors

from spikey.base.errors import DataError

_TYPES = {"int16": "I16", "int32": "I32"}
BY_ID = "by-id"


def write(mark: str, tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> bytes:
    """The file of int16 or int32 tensors, in that order; `mark` specifies the kind of file."""
    # Written by hand: the id hangs on every byte, and the library promises no order of its header's entries.
    header: dict[str, Any] = {"__metadata__": {"spikey": json.dumps({**metadata, "format": mark}, sort_keys=True)}}
    data = b""
    for name, tensor in tensors.items():
        start, data = len(data), data + tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _TYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [start, len(data)],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def digest(data: bytes) -> bytes:
    """SHA-256 of a file, 32 bytes."""
    return hashlib.sha256(data).digest()


def read(source: bytes | str | os.PathLike[str], largest: int, what: str) -> tuple[str, bytes]:
    """A name for messages and the bytes of a file, or of `source` itself; DataError where it cannot be read."""
    if isinstance(source, bytes):
        name, data = what, source
    else:
        name = os.fspath(source)
        try:
            with open(name, "rb") as file:
                data = file.read(largest + 1)
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror}") from error
    if len(data) > largest:
        raise DataError(f"{name}: is larger than the {largest} bytes that a {what} may have")
    return name, data


def parse(mark: str, data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and metadata of a file of that mark; DataError for anything else."""
    try:
        tensors = _load_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = json.loads(header.pop("__metadata__")["spikey"])
        if metadata.pop("format") != mark:
            raise ValueError
        if any(value["dtype"] not in _TYPES.values() for value in header.values()):
            raise ValueError
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f'is not a safetensors file marked "{mark}"') from error
    return tensors, metadata


def folders(shipped: Path, variable: str) -> list[Path]:
    """Where such files are looked for: among the shipped ones, then in the folders that a variable lists."""
    return [shipped, *(Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part)]


def kept_file(folder: Path, id4: bytes) -> Path:
    """Where a folder keeps the file of an id under that id, when the file has been replaced under its name."""
    return folder / BY_ID / f"{id4.hex()}.safetensors"


def candidates(places: list[Path]) -> Iterator[Path]:
    """The files in these folders; a place may also be a file."""
    for place in places:
        if place.is_dir():
            yield from sorted(place.glob("*.safetensors"))
        elif place.is_file():
            yield place


@cache
def _id_of(path: Path, size: int, modified: int) -> bytes:
    # size and modified: so that a file that was replaced is read again.
    return digest(path.read_bytes())[:4]


def id_of(path: Path, largest: int) -> bytes | None:
    """The id of a file's contents; None where it cannot be read or is too large."""
    try:
        status = path.stat()
        return _id_of(path, status.st_size, status.st_mtime_ns) if status.st_size <= largest else None
    except OSError:
        return None


def find(id4: bytes, places: list[Path], variable: str, largest: int, what: str) -> Path:
    """The file of that id in folders or among files; DataError, naming the places, where there is none."""
    by_id = (kept_file(place, id4) for place in places)
    for path in chain(by_id, candidates(places)):
        if id_of(path, largest) == id4:
            return path
    looked = ", ".join(_described(place, largest) for place in places)
    raise DataError(
        f"{what} {id4.hex()} is needed and was not found in {looked}; "
        f"put its file into one of these folders or name its folder in {variable}",
        code=f"missing-{what}",
    )


def _described(place: Path, largest: int) -> str:
    """A place that was searched, for a message; of a single file also which one it is instead."""
    if place.is_file():
        found = id_of(place, largest)
        return f"{place} (which {'is ' + found.hex() if found is not None else 'cannot be read'})"
    return str(place) if place.is_dir() else f"{place} (which does not exist)"
