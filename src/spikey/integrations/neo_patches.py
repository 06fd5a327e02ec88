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
def patched_neo(wanted: Collection[Path]) -> Iterator[None]:
    """While this lasts, Neo finds none but the wanted files in SpikeGLX folders, which it takes as one run otherwise,
    and reads files with an odd number of bytes after the last whole frame, which it refuses otherwise.
    """
    runs = [Path(os.path.abspath(path)) for path in wanted if path.suffix == ".meta"]

    def scan(_: str) -> list[dict[str, Any]]:
        return [_described(meta) for meta in runs if meta.with_suffix(".bin").is_file()]

    with ExitStack() as stack:
        for module in MAPPED:
            stack.enter_context(patch.object(module, "get_memmap_shape", _shape))
        if runs:
            stack.enter_context(patch.object(spikeglxrawio, "scan_files", scan))
        yield


def _described(meta: Path) -> dict[str, Any]:
    """What Neo's scan of a folder finds out of one pair of files."""
    found: dict[str, Any] = spikeglxrawio.extract_stream_info(meta, spikeglxrawio.read_meta_file(meta))
    return found | {"meta_file": str(meta), "bin_file": str(meta.with_suffix(".bin"))}


def _shape(filename: str, dtype: Any, num_channels: int | None = None, offset: int = 0) -> tuple[int, ...]:
    """The whole frames after `offset`; Neo's function of the name `get_memmap_shape`, but for the odd bytes."""
    values = (os.path.getsize(filename) - offset) // np.dtype(dtype).itemsize
    return (values,) if num_channels is None else (values // num_channels, num_channels)
