"""What is known about a device's converters: the edges of their codes, and how its signals usually behave.

A calibration is a safetensors file of integer tables, or its compact form, and is named by the first four bytes of the
SHA-256 of these bytes. Compressed files contain that name; `find` looks it up among the shipped ones and in the folders
of SPIKEY_CALIBRATIONS.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import DataError
from spikey.base.shipped import FOLDER
from spikey.model import tensor_file
from spikey.model.fixed_point import UNIT

FORMAT = "spikey calibration 1"
COMPACT = b"wid\1"  # how the compact form begins; of a safetensors file it would be a header of 23 million bytes
SHIPPED = FOLDER / "calibrations"
N1_FILE = "n1.safetensors"
FOLDERS = "SPIKEY_CALIBRATIONS"
LARGEST_FILE = 1 << 23
MOST_CODES = 4096  # of an alphabet that the adaptive engines use a calibration for
LARGEST_ALPHABET = 1 << 16
MOST_CONVERTERS = 64
MOST_ENTRIES = 1 << 20  # codes of all converters
FARTHEST = 1 << 20  # an edge, in 1/64 LSB; twice the codes where that is more
FARTHEST_VALUE = 1 << 32  # of the levels that it is for
STEEPEST = 1 << 26  # a prior correlation, 1/65536


@dataclass(frozen=True, eq=False)
class Calibration:
    """Tables of one converter, or of several.

    edges int32 (codes + 1,) or (converters, codes + 1): where each code's bin ends, in 1/64 LSB, strictly increasing.
    prior int32 (lags,): usual correlations of position differences, for `spikey.model.lpc.lpc`, 1/65536.
    metadata: where it comes from; strings and numbers that JSON can hold. Its offset and step are the value of code 0
    and how far the codes' values lie apart: codes outside of the table are one LSB wide then.
    compact: the compact form that it was read from (`spikey.model.compact`), by which it is named; empty for none.
    """

    edges: np.ndarray
    prior: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)
    compact: bytes = b""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def alphabet(self) -> int:
        """Size of the alphabet."""
        return int(self.edges.shape[-1]) - 1

    @property
    def converters(self) -> int:
        """How many converters have tables."""
        return 1 if self.edges.ndim == 1 else len(self.edges)

    def edges_of(self, converter: int) -> np.ndarray:
        """The edges int32 (codes + 1,) of one converter."""
        return self.edges if self.edges.ndim == 1 else np.ascontiguousarray(self.edges[converter])

    def words(self) -> str:
        """Whose code widths these are, for a person."""
        count = f"{self.converters} converter{'s' * (self.converters > 1)}"
        if not self.compact:
            return f"{self.metadata.get('device', 'unknown device')}, {count}"
        base = self.metadata.get("base")
        if base is None:
            return f"of the recording, {count}"
        device = next((one.metadata.get("device") for one in shipped() if one.id.hex() == base), None)
        return f"of the recording, {count}, as differences from {device or base}"

    def to_bytes(self) -> bytes:
        """The file; the same tables and metadata always give the same bytes."""
        if self.compact:
            return self.compact
        return tensor_file.write(FORMAT, {"edges": self.edges, "prior": self.prior}, self.metadata)

    @cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the file, 32 bytes."""
        return tensor_file.digest(self.to_bytes())

    @property
    def id(self) -> bytes:
        """The name that compressed files use: the first 4 bytes of `sha256`."""
        return self.sha256[:4]


