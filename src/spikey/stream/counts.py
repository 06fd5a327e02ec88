"""What became of the packets that a stream's decoder was given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counts:
    """What became of packets: decoded or waiting, damaged, of another stream, twice or late, lost, recovered.

    refused: those that name frames beyond `Decoder.latest`. unauthenticated: where there is a key, those without a tag,
    or with one that is too short or not the key's; where there is none, those with a tag.
    """

    taken: int = 0
    damaged: int = 0
    foreign: int = 0
    repeated: int = 0
    lost: int = 0
    undecodable: int = 0
    recovered: int = 0
    refused: int = 0
    unauthenticated: int = 0
