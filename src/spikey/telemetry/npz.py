"""Decoded telemetry as an NPZ file, part by part: arrays grow in temporary files until their lengths are known."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

import numpy as np

from spikey.recording.output import atomic_output, is_special
from spikey.recording.remote import is_address
from spikey.telemetry.decoded import Telemetry, filled
from spikey.telemetry.export import NAMES, PathLike, columns, constants, inputs
from spikey.telemetry.survey import Survey

COPIED = 1 << 20  # bytes that are copied at once


@contextmanager
def npz_output(
    known: Survey, path: PathLike, source: PathLike | None = None, *, overwrite: bool = False
) -> Iterator[Callable[[Telemetry], None]]:
    """`export.write_npz` part by part: yields a function to call with each part, in order; writes the same bytes.

    known: of the whole stream. The temporary files are beside the output and as large.
    """
    fixed = constants(known.description, known.frames, known.missing, known.dropped)
    with (
        atomic_output(path, *inputs(source), overwrite=overwrite, readable_as=inputs(source)) as (file, _),
        ExitStack() as stack,
    ):
        growing: dict[str, _Growing] = {}
        waveforms = 0

        def add(part: Telemetry) -> None:
            nonlocal waveforms
            for piece in filled(part):
                for name, array in columns(piece, waveforms).items():
                    if name not in growing:
                        growing[name] = stack.enter_context(_grown(path, array))
                    growing[name].add(array)
            waveforms += len(part.waveforms)

        yield add
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name in NAMES:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    if name in fixed:
                        np.lib.format.write_array(member, fixed[name], allow_pickle=False)
                    else:
                        growing[name].write(member)


class _Growing:
    """An array that grows in a file."""

    def __init__(self, file: IO[bytes], like: np.ndarray):
        self._file, self._like = file, like[:0]
        self._rows = 0

    def add(self, more: np.ndarray) -> None:
        """Append rows."""
        self._file.write(np.ascontiguousarray(more).data)
        self._rows += len(more)

    def write(self, out: IO[bytes]) -> None:
        """Write the whole array in NumPy's format."""
        shape = (self._rows, *self._like.shape[1:])
        header = {"descr": np.lib.format.dtype_to_descr(self._like.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, out, COPIED)


@contextmanager
def _grown(path: PathLike, like: np.ndarray) -> Iterator[_Growing]:
    folder = None if is_address(path) or is_special(path) else os.path.dirname(os.path.realpath(path))
    with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".part") as file:
        yield _Growing(file, like)
