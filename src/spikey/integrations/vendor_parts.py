"""Recordings that only SpikeInterface reads: their parts, each of which is compressed to one file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import spikeinterface.core as si

from spikey.files.names import is_safe
from spikey.integrations.discovery import Unit
from spikey.integrations.flat_file import flat_file
from spikey.integrations.part import Files, Part, Stream
from spikey.integrations.readers import open_unit
from spikey.integrations.recording_source import RecordingSource


@dataclass(frozen=True)
class Traces:
    """Samples as SpikeInterface gives them; no file is restored from them."""

    recording: si.BaseRecording
    segment: int
    paths: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    restored: str = ""
    file_map: None = None

    @property
    def rate(self) -> float:
        return float(self.recording.sampling_frequency)

    @property
    def sample_bytes(self) -> int:
        frames = self.recording.get_num_samples(self.segment)
        return int(frames * self.recording.get_num_channels() * self.recording.get_dtype().itemsize)

    def open(self, name: str) -> RecordingSource:
        return RecordingSource(self.recording, self.segment, name)


def read_parts(unit: Unit, root: Path) -> list[Part]:
    """The parts of a recording, named as they lie below `root`, without side files.

    Raises DataError where no reader takes it, UsageError for a reader that does not exist.
    """
    return list(_parts(unit, root))


def _parts(unit: Unit, root: Path) -> Iterator[Part]:
    path = Path(os.path.abspath(unit.place))
    reader, opened = open_unit(unit, path)
    segments = [(each.block, seg, each) for each in opened for seg in range(each.segments)]
    flats = {
        (block, seg, name): flat_file(recording, seg, reader)
        for block, seg, each in segments
        for name, recording in each.streams.items()
    }
    # A file that several segments lie in would be stored several times.
    paths = {(block, seg, flat[0].files[0].path) for (block, seg, _), flat in flats.items() if flat is not None}
    uses = Counter(os.fspath(path) for *_, path in paths)
    members = {os.path.realpath(each): each for each in unit.members}
    once = {}
    for key, flat in flats.items():
        if flat is not None:
            place = os.fspath(flat[0].files[0].path)
            if uses[place] == 1 and place in members and is_safe(members[place].relative_to(root).as_posix()):
                found = replace(flat[0].files[0], path=members[place])
                once[key] = replace(flat[0], files=(found,)), flat[1], members[place]
    for block, seg, each in segments:
        grouped: dict[Path, list[Stream]] = {}
        for name, recording in each.streams.items():
            if (block, seg, name) in once:
                _, columns, file = once[block, seg, name]
                grouped.setdefault(file, []).append(Stream(name, recording, columns, seg))
                continue
            wanted = [path.name, name if len(each.streams) > 1 else ""]
            wanted += [f"block{block}" if len(opened) > 1 else "", f"seg{seg}" if each.segments > 1 else ""]
            title = ".".join(re.sub(r"[^\w.#-]+", "_", word).strip("_") for word in wanted if word)
            if unit.place != root and unit.place.is_relative_to(root):
                title = (unit.place.parent.relative_to(root) / title).as_posix()
            columns = tuple(range(recording.get_num_channels()))
            yield Part(title, reader, Traces(recording, seg), block, seg, (Stream(name, recording, columns, seg),))
        for file, streams in grouped.items():
            mapped = once[block, seg, streams[0].name][0]
            name = file.relative_to(root).as_posix()
            yield Part(name, reader, Files(mapped, (name,)), block, seg, tuple(streams), notes=mapped.notes)
