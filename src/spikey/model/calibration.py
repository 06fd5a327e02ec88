"""What is known about a converter: the edges of its codes, and how its signals usually behave.

A calibration is a safetensors file of integer tables, named by the first four bytes of its SHA-256. Compressed files
state that name; `find` looks it up among the shipped ones and in the folders of SPIKEY_CALIBRATIONS.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as _load_tensors

from spikey.errors import DataError

FORMAT = "spikey calibration 1"
SHIPPED = Path(__file__).parents[1] / "calibrations"
FOLDERS = "SPIKEY_CALIBRATIONS"
LARGEST_FILE = 1 << 20
MOST_CODES = 4096
FARTHEST = 1 << 20  # an edge, in 1/64 LSB
STEEPEST = 1 << 26  # a prior correlation, 1/65536
_TYPES = {"edges": "I32", "prior": "I32"}


@dataclass(frozen=True, eq=False)
class Calibration:
    """Tables of one converter.

    edges int32 (codes + 1,): where each code's bin ends, in 1/64 LSB, strictly increasing.
    prior int32 (lags,): usual correlations of position differences, for `spikey.model.lpc.lpc`, 1/65536.
    metadata: where it comes from; strings and numbers that JSON can hold.
    """

    edges: np.ndarray
    prior: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def codes(self) -> int:
        """Size of the alphabet."""
        return len(self.edges) - 1

    def to_bytes(self) -> bytes:
        """The file; the same tables and metadata always give the same bytes."""
        tables = {"edges": self.edges, "prior": self.prior}
        # Written by hand: the id hangs on every byte, and the library promises no order of its header's entries.
        header: dict[str, Any] = {
            "__metadata__": {"spikey": json.dumps({**self.metadata, "format": FORMAT}, sort_keys=True)}
        }
        data = b""
        for name, table in tables.items():
            start, data = len(data), data + table.astype(table.dtype.newbyteorder("<")).tobytes()
            header[name] = {"dtype": _TYPES[name], "shape": list(table.shape), "data_offsets": [start, len(data)]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + data

    @cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the file, 32 bytes."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def id(self) -> bytes:
        """The name that compressed files use: the first 4 bytes of `sha256`."""
        return self.sha256[:4]


def _check(calibration: Calibration) -> None:
    edges, prior = calibration.edges, calibration.prior
    if edges.dtype != np.int32 or edges.ndim != 1 or not 3 <= len(edges) <= MOST_CODES + 1:
        raise DataError(f"a calibration needs 3 to {MOST_CODES + 1} int32 edges, not {edges.dtype} {edges.shape}")
    if np.abs(edges.astype(np.int64)).max() > FARTHEST or np.diff(edges.astype(np.int64)).min() < 1:
        raise DataError("a calibration's edges must increase by at least 1/64 LSB and stay within 16,384 LSB")
    if prior.dtype != np.int32 or prior.ndim != 1 or not 1 <= len(prior) <= 1024:
        raise DataError(f"a calibration needs 1 to 1,024 int32 prior correlations, not {prior.dtype} {prior.shape}")
    if not 0 <= int(prior[0]) <= STEEPEST or np.abs(prior.astype(np.int64)).max() > int(prior[0]):
        raise DataError("a calibration's prior correlations must not exceed the first, nor that one 2^26")


def load(source: bytes | str | os.PathLike[str]) -> Calibration:
    """Read a calibration from its bytes or from a file; raises DataError for anything that is not one."""
    if isinstance(source, bytes):
        name, data = "calibration", source
    else:
        name = os.fspath(source)
        try:
            with open(name, "rb") as file:
                data = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror}") from error
    try:
        calibration = _parse(data)
        if calibration.to_bytes() != data:
            raise DataError("is not in the form in which spikey writes calibrations")
        return calibration
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _parse(data: bytes) -> Calibration:
    if len(data) > LARGEST_FILE:
        raise DataError(f"is larger than the {LARGEST_FILE} bytes that a calibration may have")
    try:
        tensors = _load_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = json.loads(header.pop("__metadata__")["spikey"])
        types = {key: value["dtype"] for key, value in header.items()}
        if metadata.pop("format") != FORMAT:
            raise ValueError
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f'is not a safetensors file marked "{FORMAT}"') from error
    if not {"edges", "prior"} <= set(types) or any(_TYPES.get(key) != dtype for key, dtype in types.items()):
        raise DataError(f"holds {types}, where {_TYPES} are expected")
    return Calibration(tensors["edges"], tensors["prior"], metadata)


def _folders() -> list[Path]:
    return [SHIPPED, *(Path(part) for part in os.environ.get(FOLDERS, "").split(os.pathsep) if part)]


def _candidates() -> Iterator[Path]:
    for folder in _folders():
        if folder.is_dir():
            yield from sorted(folder.glob("*.safetensors"))


@cache
def _id_of(path: Path, size: int, modified: int) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()[:4]


@cache
def _loaded(path: Path, size: int, modified: int) -> Calibration:
    return load(path)


def find(id4: bytes) -> Calibration:
    """The calibration of that id, from the shipped ones or the folders of SPIKEY_CALIBRATIONS."""
    for path in _candidates():
        try:
            status = path.stat()
            if status.st_size <= LARGEST_FILE and _id_of(path, status.st_size, status.st_mtime_ns) == id4:
                return _loaded(path, status.st_size, status.st_mtime_ns)
        except OSError:  # unreadable or gone: not the one
            continue
    looked = ", ".join(map(str, _folders()))
    raise DataError(
        f"calibration {id4.hex()} is needed and was not found in {looked}; "
        f"put its file into one of these folders or name its folder in {FOLDERS}"
    )


@cache
def n1() -> Calibration:
    """The calibration of the Neuralink N1 implant's converter that comes with the package."""
    return load(SHIPPED / "n1.safetensors")
