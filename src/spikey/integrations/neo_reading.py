"""Neo's readers as they are needed here: of the wanted files only, and where the last frame is incomplete."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from neo.rawio import neuroscoperawio, openephysbinaryrawio, rawmcsrawio, spikeglxrawio

MAPPED = (neuroscoperawio, openephysbinaryrawio, rawmcsrawio, spikeglxrawio)  # what maps a whole file into memory


@contextmanager
def reading(wanted: Collection[Path]) -> Iterator[None]:
    """While this lasts, Neo finds none but the wanted files in SpikeGLX folders, which it takes as one run otherwise,
    and reads files with an odd number of bytes after the last whole frame, which it refuses otherwise.
    """
    scan, names = spikeglxrawio.scan_files, {os.path.abspath(path) for path in wanted}

    def scan_wanted(folder: str) -> list[dict[str, Any]]:
        return [each for each in scan(folder) if each["meta_file"] in names]

    with ExitStack() as stack:
        for module in MAPPED:
            stack.enter_context(patch.object(module, "get_memmap_shape", _shape))
        if names:
            stack.enter_context(patch.object(spikeglxrawio, "scan_files", scan_wanted))
        yield


def _shape(filename: str, dtype: Any, num_channels: int | None = None, offset: int = 0) -> tuple[int, ...]:
    """The whole frames after `offset`; Neo's function of the name `get_memmap_shape`, but for the odd bytes."""
    values = (os.path.getsize(filename) - offset) // np.dtype(dtype).itemsize
    return (values,) if num_channels is None else (values // num_channels, num_channels)
