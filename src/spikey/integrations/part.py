"""One output to be of a vendor's recording: where its samples come from, and what is stored beside them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spikey.container.extra import Extra, SideFile
from spikey.container.file_map import FileMap
from spikey.files.compress import Output, write_recording
from spikey.files.settings import Outcome, Progress, Settings
from spikey.integrations.unchanged import Unchanged, check_sizes
from spikey.recording.mapped import MappedSource
from spikey.recording.readable import Named
from spikey.recording.sample_map import Mapped, flat_of
from spikey.recording.source import Source, open_file

if TYPE_CHECKING:
    from spikey.vendors.mtscomp import Converted

MOST_NAMED = 100  # files that are not stored, in the metadata


class Content(Protocol):
    """Where samples come from.

    paths: the files that the output restores from its samples; none where it restores only these. read: the files that
    are read, where they are known. restored: the name of the restored file, or the first one, below the input's folder;
    empty where it follows from the output's.
    """

    @property
    def paths(self) -> tuple[Path, ...]: ...
    @property
    def read(self) -> tuple[Path, ...]: ...
    @property
    def restored(self) -> str: ...
    @property
    def rate(self) -> float: ...
    @property
    def sample_bytes(self) -> int: ...
    @property
    def file_map(self) -> FileMap | None: ...
    def open(self, name: str) -> AbstractContextManager[Named]: ...


@dataclass(frozen=True)
class Files:
    """Files of which every byte is stored. names: below the input's folder; restorable: whether they are the files'."""

    mapped: Mapped
    names: tuple[str, ...]
    restorable: bool = True

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.read if self.restorable else ()

    @property
    def read(self) -> tuple[Path, ...]:
        return tuple(file.path for file in self.mapped.files)

    @property
    def restored(self) -> str:
        return self.names[0]

    @property
    def rate(self) -> float:
        return self.mapped.layout.rate

    @property
    def sample_bytes(self) -> int:
        return self.mapped.frames * self.mapped.layout.frame_bytes

    @property
    def file_map(self) -> FileMap | None:
        """None of one file of nothing but frames between a head and a tail."""
        if self._flat() is not None:
            return None
        return FileMap(self.names, tuple(file.runs for file in self.mapped.files), self.mapped.big_endian)

    def _flat(self) -> tuple[int, int] | None:
        many = len(self.mapped.files) > 1 or self.mapped.big_endian
        return None if many else flat_of(self.mapped.files[0].runs)

    def open(self, name: str) -> MappedSource | Source:
        """The samples and the other bytes."""
        flat = self._flat()
        if flat is None:
            return MappedSource(self.mapped, name)
        head, frames = flat
        file, title, size = open_file(self.mapped.files[0].path)
        return Source(file, title, self.mapped.layout, head, frames * self.mapped.layout.frame_bytes, size)


@dataclass(frozen=True)
class Decoded:
    """Another compressor's file, whose original is restored; name: of that, below the input's folder."""

    converted: Converted
    name: str
    paths: tuple[Path, ...] = ()

    @property
    def read(self) -> tuple[Path, ...]:
        return (self.converted.path, self.converted.beside)

    @property
    def restored(self) -> str:
        return self.name

    @property
    def rate(self) -> float:
        return self.converted.layout.rate

    @property
    def sample_bytes(self) -> int:
        return self.converted.frames * self.converted.layout.frame_bytes

    file_map: None = None

    def open(self, name: str) -> AbstractContextManager[Named]:
        return self.converted.open()


@dataclass(frozen=True)
class Stream:
    """A recording as SpikeInterface has it: some columns of an output are its channels; from a segment on."""

    name: str
    recording: Any
    columns: tuple[int, ...]
    segment: int = 0


@dataclass(frozen=True)
class Part:
    """One output to be.

    name: where the flat file lay below the input, or a title. reader, block, segment: the format, as SpikeInterface
    calls it, and which part of the recording it is. streams: what is known of its channels. files: its side files.
    sizes: of the files that are read, in bytes, as they were when they were found. not_stored: names of files of the
    input that no output restores; none but in the first part. notes: for the user.
    """

    name: str
    reader: str
    content: Content
    block: int = 0
    segment: int = 0
    streams: tuple[Stream, ...] = ()
    files: tuple[SideFile, ...] = ()
    sizes: tuple[tuple[Path, int], ...] = ()
    not_stored: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def names(self) -> list[str]:
        """Names of its streams: those that are known, else the file's."""
        known = [stream.name for stream in self.streams]
        return known or [Path(self.content.restored or self.name).name]

    @property
    def described(self) -> bool:
        """Whether names of its channels are known."""
        return bool(self.streams or (isinstance(self.content, Files) and self.content.mapped.channels))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that its samples restore."""
        return self.content.paths

    @property
    def origin(self) -> Path | None:
        """The file whose mode and modification time the output gets: the restored one, or the first that is read."""
        return next(iter(self.paths), None) or next((path for path, _ in self.sizes), None)

    @property
    def sample_bytes(self) -> int:
        """Bytes of the samples."""
        return self.content.sample_bytes

    def compress(
        self,
        out_path: str | os.PathLike[str],
        settings: Settings,
        progress: Progress | None = None,
        overwrite: bool = False,
    ) -> Outcome:
        """Write the part to `out_path`, checked like any other.

        overwrite: whether to replace a file that exists; the output gets the mode and time of `origin`.
        Raises DataError where a file has changed since it was found, or changes meanwhile.
        """
        check_sizes(dict(self.sizes))
        settings = replace(settings, block_frames=settings.block_frames or second(self.content.rate))
        output = Output(out_path, overwrite, like=self.origin, readable_as=[file.path for file in self.files])
        with self.content.open(self.name) as source:
            outcome = write_recording(
                Unchanged(source, dict(self.sizes)),
                output,
                settings,
                extra=self._extra(),
                file_map=self.content.file_map,
                progress=progress,
            )
        noted = f"{self.name}: {'; '.join(self.notes)}" if self.notes else ""
        return replace(outcome, note="; ".join(filter(None, [outcome.note, noted])))

    def _extra(self) -> Extra:
        origin: dict[str, Any] = {"reader": self.reader, "block": self.block, "segment": self.segment}
        if self.content.restored:
            origin["file"] = self.content.restored
        metadata: dict[str, Any] = {"streams": self._streams(), "source": origin}
        if self.not_stored:
            metadata["not_stored"] = list(self.not_stored[:MOST_NAMED])
            metadata["not_stored_count"] = len(self.not_stored)
        return Extra(metadata, self.files)

    def _streams(self) -> list[dict[str, Any]]:
        if not self.streams:
            return self._listed()
        from spikey.integrations.description import describe

        return [describe(each.recording, each.segment, each.name, list(each.columns)) for each in self.streams]

    def _listed(self) -> list[dict[str, Any]]:
        """The stream of all channels, as the files themselves list them."""
        channels = self.content.mapped.channels if isinstance(self.content, Files) else ()
        if not channels:
            return []
        names = [each.name for each in channels]
        unique = names if len(set(names)) == len(names) and all(names) else [f"{k}" for k in range(len(names))]
        properties: dict[str, Any] = {"channel_name": {"dtype": "<U", "values": names}}
        if all(each.gain is not None for each in channels):
            properties["gain_to_uV"] = {"dtype": "<f8", "values": [each.gain for each in channels]}
            properties["offset_to_uV"] = {"dtype": "<f8", "values": [each.offset for each in channels]}
        return [
            {
                "name": self.names[0],
                "columns": list(range(len(channels))),
                "channel_ids": {"dtype": "<U", "values": unique},
                "properties": properties,
                "annotations": {},
                "probe": None,
                "t_start": None,
            }
        ]


def second(rate: float) -> int:
    """Frames of a full block: those of a second, as SpikeInterface's chunks, within bounds.

    >>> second(30_000), second(2_500)
    (30000, 4096)
    """
    return min(max(round(rate), 1 << 12), 1 << 16)
