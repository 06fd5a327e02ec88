"""Vendors' folders and files, read with SpikeInterface and Neo: what they hold, and each part of it compressed."""

from __future__ import annotations

import inspect
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spikey.container.extra import Extra
from spikey.errors import DataError, SpikeyError, UsageError, install
from spikey.files import Outcome, Progress, Settings, calibration_for, write_recording

try:
    import spikeinterface.core as si
    from spikeinterface.extractors import extractor_classes

    from spikey.integrations.description import describe
    from spikey.integrations.flat import FlatFile, flat_file, side_files
    from spikey.integrations.spikeinterface import RecordingSource, second
except ImportError as error:
    raise ImportError(
        f"vendors' folders and files need SpikeInterface: {install('spikeinterface')} ({error})"
    ) from None

SUFFIXES = {".rhd": "intan", ".rhs": "intan", ".nwb": "nwb"} | {f".ns{n}": "blackrock" for n in range(1, 10)}
SAVED = ("binary.json", "si_folder.json", "spikeinterface_info.json", ".zgroup", "zarr.json")  # by SpikeInterface


@dataclass(frozen=True)
class Part:
    """One file to be: `name` without `.spky`, the streams in it with the recordings that hold them, and the segment."""

    name: str
    recordings: tuple[tuple[str, si.BaseRecording, tuple[int, ...]], ...]
    reader: str
    block: int
    segment: int
    root: Path
    flat: FlatFile | None
    beside: frozenset[Path]  # the flat files of all parts

    @property
    def streams(self) -> list[str]:
        """Names of the streams in it."""
        return [name for name, _, _ in self.recordings]

    def compress(self, out_path: Path, settings: Settings, progress: Progress | None = None) -> Outcome:
        """Write the part to `out_path`, checked like any other; the preset is `realtime` where none is asked for."""
        settings = replace(
            settings,
            preset=settings.preset or "realtime",
            block_frames=settings.block_frames or second(self.recordings[0][1].sampling_frequency),
        )
        if self.flat is None:
            _, recording, _ = self.recordings[0]
            return self._write(RecordingSource(recording, self.segment, self.name), out_path, settings, progress)
        with self.flat.open() as source:
            return self._write(source, out_path, settings, progress)

    def _write(self, source: Any, out_path: Path, settings: Settings, progress: Progress | None) -> Outcome:
        calibration, embed = calibration_for(source, settings)
        return write_recording(source, out_path, settings, calibration, embed, progress, extra=self._extra())

    def _extra(self) -> Extra:
        streams = [describe(rec, self.segment, name, list(columns)) for name, rec, columns in self.recordings]
        origin: dict[str, Any] = {"reader": self.reader, "block": self.block, "segment": self.segment}
        if self.flat is None:
            return Extra({"streams": streams, "source": origin})
        path = Path(self.flat.path)
        origin["file"] = path.relative_to(self.root).as_posix()
        kept = side_files(path, self.root, set(self.beside))
        return Extra({"streams": streams, "source": origin}, tuple(kept))


def parts_of(path: Path, stream: str | None = None, reader: str | None = None) -> list[Part]:
    """What a vendor's file or folder holds, one part for each file to be.

    stream: only the part with this stream. reader: SpikeInterface's name of the format, where it cannot be told.
    Raises DataError where no reader takes it, UsageError for a stream or reader that there is not.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if reader is None and path.is_dir() and (files := _files_in(path)):
        parts = [
            replace(part, name=(file.parent.relative_to(path) / part.name).as_posix())
            for file in files
            for part in parts_of(file, stream)
        ]
        return parts
    failed: list[str] = []
    for name, where, only in _candidates(path.absolute(), reader):
        try:
            with warnings.catch_warnings(record=True) as said:
                found = list(_parts(name, where, only))
        except SpikeyError:
            raise
        except Exception as error:  # each reader has its own kinds
            failed.append(f"{name}: {' '.join(str(error).split())[:300] or type(error).__name__}")
            continue
        if not found:
            failed.append(f"{name}: finds no samples there")
            continue
        for each in said:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        if stream is None:
            return found
        chosen = [part for part in found if stream in part.streams]
        if not chosen:
            listed = ", ".join(sorted({each for part in found for each in part.streams}))
            raise UsageError(f"{path}: has no stream {stream!r}; there are: {listed}")
        return chosen
    if not failed:
        raise DataError(f"{path}: holds no recording that SpikeInterface or Neo knows; --reader names its format")
    hint = "" if reader else "; --reader names its format"
    raise DataError(f"{path}: cannot be read as a recording ({'; '.join(failed)}){hint}")


def takes(path: Path) -> bool:
    """Whether there is a reader for a file or folder, going by names only."""
    if path.is_dir() and _files_in(path):
        return True
    return next(_candidates(path.absolute(), None), None) is not None


def _classes() -> dict[str, Any]:
    """SpikeInterface's readers of recordings, by their short names."""
    found = {}
    for name, each in vars(extractor_classes).items():
        if inspect.isclass(each) and issubclass(each, si.BaseRecording) and name.endswith("RecordingExtractor"):
            found[name.removesuffix("RecordingExtractor").lower()] = each
    return found


