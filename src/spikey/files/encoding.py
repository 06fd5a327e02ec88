"""From a recording to encoded blocks, by several threads that run only a little ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from spikey.base.workers import Workers
from spikey.codec.cut import Extent, Part, batches, is_single, parts_of, shape_for
from spikey.codec.encode import content_of, copied, encode_smallest
from spikey.codec.method import Method
from spikey.codec.payload import EncodedBlock
from spikey.container.contents import Coding, coding
from spikey.container.window import Companions
from spikey.model.calibration import Calibration
from spikey.recording.layout import Layout
from spikey.recording.readable import Readable


@dataclass(frozen=True)
class Encoding:
    """How a recording is encoded.

    jobs: threads over blocks and within them, or 0 for the calling one alone, which also works while the interpreter
    shuts down. block_frames: of a full block; None for the usual number. companions: the recordings to code this one
    with, or its original.
    """

    method: Method
    calibration: Calibration | None = None
    jobs: int = 0
    block_frames: int | None = None
    companions: Companions | None = None


def encode_recording(source: Readable, how: Encoding) -> EncodedBlock | Iterator[Coding]:
    """The only block of a recording, or its blocks in order."""
    if is_single(source, how.method, how.block_frames):
        samples = source.read(0, source.frames)
        whole = [Part(Extent(0, source.frames, 0, source.layout.channels), samples)]
        if how.jobs < 2:
            (block,) = _encoded(whole, source.layout, how)
            return block
        with Workers(how.jobs) as pool:
            (block,) = pool.submit(_encoded, whole, source.layout, how).result()
            return block
    parts = parts_of(source.read, shape_for(source, how.method, how.block_frames), range(source.frames))
    return _in_order(parts, source.layout, how)


def encode_parts(parts: list[Part], layout: Layout, how: Encoding) -> list[Coding]:
    """The blocks of parts of a recording: the same ones wherever, whenever and in whatever company they are made."""
    encoded = _encoded(parts, layout, how)
    return [
        coding(part.extent, block, content_of(part.samples, layout)) for part, block in zip(parts, encoded, strict=True)
    ]


def _encoded(parts: list[Part], layout: Layout, how: Encoding) -> list[EncodedBlock]:
    samples, companions = [part.samples for part in parts], how.companions
    if companions is not None and companions.count == 0:
        return [copied(block) for block in samples]
    others = None
    if companions is not None:
        others = [companions.columns(part.extent.first_frame, part.extent.frames) for part in parts]
    return encode_smallest(samples, [layout] * len(parts), how.method, how.calibration, others)


def _in_order(parts: Iterator[Part], layout: Layout, how: Encoding) -> Iterator[Coding]:
    """The blocks of parts."""
    if not how.jobs:
        for batch in batches(parts, how.method, layout):
            yield from encode_parts(batch, layout, how)
        return
    waiting: deque[Future[list[Coding]]] = deque()
    with Workers(how.jobs) as pool:
        try:
            for batch in batches(parts, how.method, layout):
                waiting.append(pool.submit(encode_parts, batch, layout, how))
                if len(waiting) > how.jobs:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
