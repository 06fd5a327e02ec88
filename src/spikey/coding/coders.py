"""The coders by the names that configurations and headers use: start encoding, finish, start decoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from spikey.coding.range_coder import finish, range_decoder, range_encoder
from spikey.coding.rice import finish_rice, rice_decoder, rice_encoder


class Coder(NamedTuple):
    """encoder(lanes, capacity) -> state, finish(state) -> one stream a lane, decoder(streams) -> state."""

    encoder: Callable[[int, int], Any]
    finish: Callable[[Any], list[bytes]]
    decoder: Callable[[list[bytes]], Any]


CODERS = {
    "arithmetic": Coder(range_encoder, finish, range_decoder),
    "rice": Coder(rice_encoder, finish_rice, rice_decoder),
}
