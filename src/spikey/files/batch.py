"""Many short recordings at once: a large trained network is faster side by side, and the bytes are the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikey.base.errors import SpikeyError
from spikey.codec.calibration_policy import Chosen
from spikey.codec.cut import is_single
from spikey.codec.decode import decode_blocks
from spikey.codec.encode import encode_smallest
from spikey.codec.method import MOST_TOGETHER
from spikey.codec.payload import Lookup, Payload
from spikey.container.layout import BLOCK_SAMPLES
from spikey.container.reader import Reader, decode_ahead
from spikey.files.compress import Output, Prepared, compress_file, open_recording, write_recording
from spikey.files.decompress import decompress_file
from spikey.files.settings import Outcome, Settings, calibration_for
from spikey.recording.source import NotPCM, Source

AT_ONCE = MOST_TOGETHER  # files


def compress_together(
    work: list[tuple[Path, Path]], settings: Settings, *, overwrite: bool = False
) -> list[tuple[Path, Outcome | SpikeyError]]:
    """`compress_file` for several recordings at once, which makes a large trained network faster; the same bytes.

    An error concerns its own recording only, and is returned in its place. overwrite: whether to replace files.
    """
    results: dict[Path, Outcome | SpikeyError] = {}
    groups: dict[bytes, list[_Opened]] = {}
    with ExitStack() as stack:
        for path, out_path in work:
            try:
                source = stack.enter_context(open_recording(path, settings))
                if is_single(source, settings.method()) and source.frames:
                    chosen = calibration_for(source, settings)
                    key = b"" if chosen.calibration is None else chosen.calibration.id
                    samples = source.read(0, source.frames)
                    groups.setdefault(key, []).append(_Opened(out_path, source, samples, chosen))
                    continue
            except (SpikeyError, NotPCM):  # reported, or dealt with, when it is compressed alone
                pass
            results[out_path] = _outcome(partial(compress_file, overwrite=overwrite), path, out_path, settings)
        for group in groups.values():
            _write_group(group, settings, results, overwrite)
    return [(path, results[out_path]) for path, out_path in work]


class _Opened(NamedTuple):
    """A recording of one block, about to be compressed."""

    out_path: Path
    source: Source
    samples: np.ndarray
    chosen: Chosen


def _write_group(
    group: list[_Opened], settings: Settings, results: dict[Path, Outcome | SpikeyError], overwrite: bool
) -> None:
    """Compress recordings of one calibration."""
    calibration = group[0].chosen.calibration
    samples, layouts = [one.samples for one in group], [one.source.layout for one in group]
    blocks = encode_smallest(samples, layouts, settings.method(), calibration)
    decoded: dict[Path, np.ndarray] = {}
    if settings.verify:
        coded = [
            (one.out_path, Payload(block.payload, len(one.samples), one.samples.shape[1], one.samples.dtype))
            for one, block in zip(group, blocks, strict=True)
            if block.trained
        ]
        again = decode_blocks([payload for _, payload in coded], Lookup(lambda: calibration, lambda: settings.model))
        decoded = {out_path: each for (out_path, _), each in zip(coded, again, strict=True)}
    for one, block in zip(group, blocks, strict=True):
        output = Output(one.out_path, overwrite=overwrite, like=one.source.name)
        prepared = Prepared(one.chosen, block, decoded.get(one.out_path))
        results[one.out_path] = _outcome(partial(write_recording, prepared=prepared), one.source, output, settings)


def _outcome(do: Callable[..., Any], *arguments: Any) -> Any:
    """What `do` returns, or its error."""
    try:
        return do(*arguments)
    except SpikeyError as error:
        return error


def decompress_together(
    work: list[tuple[Path, Path]], *, salvage: bool = False, overwrite: bool = False
) -> list[tuple[Path, Any]]:
    """`decompress_file` for several files at once; each file's result or error is returned in its place."""
    readers: dict[Path, Reader] = {}
    results: dict[Path, Any] = {}
    with ExitStack() as stack:
        for path, out_path in work:
            try:
                readers[out_path] = stack.enter_context(Reader(path, salvage=salvage))
            except SpikeyError as error:
                results[out_path] = error
        ahead = [
            (reader, block)
            for reader in readers.values()
            for block in reader.structure.blocks
            if reader.header.single and block.kind == BLOCK_SAMPLES
        ]
        decode_ahead(ahead)
        for path, out_path in work:
            if out_path in readers:
                restore = partial(decompress_file, salvage=salvage, opened=readers[out_path], overwrite=overwrite)
                results[out_path] = _outcome(restore, path, out_path)
    return [(path, results[out_path]) for path, out_path in work]
