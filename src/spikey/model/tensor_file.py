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
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as _load_tensors

from spikey.errors import DataError

_TYPES = {"int16": "I16", "int32": "I32"}


def write(mark: str, tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> bytes:
    """The file of int16 or int32 tensors, in that order; `mark` says what kind of file it is."""
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


def candidates(shipped: Path, variable: str) -> Iterator[Path]:
    """The files in these folders."""
    for folder in folders(shipped, variable):
        if folder.is_dir():
            yield from sorted(folder.glob("*.safetensors"))


@cache
def _id_of(path: Path, size: int, modified: int) -> bytes:
    return digest(path.read_bytes())[:4]


def find(id4: bytes, shipped: Path, variable: str, largest: int, what: str) -> Path:
    """The file of that id; DataError, saying where it was looked for, where there is none."""
    for path in candidates(shipped, variable):
        try:
            status = path.stat()
            if status.st_size <= largest and _id_of(path, status.st_size, status.st_mtime_ns) == id4:
                return path
        except OSError:  # unreadable or gone: not the one
            continue
    looked = ", ".join(map(str, folders(shipped, variable)))
    raise DataError(
        f"{what} {id4.hex()} is needed and was not found in {looked}; "
        f"put its file into one of these folders or name its folder in {variable}"
    )
