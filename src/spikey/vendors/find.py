"""Finds the recordings among the files of one unit, by the parser of its format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from spikey.vendors import (
    blackrock,
    brainvision,
    edf,
    intan_folder,
    micromed,
    mtscomp,
    neuralynx,
    open_ephys_binary,
    open_ephys_legacy,
    spikeglx,
)
from spikey.vendors.parsed import Parsed as Parsed
from spikey.vendors.parsed import each


def find(reader: str, place: Path, members: Sequence[Path]) -> Parsed | None:
    """Parse the files of one unit.

    Parameters
    ----------
    reader : str
        SpikeInterface's short name of the format, or "brainvision", "micromed" or "mtscomp".
    place : Path
        The file or the folder that the unit is.
    members : sequence of Path
        All files of the unit; for a folder, everything in it.

    Returns
    -------
    Parsed or None
        Recordings, and files that look like recordings and cannot be parsed, with the reason. Members that are in
        neither lie beside the recordings. None: no parser of this package reads the format.
    """
    parser = PARSERS.get(reader)
    return parser(tuple(dict.fromkeys(members))) if parser is not None else None


def _blackrock(members: Sequence[Path]) -> Parsed:
    return each((p for p in members if re.fullmatch(r"\.ns[1-9]", p.suffix.lower())), blackrock.parse_nsx)


def _edf(members: Sequence[Path]) -> Parsed:
    return each((p for p in members if p.suffix.lower() in (".edf", ".bdf", ".rec")), edf.parse_edf)


def _micromed(members: Sequence[Path]) -> Parsed:
    return each((p for p in members if p.suffix.lower() == ".trc"), micromed.parse_trc)


def _mtscomp(members: Sequence[Path]) -> Parsed:
    return each((p for p in members if p.suffix == ".cbin"), partial(mtscomp.parse_cbin, members=members))


PARSERS: dict[str, Callable[[Sequence[Path]], Parsed]] = {
    "spikeglx": spikeglx.parse,
    "neuralynx": neuralynx.parse,
    "openephysbinary": open_ephys_binary.parse,
    "openephyslegacy": open_ephys_legacy.parse,
    "blackrock": _blackrock,
    "intan": intan_folder.parse,
    "brainvision": brainvision.parse,
    "edf": _edf,
    "micromed": _micromed,
    "mtscomp": _mtscomp,
}
