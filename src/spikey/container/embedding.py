"""Whether a trained network is stored in the file that was coded with it, decided by the sizes of the whole file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

from spikey.base.errors import UsageError
from spikey.base.wire import Cursor, varint
from spikey.coding.packed_bytes import pack_bytes, unpack_bytes
from spikey.container.layout import LARGEST_RECORD
from spikey.model.trained import LARGEST_FILE, Model, file_of, is_shipped, load

SHARE = 100  # a user's model is embedded by default if it takes at most one part in so many of the file


class Fate(Enum):
    """What becomes of a model: its id alone is in the file, or the model itself, or the file does without it."""

    NAMED = 1
    EMBEDDED = 2
    DROPPED = 3


@dataclass
class Tally:
    """What a network did for a file: bytes that it saved over coding without it, not counting the model itself; whether
    any block needs it; and what became of it. `saved` is None where some block has no other coding to compare with.
    """

    saved: int | None = 0
    used: bool = False
    fate: Fate = Fate.DROPPED

    def add(self, saved: int | None) -> None:
        """Count a block, or a file, that needs the model."""
        self.used = True
        self.saved = None if saved is None or self.saved is None else self.saved + saved


class Embedding:
    """A model that may be embedded in a file.

    embed: True where it must unless the file is smaller without it, False where it must not, None where a model that
    is not shipped is embedded if it takes at most 1 % of the file.
    """

    def __init__(self, model: Model, embed: bool | None):
        self.model, self.forced = model, embed is True
        self.wanted = self.forced or (embed is None and not is_shipped(model))
        if self.wanted and len(self.record) > LARGEST_RECORD:
            if self.forced:
                raise UsageError(
                    f"model {model.name} takes {len(self.record):,} bytes; at most {LARGEST_RECORD:,} can be embedded"
                )
            self.wanted = False

    @cached_property
    def record(self) -> bytes:
        """The record's content with the model in it."""
        return self.model.id + packed_model(self.model)

    @property
    def cost(self) -> int:
        """Bytes that the model takes beyond being named; the record's length takes more bytes as well."""
        return len(self.record) - len(self.model.id) + len(varint(len(self.record))) - 1

    def content(self, fate: Fate) -> bytes:
        """The record's content where the model is named or embedded."""
        return self.record if fate is Fate.EMBEDDED else self.model.id

    def fate(self, size: int, saved: int | None) -> Fate:
        """What becomes of the model in a file of `size` bytes, which names it, and for which it saved so many bytes.

        saved: None where that is unknown.
        """
        if not self.wanted or (not self.forced and SHARE * self.cost > size + self.cost):
            return Fate.NAMED
        return Fate.EMBEDDED if saved is None or saved >= self.cost else Fate.DROPPED


@lru_cache(maxsize=8)
def packed_model(model: Model) -> bytes:
    """A model as records and archives hold it: its size, then its file, packed."""
    return varint(len(model.file)) + pack_bytes(model.file, 2)


def unpack_model(cursor: Cursor) -> Model:
    """The model that `packed_model` packed, checked; DataError for anything else."""
    size = cursor.varint(LARGEST_FILE)
    return load(unpack_bytes(cursor.rest(), size, cursor.what))


def note_on_model(tally: Tally, model: Model | None) -> str:
    """The note on a file that needs a model which is neither in it nor in the package; nothing otherwise."""
    if model is None or tally.fate is not Fate.NAMED or not tally.used or is_shipped(model):
        return ""
    path = file_of(model)
    kept = f"keep {path}" if path is not None else "keep its file"
    what = f"model {model.id.hex()} ({model.name})"
    return f"{what} is needed to restore what was compressed: {kept}, or compress with --embed-model"
