"""Decoded telemetry as a Zarr group, a folder whose arrays grow part by part; it appears when it is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.base.errors import OutputExistsError, SpikeyError, UsageError, install
from spikey.recording.output import is_input, tmp_name
from spikey.recording.remote import is_address, reason
from spikey.telemetry.decoded import filled
from spikey.telemetry.export import UNITS, columns, constants
from spikey.telemetry.survey import Survey, survey

if TYPE_CHECKING:
    from spikey.telemetry.decoded import Telemetry

__all__ = ["write_zarr", "zarr_output"]

PathLike = str | os.PathLike[str]
PLACES = {  # of the arrays of `spikey.telemetry.export.arrays`
    "event_frames": "events/frames",
    "event_times": "events/times",
    "event_channels": "events/channels",
    "event_weak": "events/weak",
    "event_scaled": "events/scaled",
    "waveform_of": "events/waveform_of",
    "waveforms": "waveforms/samples",
    "waveform_channels": "waveforms/channels",
    "trough_frames": "waveforms/trough_frames",
    "power": "power/values",
    "low": "low/values",
    "low_frames": "low/frames",
    "missing": "missing",
}
CHUNK_BYTES = 1 << 20  # of a chunk, about
MARKS = (".zgroup", "zarr.json")  # of which a Zarr group has one


def need_zarr() -> None:
    """UsageError where zarr is missing."""
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise UsageError(f"a Zarr group needs zarr: {install('numcodecs', 'zarr')}", code="missing-package") from None


def refuse_zarr(path: PathLike, overwrite: bool, source: PathLike | None = None) -> None:
    """UsageError where a Zarr group must not be written: at an address, or in place of anything but a Zarr group."""
    if is_address(path):
        raise UsageError(f"{path}: Zarr groups of telemetry are written to this machine first; name a folder")
    place = os.fspath(path)
    if not place.rstrip("/" + os.sep):
        raise UsageError(f"{place or 'an empty path'}: is not the name of a Zarr group; name the output")
    if source is not None and is_input(place, (source,)):
        raise UsageError(f"{place}: would be read and written at once; name another output")
    if not os.path.lexists(place):
        return
    if not any(os.path.isfile(os.path.join(place, mark)) for mark in MARKS):
        raise UsageError(
            f"{place}: exists and is not a Zarr group, which is all that it may replace; name another output"
        )
    if not overwrite:
        raise OutputExistsError(place)


def write_zarr(
    telemetry: Telemetry, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False
) -> None:
    """Write decoded telemetry as a Zarr group in Zarr format 2, complete or not at all.

    The groups `events`, `waveforms`, `power` and `low` have the arrays of `spikey.telemetry.export.arrays`, each with
    its `unit` as an attribute, and the array `missing` lists the spans without data; the group's attributes have the
    rest, with the stream's settings.

    Parameters
    ----------
    telemetry : Telemetry
        As `spikey.read_telemetry` returns it.
    path : path
        Of the folder to write, on this machine.
    source : path, optional
        A file that must not be the one written to.
    overwrite : bool
        Whether to replace `path` where it is a Zarr group.

    Raises
    ------
    UsageError
        zarr is missing, or `path` cannot be written.
    """
    with zarr_output(survey([telemetry]), path, source, overwrite=overwrite) as add:
        add(telemetry)


@contextmanager
def zarr_output(
    known: Survey, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False
) -> Iterator[Callable[[Telemetry], None]]:
    """`write_zarr` for a stream's parts, in memory that a few of them take.

    What is yielded is called with each part, in order.

    Parameters
    ----------
    known : Survey
        Of the whole stream, as `spikey.telemetry.check.inspect` returns it.
    path, source, overwrite
        As for `write_zarr`.

    Yields
    ------
    callable
        Call it with each part, in order.

    Raises
    ------
    UsageError
        zarr is missing, or `path` cannot be written.
    """
    need_zarr()
    refuse_zarr(path, overwrite, source)
    target = Path(os.path.realpath(path))
    tmp_path = target.with_name(tmp_name(target.name))
    try:
        group = _Group(tmp_path, known)
        yield group.add
        group.finish()
        refuse_zarr(path, overwrite, source)
        _rename(tmp_path, target)
    except BaseException as error:
        shutil.rmtree(tmp_path, ignore_errors=True)
        if isinstance(error, SpikeyError) or not isinstance(error, Exception):
            raise
        raise UsageError(f"{os.fspath(path)}: cannot be written ({reason(error)})") from error


def _rename(tmp_path: Path, target: Path) -> None:
    """Give a complete group its name; one that has it is removed afterwards."""
    former = target.with_name(tmp_name(target.name))
    with suppress(FileNotFoundError):
        os.rename(target, former)
    try:
        os.rename(tmp_path, target)
    except OSError:
        with suppress(FileNotFoundError):
            os.rename(former, target)
        raise
    shutil.rmtree(former, ignore_errors=True)


class _Group:
    """A Zarr group that is being written."""

    def __init__(self, path: Path, known: Survey):
        import zarr

        self._path = os.fspath(path)
        self._options: dict[str, Any] = {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}
        fixed = constants(known.description, known.frames, known.missing, known.dropped)
        self._missing = fixed.pop("missing")
        fixed.pop("units")
        words = {name: value.tolist() for name, value in fixed.items()}
        words["settings"] = json.loads(words["settings"])
        words["units"] = {name: unit for name, unit in UNITS.items() if name in words}
        path.mkdir()
        for name in ("", *dict.fromkeys(place.partition("/")[0] for place in PLACES.values() if "/" in place)):
            group = zarr.open_group(os.path.join(self._path, name), mode="a", **self._options)
            if not name:
                group.attrs.update(words)
        self._columns: dict[str, _Column] = {}
        self._waveforms = 0

    def add(self, part: Telemetry) -> None:
        """Append a part."""
        for piece in filled(part):
            for name, array in columns(piece, self._waveforms).items():
                self._append(name, array)
        self._waveforms += len(part.waveforms)

    def finish(self) -> None:
        """Write what is not yet a whole chunk."""
        self._append("missing", self._missing)
        for column in self._columns.values():
            column.finish()

    def _append(self, name: str, array: np.ndarray) -> None:
        if name not in self._columns:
            self._columns[name] = _Column(os.path.join(self._path, PLACES[name]), array, UNITS[name], self._options)
        self._columns[name].add(array)


class _Column:
    """An array that grows by whole chunks, so that each is written once."""

    def __init__(self, path: str, like: np.ndarray, unit: str, options: dict[str, Any]):
        import zarr

        width = like.dtype.itemsize * max(int(np.prod(like.shape[1:])), 1)
        self._rows = max(CHUNK_BYTES // width, 1)
        self._array = zarr.open_array(
            path,
            mode="w",
            shape=(0, *like.shape[1:]),
            chunks=(self._rows, *(max(each, 1) for each in like.shape[1:])),
            dtype=like.dtype,
            fill_value="NaN" if like.dtype.kind == "f" else like.dtype.type(0).item(),
            **options,
        )
        self._array.attrs["unit"] = unit
        self._waiting: list[np.ndarray] = []
        self._count = 0

    def add(self, more: np.ndarray) -> None:
        """Append rows."""
        self._waiting.append(more)
        self._count += len(more)
        if self._count >= self._rows:
            self._write(self._count - self._count % self._rows)

    def finish(self) -> None:
        """Append the rows that wait."""
        self._write(self._count)

    def _write(self, count: int) -> None:
        rows = np.concatenate(self._waiting) if self._waiting else None
        if rows is None or not count:
            return
        self._array.append(rows[:count])
        self._waiting, self._count = [rows[count:].copy()], len(rows) - count
