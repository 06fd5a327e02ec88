"""Single recordings out of an archive: restored, verified, described; only what they were coded with is decoded."""

from __future__ import annotations

import os
from typing import Any

from spikey.base.errors import DamagedError, SpikeyError
from spikey.container.archive import Archive
from spikey.container.archive_companions import ArchiveCompanions
from spikey.container.entries import KINDS
from spikey.container.layout import BLOCK_BYTES, BLOCK_FILES, BLOCK_HEAD, BLOCK_SAMPLES, BLOCK_TAIL, BYTES
from spikey.container.reader import Reader
from spikey.container.salvage import Extent
from spikey.files.decompress import decompress_file, describe_lost, samples_of
from spikey.files.settings import Outcome, Progress


def restore(
    archive: Archive,
    name: str,
    out_path: str | os.PathLike[str],
    *,
    salvage: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> tuple[Outcome, list[Extent], list[str]]:
    """Restore one recording of an archive byte for byte; only what it was coded with is decoded beside it.

    With `salvage` lost parts become zeros, and are returned as extents, with the names of the recordings that they were
    lost with; otherwise DamagedError or DataError is raised and nothing is written.
    """
    number = archive.entry(name).number
    reader = archive.open(number, salvage=True) if salvage else archive.reader(number)
    outcome, lost = decompress_file(
        archive.name, out_path, salvage=salvage, jobs=jobs, progress=progress, opened=reader, overwrite=overwrite
    )
    return outcome, lost, sorted(missed(reader))


def verify_member(archive: Archive, name: str, progress: Progress | None = None) -> Outcome:
    """Decode a recording of an archive and check every checksum; DamagedError names lost ones."""
    entry = archive.entry(name)
    reader = archive.reader(entry.number)
    lost = list(reader.lost)
    total = 0
    for kind in (BLOCK_HEAD, BLOCK_TAIL, BLOCK_BYTES, BLOCK_FILES):
        try:
            total += sum(map(len, reader.around(kind)))
        except DamagedError as error:
            lost += error.ranges
    for block in reader.structure.blocks if reader.header.wrapper != BYTES else ():
        if block.kind != BLOCK_SAMPLES:
            continue
        first, end, low, high = block.extent
        try:
            total += reader.read(first, end - first, range(low, high)).size * reader.layout.itemsize
        except DamagedError as error:
            lost += error.ranges
        if progress is not None:
            progress(block.frames * block.channels * reader.layout.itemsize, 0)
    if lost:
        lost = sorted(set(lost))
        others = missed(reader)
        cause = f"; lost with {' and '.join(sorted(others))}, which it was coded with" if others else ""
        raise DamagedError(f"{reader.name}: {describe_lost(lost)}{cause}", lost)
    return Outcome(total, entry.size, samples_of(reader))


def missed(reader: Reader) -> set[str]:
    """The recordings of its archive that a reader needed and could not have."""
    return reader.companions.missed if isinstance(reader.companions, ArchiveCompanions) else set()


def describe_archive(archive: Archive) -> list[dict[str, Any]]:
    """The facts about each recording of an archive, by name, without decoding any."""
    facts = []
    for entry in archive.entries:
        known: dict[str, Any] = {"name": entry.name, "compressed_bytes": entry.size, "coded": KINDS[entry.kind]}
        try:
            reader = archive.reader(entry.number)
        except SpikeyError as error:
            facts.append(known | {"error": str(error)})
            continue
        samples = reader.header.wrapper != BYTES
        original = reader.frames * (reader.layout.frame_bytes if samples else 1)
        known |= {
            "channels": reader.layout.channels if samples else None,
            "rate": reader.rate if samples else None,
            "frames": reader.frames if samples else None,
            "dtype": reader.layout.dtype if samples else None,
            "sample_bytes": original,
            "ratio": round(original / max(entry.size, 1), 4),
            "companions": [
                {"name": name, "channel": channel, "correlation": correlation}
                for name, channel, correlation in archive.companions(entry.name)
            ],
        }
        facts.append(known)
    return facts
