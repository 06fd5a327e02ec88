"""What belongs together: simultaneous recordings, and the channels of one recording, by their correlations.

Both are seen as nodes with correlations between them, and links: what each is coded with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikey.base.errors import DataError, UsageError
from spikey.codec.method import MOST_REFERENCES
from spikey.container.archive import Archive
from spikey.container.entries import COPY
from spikey.container.layout import BLOCK_SAMPLES, BYTES
from spikey.container.reader import Reader
from spikey.model.cross import WORTHWHILE
from spikey.recording.companions import plan
from spikey.recording.raw import open_raw
from spikey.recording.simultaneous import FRAMES, Opener, correlations, families
from spikey.recording.wav import open_wav

MOST_CHANNELS = 4096  # of one recording that are compared
LARGEST_GLANCE = 1 << 25  # samples that are compared then


class Link(NamedTuple):
    """What a node is coded with: both as places among the nodes; their correlation; a channel, or None for a copy."""

    node: int
    other: int
    correlation: float
    channel: int | None = 0


@dataclass
class Topology:
    """What was found.

    of: "recordings" or "channels". source: how the links are known: "measured", "archive" or "file". names: of the
    nodes. frames: of each. correlations: float64 (nodes, nodes); 0 also where nothing is known. links: what each is
    coded with, or would be. positions: float64 (nodes, 2) in um, or None.
    """

    of: str
    source: str
    names: list[str]
    frames: list[int]
    correlations: np.ndarray
    links: list[Link]
    positions: np.ndarray | None = None

    def groups(self) -> list[list[int]]:
        """Nodes that links connect, two or more, the largest groups first."""
        first = list(range(len(self.names)))

        def find(node: int) -> int:
            while first[node] != node:
                first[node] = node = first[first[node]]
            return node

        for link in self.links:
            one, other = sorted((find(link.node), find(link.other)))
            first[other] = one
        members: dict[int, list[int]] = {}
        for node in range(len(self.names)):
            members.setdefault(find(node), []).append(node)
        return sorted((group for group in members.values() if len(group) > 1), key=lambda group: -len(group))

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "of": self.of,
            "links": self.source,
            "nodes": [
                {
                    "name": name,
                    "frames": self.frames[node],
                    "position_um": None if self.positions is None else self.positions[node].tolist(),
                    "coded_with": [
                        {
                            "name": self.names[link.other],
                            "channel": link.channel,
                            "correlation": round(link.correlation, 4),
                            "copy": link.channel is None,
                        }
                        for link in self.links
                        if link.node == node
                    ],
                }
                for node, name in enumerate(self.names)
            ],
            "groups": [[self.names[node] for node in group] for group in self.groups()],
        }


def opener(raw: tuple[int, float, str] | None = None) -> Opener:
    """Opens WAV files, `.spky` files and, where they are described, raw files."""

    def opened(path: Path) -> AbstractContextManager[Any]:
        if _is_compressed(path):
            reader = Reader(path)
            if reader.header.wrapper == BYTES:
                reader.close()
                raise DataError(f"{path}: holds plain bytes, not samples")
            return reader
        return open_wav(path, floats=True) if raw is None else open_raw(path, *raw)

    return opened


def _is_compressed(path: Path) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return file.read(4) == b"SPKY"
    return False


def of_recordings(names: Sequence[str], paths: Sequence[Path], opened: Opener) -> Topology:
    """Which of several recordings are simultaneous, and how they would be coded together."""
    frames = []
    for path in paths:
        with opened(path) as source:
            frames.append(source.frames)
    found = families(paths, opened)
    values = np.eye(len(paths))
    for family in found:
        values[np.ix_(family.members, family.members)] = family.correlations
    links = [
        Link(one.place, other, correlation, None if one.copy else channel)
        for group in plan(paths, opened, found)
        for one in group
        for other, channel, correlation in one.companions
    ]
    return Topology("recordings", "measured", list(names), frames, values, links)


def of_archive(archive: Archive) -> Topology:
    """What was found when an archive was written."""
    entries = archive.entries
    places = {entry.number: place for place, entry in enumerate(entries)}
    links, frames = [], []
    values = np.eye(len(entries))
    for place, entry in enumerate(entries):
        count = 0
        with suppress(DataError):  # a damaged one; what is known of it is still reported
            reader = archive.reader(entry.number)
            count = reader.frames if reader.header.wrapper != BYTES else 0
        frames.append(count)
        for number, channel, correlation in entry.companions:
            other = places[number]
            links.append(Link(place, other, correlation, None if entry.kind == COPY else channel))
            if abs(correlation) > abs(values[place, other]):
                values[place, other] = values[other, place] = correlation
    return Topology("recordings", "archive", archive.names, frames, values, links)


def of_channels(path: Path, opened: Opener) -> Topology:
    """Which channels of one recording go together: as its file refers to them, or the earlier ones that correlate most.

    UsageError where it has one channel only, or too many.
    """
    with opened(path) as source:
        count, frames = source.layout.channels, source.frames
        positions = _positions(source, count) if isinstance(source, Reader) else None
        referred = _references(source) if isinstance(source, Reader) else None
    if not 1 < count <= MOST_CHANNELS:
        raise UsageError(
            f"{path}: has {count:,} channel{'s' * (count > 1)}; give one recording of 2 to {MOST_CHANNELS:,} channels, "
            "or several recordings"
        )
    values = correlations([path], min(frames, FRAMES, max(LARGEST_GLANCE // count, 2)), opened, [range(count)])
    if referred is None:
        referred = [[int(other) for other in _strongest(values[channel, :channel])] for channel in range(count)]
    links = [
        Link(channel, other, float(values[channel, other]))
        for channel, others in enumerate(referred)
        for other in others
    ]
    known = "measured" if not isinstance(source, Reader) else "file"
    names = [str(channel) for channel in range(count)]
    return Topology("channels", known, names, [frames] * count, values, links, positions)


def _strongest(values: np.ndarray) -> Iterable[int]:
    order = np.argsort(-np.abs(values), kind="stable")[:MOST_REFERENCES]
    return (place for place in order if abs(values[place]) > WORTHWHILE)


def _references(reader: Reader) -> list[list[int]]:
    """For each channel the channels that the file's first blocks refer to."""
    found: list[list[int]] = [[] for _ in range(reader.layout.channels)]
    for block in reader.structure.blocks:
        if block.kind != BLOCK_SAMPLES or block.first_frame:
            continue
        for index, references in enumerate(reader.facts(block).references):
            found[block.first_channel + index] = [block.first_channel + other for other in references]
    return found


def _positions(reader: Reader, count: int) -> np.ndarray | None:
    """Where the metadata's probe has each channel, in um; None where it does not say so of every channel."""
    placed: dict[int, Any] = {}
    with suppress(DataError, KeyError, TypeError, ValueError, IndexError, AttributeError):
        for stream in reader.metadata.get("streams", []):
            columns = stream["columns"]
            for probe in (stream.get("probe") or {}).get("probes", []):
                wired = probe.get("device_channel_indices") or range(len(probe["contact_positions"]))
                for channel, position in zip(wired, probe["contact_positions"], strict=True):
                    if channel >= 0:
                        placed.setdefault(columns[channel], [float(position[0]), float(position[1])])
    return np.array([placed[c] for c in range(count)]) if all(c in placed for c in range(count)) else None
