"""SpikeInterface's readers of vendors' formats, by their short names, and what they open."""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

from spikey.base.errors import DataError, UsageError, install
from spikey.integrations.discovery import Unit

try:
    import spikeinterface.core as si
    from spikeinterface.extractors import extractor_classes

    from spikey.integrations.neo_patches import patched_neo
except ImportError as error:
    raise ImportError(
        f"vendors' folders and files need SpikeInterface: {install('spikeinterface')} ({error})"
    ) from None

PLEXON = Path.home() / ".plexon_dlls_for_neo"  # where Neo looks for Plexon's library before it downloads one


class Opened(NamedTuple):
    """The recordings of all streams of one block, by name."""

    block: int
    streams: dict[str, si.BaseRecording]

    @property
    def segments(self) -> int:
        """Their number."""
        return max((recording.get_num_segments() for recording in self.streams.values()), default=0)


@contextmanager
def silent() -> Iterator[None]:
    """While this lasts, what readers print and log is not shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def classes() -> dict[str, Any]:
    """SpikeInterface's readers of recordings, by their short names."""
    found = {}
    for name, each in vars(extractor_classes).items():
        if inspect.isclass(each) and issubclass(each, si.BaseRecording) and name.endswith("RecordingExtractor"):
            found[name.removesuffix("RecordingExtractor").lower()] = each
    return found


def open_unit(unit: Unit, path: Path) -> tuple[str, list[Opened]]:
    """What the first of a unit's readers that takes it makes of it, with that reader's name; warnings pass through.

    Raises DataError where none does, UsageError for a reader that does not exist.
    """
    failed: list[str] = []
    only = unit.members if unit.readers == ("spikeglx",) else ()
    for name in unit.readers:
        if name not in classes() and name != "saved":
            raise UsageError(f"there is no reader {name!r}; SpikeInterface has {', '.join(sorted(classes()))}")
        if name == "plexon2" and not any(PLEXON.glob("*.dll")):
            failed.append(
                f"{name}: needs Plexon's library, which would be downloaded; export the recording as .plx or NWB"
            )
            continue
        try:
            with warnings.catch_warnings(record=True) as caught, patched_neo(only), silent():
                found = list(_blocks_of(name, path))
        except Exception as error:  # each reader has its own kinds
            failed.append(f"{name}: {' '.join(str(error).split())[:300] or type(error).__name__}")
            continue
        if any(opened.segments for opened in found):
            for each in caught:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
            return name, found
        failed.append(f"{name}: finds no samples there")
    raise DataError("; ".join(failed))


def _blocks_of(reader: str, path: Path) -> Iterator[Opened]:
    """All blocks."""
    each = classes().get(reader)
    count = 1  # of Maxwell's there is only one, and asking would download a library
    if each is not None and reader != "maxwell" and "block_index" in inspect.signature(each.__init__).parameters:
        count = int(each.get_num_blocks(path))
    for block in range(count):
        yield Opened(block, _streams(reader, path, block))


def _streams(reader: str, path: Path, block: int) -> dict[str, si.BaseRecording]:
    """The recordings of all streams, by name."""
    with suppress(ImportError):
        import spikey.integrations.hdf5  # noqa: F401 (so that files with this filter can be read)
    if reader == "saved":
        loaded = si.load(path)
        return {"": loaded} if isinstance(loaded, si.BaseRecording) else {}
    each = classes()[reader]
    parameters = inspect.signature(each.__init__).parameters
    options: dict[str, Any] = {"block_index": block} if "block_index" in parameters else {}
    if "install_maxwell_plugin" in parameters:
        options["install_maxwell_plugin"] = False  # it would be downloaded
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
