"""SpikeGLX: pairs of `.bin` (interleaved int16) and `.meta` (lines of the form key=value) of one name.

Of the metadata, the number of channels and the sampling rate suffice, so every probe type can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spikey.base.errors import DataError
from spikey.recording.sample_map import Mapped, MappedFile
from spikey.vendors.bounded import file_size, integer, rate_of, text_of
from spikey.vendors.parsed import Parsed, each, flat_runs, layout_of, mapped

READER = "spikeglx"
RATES = {"imec": "imSampRate", "nidq": "niSampRate", "obx": "obSampRate", "onebox": "obSampRate"}  # by typeThis


def parse(members: Sequence[Path]) -> Parsed:
    """Each `.bin` with its `.meta`."""
    there = set(members)
    return each((p for p in members if p.suffix.lower() == ".bin" and p.with_suffix(".meta") in there), parse_pair)


def parse_pair(path: Path) -> Mapped:
    """The recording of a `.bin` with its `.meta` beside it."""
    values: dict[str, str] = {}
    for line in text_of(path.with_suffix(".meta")).splitlines():
        name, _, value = line.partition("=")
        values.setdefault(name.strip(), value.strip())
    channels = integer(values.get("nSavedChans", ""), "nSavedChans in its .meta")
    likely = (RATES.get(values.get("typeThis", "").lower(), ""), *(key for key in values if key.endswith("SampRate")))
    key = next((key for key in likely if key and key in values), None)
    if key is None:
        raise DataError("its .meta contains no sampling rate")
    layout = layout_of(channels, rate_of(values[key], f"{key} in its .meta"), "int16")
    runs, notes = flat_runs(file_size(path), layout)
    return mapped(READER, layout, [MappedFile(path, runs)], notes=notes)