def _check(calibration: Calibration) -> None:
    edges, prior = calibration.edges, calibration.prior
    if edges.dtype != np.int32 or edges.ndim not in (1, 2) or not 3 <= edges.shape[-1] <= LARGEST_ALPHABET + 1:
        raise DataError(
            f"a calibration needs 3 to {LARGEST_ALPHABET + 1} int32 edges a converter, not {edges.dtype} {edges.shape}"
        )
    if not 1 <= calibration.converters <= MOST_CONVERTERS or edges.size > MOST_ENTRIES + MOST_CONVERTERS:
        raise DataError(
            f"a calibration has tables of 1 to {MOST_CONVERTERS} converters, with at most {MOST_ENTRIES:,} codes "
            f"altogether, not {calibration.converters:,} of {calibration.alphabet:,} codes"
        )
    farthest = max(FARTHEST, 2 * UNIT * calibration.alphabet)
    if np.abs(edges.astype(np.int64)).max() > farthest or np.diff(edges.astype(np.int64)).min() < 1:
        raise DataError(
            f"a calibration's edges must increase by at least 1/64 LSB and stay within {farthest // UNIT:,} LSB"
        )
    if prior.dtype != np.int32 or prior.ndim != 1 or not 1 <= len(prior) <= 1024:
        raise DataError(f"a calibration needs 1 to 1,024 int32 prior correlations, not {prior.dtype} {prior.shape}")
    if "offset" in calibration.metadata:
        offset: Any = calibration.metadata["offset"]
        step: Any = calibration.metadata.get("step")
        if any(type(number) is not int or abs(number) > FARTHEST_VALUE for number in (offset, step)) or step < 1:
            raise DataError("a calibration's offset and step must be integers of at most 2^32, the step at least 1")
    if not 0 <= int(prior[0]) <= STEEPEST or np.abs(prior.astype(np.int64)).max() > int(prior[0]):
        raise DataError("a calibration's prior correlations must not exceed the first, nor that one 2^26")


def is_compact(data: bytes) -> bool:
    """Whether bytes are a calibration in compact form."""
    return data[: len(COMPACT)] == COMPACT


def load(source: bytes | str | os.PathLike[str]) -> Calibration:
    """Read a calibration from its bytes or from a file; raises DataError for anything that is not one."""
    name, data = tensor_file.read(source, LARGEST_FILE, "calibration")
    try:
        if is_compact(data):
            from spikey.model.compact import read_compact  # which few files need, and which needs what is defined here

            return read_compact(data)
        tensors, metadata = tensor_file.parse(FORMAT, data)
        types = {key: tensor.dtype.name for key, tensor in tensors.items()}
        if types != {"edges": "int32", "prior": "int32"}:
            raise DataError(f"holds {types}, where int32 edges and prior are expected")
        calibration = Calibration(tensors["edges"], tensors["prior"], metadata)
        if calibration.to_bytes() != data:
            raise DataError("is not in the form in which spikey writes calibrations")
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return calibration


def find(id4: bytes) -> Calibration:
    """The calibration of that id, from the shipped ones or the folders of SPIKEY_CALIBRATIONS."""
    path = tensor_file.find(id4, tensor_file.folders(SHIPPED, FOLDERS), FOLDERS, LARGEST_FILE, "calibration")
    status = path.stat()
    return _loaded(path, status.st_size, status.st_mtime_ns)


@cache
def _loaded(path: Path, size: int, modified: int) -> Calibration:
    return load(path)


@cache
def shipped_names() -> tuple[str, ...]:
    """The names of the calibrations that come with the package, those of their files."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.safetensors")))


def named(name: str) -> Calibration:
    """The calibration that comes with the package under a name; DataError where there is none."""
    if name not in shipped_names():
        raise DataError(f"there is no shipped calibration {name!r}; there are {', '.join(shipped_names())}")
    path = SHIPPED / f"{name}.safetensors"
    status = path.stat()
    return _loaded(path, status.st_size, status.st_mtime_ns)


def shipped_name(calibration: Calibration) -> str | None:
    """The name under which a calibration comes with the package; None where it does not."""
    return next((name for name in shipped_names() if named(name).id == calibration.id), None)


@cache
def shipped() -> tuple[Calibration, ...]:
    """The calibrations that come with the package, but for the N1's: each is for any channel on its grid of values."""
    return tuple(load(path) for path in sorted(SHIPPED.glob("*.safetensors")) if path.name != N1_FILE)


@cache
def n1() -> Calibration:
    """The calibration of the Neuralink N1 implant's converter that comes with the package."""
    return load(SHIPPED / N1_FILE)