def _candidates(path: Path, reader: str | None) -> Iterator[tuple[str, Path, Path | None]]:
    """Readers that may take a path: name, what to give them, and the one file of it that is wanted."""
    if reader is not None:
        if reader not in _classes() and reader != "saved":
            raise UsageError(f"there is no reader {reader!r}; SpikeInterface has {', '.join(sorted(_classes()))}")
        yield reader, path, None
        return
    if path.is_dir():
        yield from _folder_candidates(path)
    elif path.suffix in (".bin", ".meta") and path.with_suffix(".meta").is_file():
        yield "spikeglx", path.parent, path.with_suffix(".bin")
    elif home := next((p for p in path.parents[:4] if (p / "structure.oebin").is_file()), None):
        yield "openephysbinary", home, path if path.suffix == ".dat" else None
    elif path.suffix.lower() in SUFFIXES:
        yield SUFFIXES[path.suffix.lower()], path, None
    else:
        yield from ((name, path, None) for name in _neo_candidates(path))


def _files_in(path: Path) -> list[Path]:
    """The files of a folder that are recordings by themselves, where the folder is not one."""
    if next(_folder_candidates(path), None) is not None:
        return []
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _folder_candidates(path: Path) -> Iterator[tuple[str, Path, Path | None]]:
    if any((path / mark).exists() for mark in SAVED):
        yield "saved", path, None
    elif any(meta.with_suffix(".bin").is_file() for meta in path.rglob("*.meta")):
        yield "spikeglx", path, None
    elif next(path.rglob("structure.oebin"), None):
        yield "openephysbinary", path, None
    elif next(path.glob("*.continuous"), None):
        yield "openephyslegacy", path, None
    elif (path / "info.rhd").is_file() or (path / "info.rhs").is_file():
        yield "intan", next(path.glob("info.rh[ds]")), None
    else:
        yield from ((name, path, None) for name in _neo_candidates(path))


def _neo_candidates(path: Path) -> list[str]:
    """Readers that go by the endings of file names, the likeliest first."""
    from neo.rawio import get_rawio

    mode = "dir" if path.is_dir() else "file"
    classes = {each.NeoRawIOClass: name for name, each in _classes().items() if getattr(each, "NeoRawIOClass", None)}
    possible = get_rawio(path, exclusive_rawio=False) or []
    return [classes[raw.__name__] for raw in possible if raw.__name__ in classes and mode in raw.rawmode]


def _parts(reader: str, path: Path, only: Path | None) -> Iterator[Part]:
    """The parts of what a reader makes of a path."""
    root = path if path.is_dir() else path.parent
    opened = [(block, _opened(reader, path, block)) for block in range(_blocks(reader, path))]
    segments = [(block, seg, streams) for block, streams in opened for seg in range(_count(streams))]
    flats = {
        (block, seg, name): flat_file(recording, seg)
        for block, seg, streams in segments
        for name, recording in streams.items()
    }
    # A file that several segments lie in would be kept several times.
    uses = Counter(path for _, _, path in {(b, s, flat.path) for (b, s, _), flat in flats.items() if flat})
    once = {key: flat for key, flat in flats.items() if flat and uses[flat.path] == 1}
    beside = frozenset(Path(flat.path) for flat in once.values())
    for block, seg, streams in segments:
        grouped: dict[str, list[tuple[str, si.BaseRecording, tuple[int, ...]]]] = {}
        for name, recording in streams.items():
            flat = once.get((block, seg, name))
            if flat is not None and Path(flat.path).is_relative_to(root):
                grouped.setdefault(flat.path, []).append((name, recording, flat.columns))
            elif only is None:
                wanted = [path.name, name if len(streams) > 1 else ""]
                wanted += [f"block{block}" if len(opened) > 1 else "", f"seg{seg}" if _count(streams) > 1 else ""]
                title = ".".join(re.sub(r"[^\w.#-]+", "_", word).strip("_") for word in wanted if word)
                columns = tuple(range(recording.get_num_channels()))
                yield Part(title, ((name, recording, columns),), reader, block, seg, root, None, beside)
        for file, group in grouped.items():
            if only in (None, Path(file)):
                title = Path(file).relative_to(root).as_posix()
                flat = once[block, seg, group[0][0]]
                yield Part(title, tuple(group), reader, block, seg, root, flat, beside)


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
    if reader == "saved":
        return {"": si.load(path)}
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
        warnings.simplefilter("ignore")  # said again by what is opened below
        try:
            recording = each(path, **options)
            return {recording.stream_name: recording}
        except ValueError as error:
            if "several streams" not in str(error):
                raise
        names, _ = each.get_streams(path)
    return {name: each(path, stream_name=name, **options) for name in names}
