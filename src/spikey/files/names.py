"""What files are called: a compressed recording, and the file restored from it."""

from __future__ import annotations

import re
from pathlib import PurePath

from spikey.base.errors import DataError
from spikey.container.extra import safe_name
from spikey.container.layout import BLOCK_BYTES, BLOCK_HEAD, BYTES, CANONICAL, WRAPPED
from spikey.container.reader import Reader

SUFFIX = ".spky"
JOURNAL = ".spikey-watch.jsonl"  # of `spikey watch`, beside its outputs
RAW = (".dat", ".bin", ".raw")  # what files of nothing but samples are most often called
SUFFIXES = re.compile(r"\.[a-z][a-z0-9_]{0,9}")  # what a file's kind is called, unlike the number in day.2024
WAV_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"BW64")


def packed_name(name: str, whole: bool = False) -> str:
    """The name of a compressed file: of a WAV file with `.spky` instead of its suffix, of others with `.spky` after it.

    whole: whether a WAV file's suffix stays as well, as two inputs would share the name otherwise.

    >>> packed_name("a.wav"), packed_name("a.dat"), packed_name("a.wav", whole=True)
    ('a.spky', 'a.dat.spky', 'a.wav.spky')
    """
    path = PurePath(name)
    return path.with_suffix(SUFFIX).name if path.suffix.lower() == ".wav" and not whole else path.name + SUFFIX


def derived_name(packed: str, kind: str) -> str:
    """The original's name as it follows from the compressed file's. kind: "wav", "raw" or "bytes".

    >>> derived_name("a.spky", "wav"), derived_name("a.spky", "raw"), derived_name("a.raw.spky", "raw")
    ('a.wav', 'a.dat', 'a.raw')
    """
    bare = PurePath(packed)
    if bare.suffix.lower() in (SUFFIX, ".bin"):
        bare = bare.with_suffix("")
    suffix = bare.suffix.lower()
    if kind == "wav":
        return bare.name if suffix == ".wav" else f"{bare.name}.wav"
    if kind == "raw":
        return bare.name if SUFFIXES.fullmatch(suffix) else f"{bare.name}.dat"
    return bare.name


def stored_name(reader: Reader) -> str:
    """Where the original lay below the folder that was compressed, if that is stored and can be used; else empty."""
    name = reader.metadata.get("source", {}).get("file")
    return name if isinstance(name, str) and is_safe(name) else ""


def is_safe(name: str) -> bool:
    """Whether a file of that name can be restored on every system, so that it may be stored.

    >>> is_safe("a.wav"), is_safe("rec 12:30.wav")
    (True, False)
    """
    try:
        return bool(safe_name(name))
    except DataError:
        return False


def is_wav(first: bytes) -> bool:
    """Whether a file that begins so is a WAV file.

    >>> is_wav(b"RIFF....WAVE"), is_wav(b"RIFF....AVI ")
    (True, False)
    """
    return first[:4] in WAV_MAGIC and first[8:12] == b"WAVE"


def restored_name(reader: Reader, packed: str) -> str:
    """The name under which a file restored from an opened one is written: the stored one, else what follows from
    `packed`, the compressed file's name.
    """
    name = stored_name(reader)
    if not name and reader.metadata.get("source", {}).get("reader"):  # only samples: not the file they are from
        return f"{derived_name(packed, 'bytes')}.dat"
    return name or derived_name(packed, kind_of(reader))


def kind_of(reader: Reader) -> str:
    """What an opened file restores: "wav", "raw" (samples without a header) or "bytes"."""
    wrapper = reader.header.wrapper
    if wrapper == CANONICAL:
        return "wav"
    if wrapper in (WRAPPED, BYTES):
        first = next(iter(reader.around(BLOCK_HEAD if wrapper == WRAPPED else BLOCK_BYTES)), b"")
        if is_wav(bytes(first[:12])):
            return "wav"
    return "bytes" if wrapper == BYTES else "raw"
