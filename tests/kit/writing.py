"""Files in one call, as most tests want them, and payloads that no encoder would choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spikey.codec import cut
from spikey.codec.adaptive import syntax
from spikey.codec.adaptive.plan import Plan
from spikey.codec.adaptive.syntax import channels_in, companions_in
from spikey.codec.encode import encode_blocks
from spikey.codec.method import Method
from spikey.codec.payload import NOT_CODED, NUMBER, EncodedBlock, needs_model
from spikey.codec.registry import PREDICTORS
from spikey.codec.survey import Channel
from spikey.container import writer
from spikey.container.contents import Contents
from spikey.container.embedding import Tally
from spikey.container.extra import Extra
from spikey.files.encoding import Encoding, encode_recording
from spikey.model.calibration import Calibration

LEARNED = PREDICTORS["learned"]


def compare_networks(monkeypatch: pytest.MonkeyPatch, compared: bool) -> None:
    """Whether blocks that a network coded are compared with adaptive predictors, which those of tests hardly beat."""
    record = LEARNED if compared else replace(LEARNED, compared=lambda method: ())
    monkeypatch.setitem(PREDICTORS._records, "learned", record)


def cut_into(monkeypatch: pytest.MonkeyPatch, frames: int, channels: int) -> None:
    """Cut recordings into blocks of so many frames and channels, so that small ones have many."""
    for module in (cut, writer):
        monkeypatch.setattr(module, "block_shape", lambda layout, *_, **__: (frames, min(channels, layout.channels)))


def block_of(payload: bytes, count: int) -> EncodedBlock:
    """A payload of `count` channels as an encoder would give it."""
    if payload[0] & NUMBER in NOT_CODED:
        return EncodedBlock(payload)
    calibrated = any(channel.calibrated for channel in channels_in(payload, count))
    return EncodedBlock(payload, calibrated, needs_model(payload), companions_in(payload))


def front_of(method: Method, channels: Sequence[Channel], companions: int = 0) -> bytes:
    """What a payload begins with: the method and its channels, `companions` of which are of other recordings."""
    nothing = np.zeros((len(channels), 0), np.int32)
    return syntax.write(Plan(method, None, list(channels), nothing, [], 0, companions), [])


def payloads_of(blocks: Sequence[np.ndarray], method: Method, calibration: Calibration | None) -> list[bytes | None]:
    """What `encode_blocks` gives, as payloads."""
    return [None if one is None else one.payload for one in encode_blocks(blocks, method, calibration)]


def write_file(
    source: Any,
    out: Any,
    method: Method,
    calibration: Calibration | None = None,
    *,
    embed: bytes | None = None,
    embed_model: bool | None = None,
    jobs: int = 0,
    progress: Callable[[int], None] | None = None,
    payload: bytes | EncodedBlock | None = None,
    extra: Extra | None = None,
    block_frames: int | None = None,
    companions: Any = None,
    records: tuple[tuple[int, bytes], ...] = (),
    tally: Tally | None = None,
) -> int:
    """Encode a recording and write its file; payload: of the only block, where the test gives it."""
    contents = Contents(
        calibration,
        embed,
        method.model,
        embed_model,
        extra=extra,
        companions=None if companions is None else companions.count,
        records=records,
        bounded=not isinstance(payload, bytes),
    )
    how = Encoding(method, calibration, jobs, block_frames, companions)
    if isinstance(payload, bytes):
        payload = block_of(payload, source.layout.channels)
    blocks = encode_recording(source, how) if payload is None else payload
    return writer.write_file(source, out, blocks, contents, progress, tally)
