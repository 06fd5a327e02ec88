"""Vendors' recordings, read with SpikeInterface and Neo: their parts, each of which is compressed to one file."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spikey.base.errors import DataError, UsageError, install
from spikey.container.extra import Extra, SideFile, safe_name
from spikey.files.compress import Output, write_recording
from spikey.files.settings import Outcome, Progress, Settings
from spikey.integrations.discovery import Unit
from spikey.integrations.unchanged import Unchanged, check_sizes

try:
    import spikeinterface.core as si
    from spikeinterface.extractors import extractor_classes

    from spikey.integrations.description import describe
    from spikey.integrations.flat_file import FlatFile, flat_file
    from spikey.integrations.neo_patches import patched_neo
    from spikey.integrations.recording_source import RecordingSource, second
except ImportError as error:
    raise ImportError(
        f"vendors' folders and files need SpikeInterface: {install('spikeinterface')} ({error})"
    ) from None

MOST_NAMED = 100  # files that are not stored, in the metadata


@dataclass(frozen=True)
class Part:
    """One file to be: the streams in it with the recordings that hold them, the segment, and what travels along.

    name: where the flat file lay below the input, or a title. file: the path of that flat file; None where only samples
    are stored. files: its side files. sizes: of the files that are read, in bytes, as they were when they were found.
    not_stored: names of files of the input that no output restores; none but in the first part.
    """

    name: str
    recordings: tuple[tuple[str, si.BaseRecording, tuple[int, ...]], ...]
    reader: str
    block: int
    segment: int
    flat: FlatFile | None
    file: Path | None = None
    files: tuple[SideFile, ...] = ()
    sizes: tuple[tuple[Path, int], ...] = ()
    not_stored: tuple[str, ...] = ()

    @property
    def streams(self) -> list[str]:
        """Names of the streams in it."""
        return [name for name, _, _ in self.recordings]

    @property
    def origin(self) -> Path | None:
        """The file whose mode and modification time the output gets: the flat one, or the first that is read."""
        return self.file or next((path for path, _ in self.sizes), None)

    @property
    def sample_bytes(self) -> int:
        """Bytes of the samples as SpikeInterface gives them."""
        return sum(
            rec.get_num_samples(self.segment) * rec.get_num_channels() * rec.get_dtype().itemsize
            for _, rec, _ in self.recordings
        )

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
        frames = settings.block_frames or second(self.recordings[0][1].sampling_frequency)
        settings = replace(settings, block_frames=frames)
        if self.flat is None:
            _, recording, _ = self.recordings[0]
            source = RecordingSource(recording, self.segment, self.name)
            return self._write(source, out_path, settings, progress, overwrite)
        with self.flat.open() as file:
            return self._write(file, out_path, settings, progress, overwrite)

    def _write(
        self,
        source: Any,
        out_path: str | os.PathLike[str],
        settings: Settings,
        progress: Progress | None,
        overwrite: bool,
    ) -> Outcome:
        unchanged = Unchanged(source, dict(self.sizes))
        readable_as = [file.path for file in self.files]
        output = Output(out_path, overwrite, like=self.origin, readable_as=readable_as)
        outcome = write_recording(unchanged, output, settings, extra=self._extra(), progress=progress)
        notes = [outcome.note, "" if self.flat is None else self.flat.remainder(self.name)]
        return replace(outcome, note="; ".join(filter(None, notes)))

    def _extra(self) -> Extra:
        streams = [describe(rec, self.segment, name, list(columns)) for name, rec, columns in self.recordings]
        origin: dict[str, Any] = {"reader": self.reader, "block": self.block, "segment": self.segment}
        if self.flat is not None:
            origin["file"] = self.name
        metadata: dict[str, Any] = {"streams": streams, "source": origin}
        if self.not_stored:
            metadata["not_stored"] = list(self.not_stored[:MOST_NAMED])
            metadata["not_stored_count"] = len(self.not_stored)
        return Extra(metadata, self.files)


def read_parts(unit: Unit, root: Path) -> list[Part]:
    """The parts of a recording, named as they lie below `root`, without side files.

    Raises DataError where no reader takes it, UsageError for a reader that does not exist.
    """
    failed: list[str] = []
    only = unit.members if unit.readers == ("spikeglx",) else ()
    for name in unit.readers:
        if name not in _classes() and name != "saved":
            raise UsageError(f"there is no reader {name!r}; SpikeInterface has {', '.join(sorted(_classes()))}")
        try:
            with warnings.catch_warnings(record=True) as caught, patched_neo(only):
                found = list(_parts(name, unit, root))
        except Exception as error:  # each reader has its own kinds
            failed.append(f"{name}: {' '.join(str(error).split())[:300] or type(error).__name__}")
            continue
        if found:
            for each in caught:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
            return found
        failed.append(f"{name}: finds no samples there")
    raise DataError("; ".join(failed))


def _classes() -> dict[str, Any]:
    """SpikeInterface's readers of recordings, by their short names."""
    found = {}
    for name, each in vars(extractor_classes).items():
        if inspect.isclass(each) and issubclass(each, si.BaseRecording) and name.endswith("RecordingExtractor"):
            found[name.removesuffix("RecordingExtractor").lower()] = each
    return found


