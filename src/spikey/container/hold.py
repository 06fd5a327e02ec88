"""The first blocks of a file, held back until it is certain what its header must hold, so that the file stays small.

A header comes before the blocks, but whether a trained network is worth embedding shows only when blocks are coded with
it and without it. So blocks are held until that is certain, or until the model would be at most 1 % of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from spikey.container.contents import Coding
from spikey.container.embedding import SHARE, Embedding, Fate, Tally
from spikey.container.layout import Block

SURE = 1 << 20  # bytes of samples from which the headers of full blocks take less than is allowed
SLACK = 64  # bytes by which a file may be larger than its input, and one part in
PART = 1000


class Held(NamedTuple):
    """The blocks held, whether they are all of the file, and what is known of the header then."""

    codings: list[Coding]
    whole: bool
    fate: Fate
    calibrated: bool
    spared: int  # bytes that they take less than their samples do

    def chosen(self, rest: Iterator[Coding], tally: Tally) -> Iterator[tuple[Block, bytes]]:
        """All blocks as they are to be written; what the network does for the later ones is counted."""
        for number, coding in enumerate(_after(self.codings, rest)):
            if number >= len(self.codings) and coding.encoded.trained:
                tally.add(coding.encoded.saved)
            if self.fate is Fate.DROPPED and coding.plain is not None and coding.encoded.plain is not None:
                yield coding.plain, coding.encoded.plain.payload
            else:
                yield coding.block, coding.encoded.payload


def _after(first: list[Coding], rest: Iterator[Coding]) -> Iterator[Coding]:
    yield from first
    yield from rest


def most_bytes(size: int) -> int:
    """The most that a file of `size` bytes may become: 0.1 % and 64 bytes more."""
    return size + size // PART + SLACK


def hold(
    codings: Iterator[Coding],
    itemsize: int,
    samples: int,
    embedding: Embedding | None,
    embedded: int,
    compared: bool,
    tally: Tally,
) -> Held:
    """Take blocks until the header is certain.

    itemsize: bytes of a sample. samples: of the whole recording. embedded: bytes of an embedded calibration. compared:
    whether each block that needs the model has a coding without it.
    """
    wanted = embedding is not None and embedding.wanted
    cost = embedding.cost if wanted and embedding is not None else 0
    held: list[Coding] = []
    size = raw = done = 0
    if embedding is not None and not compared:
        tally.saved = None
    for coding in codings:
        held.append(coding)
        if coding.encoded.trained:
            tally.add(coding.encoded.saved)
        size += len(coding.encoded.payload)
        done += coding.block.frames * coding.block.channels
        raw = done * itemsize
        pays = raw - size >= cost and (tally.saved is None or tally.saved >= cost)
        if (
            raw >= SURE
            and (not wanted or size >= SHARE * cost or (embedding is not None and embedding.forced and pays))
            and (raw - size >= embedded or raw >= PART * embedded)
        ):
            whole = False
            break
    else:
        whole = True
    return Held(
        held,
        whole,
        _fate(embedding, size, raw - size, tally, samples / max(done, 1), whole),
        not whole or any(each.encoded.calibrated for each in held),
        raw - size,
    )


def _fate(embedding: Embedding | None, size: int, spared: int, tally: Tally, factor: float, whole: bool) -> Fate:
    """What becomes of the model; factor: the recording is so many times as large as what has been seen of it."""
    if embedding is None or (whole and not tally.used):
        return Fate.DROPPED
    saved = None if tally.saved is None else int(tally.saved * factor)
    fate = embedding.fate(size, saved)
    unsure = saved is None or not whole  # what follows may be noise
    if fate is Fate.EMBEDDED and unsure and not _covers(spared, embedding.cost):
        return Fate.NAMED if saved is None else Fate.DROPPED
    return fate


def _covers(spared: int, cost: int) -> bool:
    """Whether a file stays no larger than its input with a model inside, whatever follows."""
    return spared >= cost
