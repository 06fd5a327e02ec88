"""The coders by the names that configurations and headers use: start encoding, finish, start decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

NAMES = ("arithmetic", "rice")  # by their number in the file


class Coder(NamedTuple):
    """encoder(lanes, capacity) -> state, finish(state) -> one stream a lane, decoder(streams) -> state."""

    encoder: Callable[[int, int], Any]
    finish: Callable[[Any], list[bytes]]
    decoder: Callable[[list[bytes]], Any]


@cache
def _loaded(name: str) -> Coder:
    if name == "rice":
        from spikey.coding.rice import finish_rice, rice_decoder, rice_encoder

        return Coder(rice_encoder, finish_rice, rice_decoder)
    from spikey.coding.range_coder import finish, range_decoder, range_encoder

    return Coder(range_encoder, finish, range_decoder)


class _Coders(Mapping[str, Coder]):
    """All coders; each is imported when it is first asked for."""

    def __getitem__(self, name: str) -> Coder:
        if name not in NAMES:
            raise KeyError(name)
        return _loaded(name)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


CODERS = _Coders()