def _parts(reader: str, unit: Unit, root: Path) -> Iterator[Part]:
    """The parts of what a reader makes of a unit."""
    path = Path(os.path.abspath(unit.place))
    opened = [(block, _opened(reader, path, block)) for block in range(_blocks(reader, path))]
    segments = [(block, seg, streams) for block, streams in opened for seg in range(_count(streams))]
    flats = {
        (block, seg, name): flat_file(recording, seg)
        for block, seg, streams in segments
        for name, recording in streams.items()
    }
    # A file that several segments lie in would be stored several times.
    uses = Counter(path for _, _, path in {(b, s, flat.path) for (b, s, _), flat in flats.items() if flat})
    members = {os.path.realpath(each): each for each in unit.members}
    once = {
        key: (flat, members[flat.path])
        for key, flat in flats.items()
        if flat and uses[flat.path] == 1 and flat.path in members and _has_safe_name(members[flat.path], root)
    }
    for block, seg, streams in segments:
        grouped: dict[Path, list[tuple[str, si.BaseRecording, tuple[int, ...]]]] = {}
        for name, recording in streams.items():
            if (block, seg, name) in once:
                flat, file = once[block, seg, name]
                grouped.setdefault(file, []).append((name, recording, flat.columns))
                continue
            wanted = [path.name, name if len(streams) > 1 else ""]
            wanted += [f"block{block}" if len(opened) > 1 else "", f"seg{seg}" if _count(streams) > 1 else ""]
            title = ".".join(re.sub(r"[^\w.#-]+", "_", word).strip("_") for word in wanted if word)
            if unit.place != root and unit.place.is_relative_to(root):
                title = (unit.place.parent.relative_to(root) / title).as_posix()
            columns = tuple(range(recording.get_num_channels()))
            yield Part(title, ((name, recording, columns),), reader, block, seg, None)
        for file, group in grouped.items():
            flat, _ = once[block, seg, group[0][0]]
            yield Part(file.relative_to(root).as_posix(), tuple(group), reader, block, seg, flat, file)


def _has_safe_name(path: Path, root: Path) -> bool:
    """Whether a file can be restored under its name on every system."""
    try:
        return bool(safe_name(path.relative_to(root).as_posix()))
    except DataError:
        return False


def _count(streams: dict[str, si.BaseRecording]) -> int:
    """Segments."""
    return max((recording.get_num_segments() for recording in streams.values()), default=0)


def _blocks(reader: str, path: Path) -> int:
    each = _classes().get(reader)
    if each is None or "block_index" not in inspect.signature(each.__init__).parameters:
        return 1
    return int(each.get_num_blocks(path))


def _opened(reader: str, path: Path, block: int) -> dict[str, si.BaseRecording]:
    """The recordings of all streams, by name."""
    with suppress(ImportError):
        import spikey.integrations.hdf5  # noqa: F401 (so that files with this filter can be read)
    if reader == "saved":
        loaded = si.load(path)
        return {"": loaded} if isinstance(loaded, si.BaseRecording) else {}
    each = _classes()[reader]
    options: dict[str, Any] = {}
    if "block_index" in inspect.signature(each.__init__).parameters:
        options["block_index"] = block
    if reader == "nwb":
        found = each.fetch_available_electrical_series_paths(path)
        return {name: each(path, electrical_series_path=name) for name in found}
    if not hasattr(each, "get_streams"):
        return {"": each(path)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # given again by what is opened below
        try:
            recording = each(path, **options)
            return {recording.stream_name: recording}
        except ValueError as error:
            if "several streams" not in str(error):
                raise
        names, _ = each.get_streams(path)
    return {name: each(path, stream_name=name, **options) for name in names}
