"""The extension records of a file's header: one record each, from which layout, checks and documents derive."""

from __future__ import annotations

from dataclasses import dataclass

from spikey.base.registry import Registry

MOST_NUMBER = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ExtensionRecord:
    """A type of extension record. critical: without it the file cannot be restored. lossy: it marks files that do not
    restore the original's samples.
    """

    name: str
    number: int
    critical: bool
    lossy: bool
    about: str


RECORDS: Registry[ExtensionRecord] = Registry("extension record", most=MOST_NUMBER)


def _add(name: str, number: int, about: str, *, critical: bool = True, lossy: bool = False) -> int:
    RECORDS.register(ExtensionRecord(name=name, number=number, critical=critical, lossy=lossy, about=about))
    return number


CALIBRATION = _add("calibration", 1, "an embedded calibration, packed")
MODEL = _add("model", 2, "the id of a trained network, or the id and the network, packed")
HEAD = _add("head", 3, "the bytes before the samples, packed")
TAIL = _add("tail", 4, "the bytes after the samples, packed")
METADATA = _add("metadata", 5, "JSON on the recording and its side files, packed", critical=False)
COMPANIONS = _add("companions", 6, "how many channels of other recordings the blocks are coded with; 0 for a copy")
BINS = _add("bins", 7, "how a lossy recording was quantised", lossy=True)
FILE_MAP = _add("file map", 9, "how files are made of the samples and of the other bytes, packed")
CORRECTION = _add("correction", 8, "the lossy recording that this file corrects", lossy=True)
