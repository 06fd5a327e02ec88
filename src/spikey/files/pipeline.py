"""Writes blocks of a recording: one thread encodes them, another verifies and writes them, in order.

Encoding a stretch of frames overlaps with verifying the one before it. Failures of encoding lose no samples:
samples that cannot be encoded, or do not decode to the same samples, are stored raw.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from spikey.base.errors import DataError, SpikeyError
from spikey.base.workers import spread
from spikey.codec.cut import Extent, Part
from spikey.codec.decode import decode_block
from spikey.codec.encode import content_of, encode_smallest, stored
from spikey.codec.method import PACKED, STORED
from spikey.codec.payload import EncodedBlock, Lookup, Payload
from spikey.coding.packed_bytes import unpack_bytes
from spikey.container.layout import BLOCK_SAMPLES, Block, checked_block
from spikey.container.salvage import describe
from spikey.files.compare import same_bits
from spikey.files.encoding import Encoding
from spikey.recording.layout import Layout

Write = Callable[[Iterable[tuple[Block, bytes]]], None]
PATIENCE = 60.0  # seconds in which no stretch is finished after which the encoder is given up,
WIDE, MANY = 1 << 14, 9  # frames and channels of a block that is coded in many lanes
FEW_FRAMES = 700  # of one that is coded in few
SLOWEST = 2e5  # and a second more for so many samples


@dataclass(frozen=True)
class Stretch:
    """Parts of a recording that are written at once. release: called when their samples are not needed any more."""

    parts: list[Part]
    release: Callable[[], None] = lambda: None

    @property
    def end(self) -> int:
        """The frame behind the last one of any part."""
        return max(part.extent.first_frame + part.extent.frames for part in self.parts)


class Pipeline:
    """Two threads that encode, verify and write stretches of a recording, in order.

    name: of the file, for messages. write: appends blocks to the file, all or none. verify: whether blocks are decoded
    and compared before they are written. queue: stretches that may wait for the encoder.

    `plain` counts the blocks that are stored as they are because coding them failed; `end` is the frame up to which
    everything is written. After a failed write every later call raises. One thread puts stretches.
    """

    def __init__(self, name: str, layout: Layout, how: Encoding, write: Write, *, verify: bool = True, queue: int = 2):
        self.name, self.layout, self.plain, self.end = name, layout, 0, 0
        self._how, self._write, self._verify, self._queue = how, write, verify, queue
        self._changed = threading.Condition(threading.Lock())
        self._writing = threading.Lock()  # held by who writes
        self._left: deque[Stretch] = deque()  # those not yet written,
        self._begun = 0  # of which so many are with the threads
        self._coded: tuple[Stretch, list[EncodedBlock]] | None = None
        self._finished = 0
        self._closing = self._ended = self._stopped = self._given_up = False
        self._error: DataError | None = None
        self._notice: DataError | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=f"spikey-{what}", daemon=True)
            for what, run in (("encode", self._encode_all), ("write", self._write_all))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def room(self) -> int:
        """Stretches that can be put without waiting."""
        return max(self._queue - (len(self._left) - self._begun), 0)

    def put(self, stretch: Stretch) -> bool:
        """Queue a stretch for writing; return whether this had to wait for the encoder.

        Stretches come in the order of their frames; one that is put again, as after an interrupt, is ignored.
        """
        self.check()
        waited = not self.room and not self._given_up
        self._wait(lambda: self.room > 0)
        if self._given_up:
            if stretch.end > self.end:
                self._store(stretch)
            return waited
        with self._changed:
            if stretch.end > (self._left[-1].end if self._left else self.end):
                self._left.append(stretch)
            self._changed.notify_all()
        return waited

    def drain(self) -> None:
        """Wait until everything is written."""
        self._wait(lambda: not self._left)

    def check(self) -> None:
        """Raise what ended the threads, if anything did."""
        if self._error is not None:
            raise DataError(str(self._error))

    def check_notice(self) -> None:
        """Raise, once, that coding failed in a way that the user must notice, although no samples are lost."""
        notice, self._notice = self._notice, None
        if notice is not None:
            raise notice

    def close(self) -> None:
        """Write what is left, and end the threads."""
        self.drain()
        self.cancel(drop=False)

    def cancel(self, drop: bool = True) -> bool:
        """End the threads; return whether they did. drop: without what waits, so that nothing more is written."""
        with self._changed:
            self._closing, self._stopped = True, self._stopped or drop
            self._changed.notify_all()
        if self._given_up:
            return True
        for thread in self._threads:
            thread.join(PATIENCE)
        return not any(thread.is_alive() for thread in self._threads)

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so, for as long as stretches are finished; without an encoder do not wait."""
        while not self._given_up:
            with self._changed:
                samples = max((sum(part.samples.size for part in one.parts) for one in self._left), default=0)
                patience = PATIENCE + samples / SLOWEST
                moved = self._changed.wait_for(partial(self._moved, ready, self._finished), patience)
                if ready() or self._error is not None:
                    break
            if not moved:
                self._give_up()
        while self._given_up and self._left:
            self._store(self._left[0])
        self.check()

    def _moved(self, ready: Callable[[], bool], finished: int) -> bool:
        return ready() or self._error is not None or self._finished > finished

    def _give_up(self) -> None:
        """Replace the threads, which have stalled: store what they have not written raw."""
        if not self._writing.acquire(timeout=1):
            self._error = DataError(f"{self.name}: writing has stalled; frames up to {self.end:,} are in the file")
            return
        self._stopped = self._given_up = True
        self._writing.release()
        self._notice = DataError(
            f"{self.name}: the encoder has stalled; samples are stored without compression from frame "
            f"{self.end:,} on, and none is lost"
        )

    def _store(self, stretch: Stretch) -> None:
        """Write a stretch as it is."""
        blocks = [stored(content_of(part.samples, self.layout)) for part in stretch.parts]
        self.plain += len(blocks)
        try:
            self._write(self._checked(stretch, blocks, verify=False))
        except SpikeyError as error:
            self._fail(error)
            self.check()
        self._done(stretch)

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run a thread, and keep what ends it."""
        try:
            run()
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, SpikeyError):
            words, code = error.text, error.code
        else:
            words, code = f"{self.name}: {getattr(error, 'strerror', None) or error or type(error).__name__}", ""
        with self._changed:
            words += f"; frames up to {self.end:,} are in the file, and none after them"
            self._error = DataError(words, code=code)
            self._stopped = True
            self._changed.notify_all()

    def _encode_all(self) -> None:
        """Encode stretches until there are no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._begun < len(self._left) or self._closing or self._stopped)
                if self._stopped or self._begun == len(self._left):
                    self._ended = True
                    self._changed.notify_all()
                    return
                stretch = self._left[self._begun]
                self._begun += 1
                self._changed.notify_all()
            blocks = self._encode_parts(stretch.parts)
            with self._changed:
                self._changed.wait_for(lambda: self._coded is None or self._stopped)
                self._coded = stretch, blocks
                self._changed.notify_all()
            del stretch, blocks

    def _encode_parts(self, parts: list[Part]) -> list[EncodedBlock]:
        try:
            return spread(self._encode, parts, self._how.jobs)
        except RuntimeError:  # the interpreter shuts down, and begins no threads
            return [self._encode(part) for part in parts]

    def _encode(self, part: Part) -> EncodedBlock:
        try:
            return encode_part(part, self.layout, self._how)
        except Exception:  # a recording is worth more than its compression
            self.plain += 1
            return stored(content_of(part.samples, self.layout))

    def _write_all(self) -> None:
        """Verify and write stretches until there are no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._coded is not None or self._ended or self._stopped)
                if self._stopped or self._coded is None:
                    return
                (stretch, blocks), self._coded = self._coded, None
                self._changed.notify_all()
            checked = self._checked(stretch, blocks, self._verify)
            with self._writing:
                if self._stopped:
                    return
                self._write(checked)
                self._done(stretch)
            del stretch, blocks, checked

    def _checked(self, stretch: Stretch, blocks: list[EncodedBlock], verify: bool) -> list[tuple[Block, bytes]]:
        """Blocks as they are written; one that does not decode to its samples is stored as they are."""
        out = []
        for part, encoded in zip(stretch.parts, blocks, strict=True):
            content = _bytes_of(part.samples, self.layout)
            payload = encoded.payload
            if verify and not restores(payload, part, content, self.layout, self._how):
                payload = stored(bytes(content)).payload
                self.plain += 1
                first, frames, channel, channels = part.extent
                where = describe((first, first + frames, channel, channel + channels))
                self._notice = DataError(
                    f"{self.name}: {where} did not decode to the samples that were encoded, so they are stored "
                    "without compression, and none is lost; check this machine's memory"
                )
            out.append((checked_block(BLOCK_SAMPLES, part.extent, payload, content), payload))
        return out

    def _done(self, stretch: Stretch) -> None:
        with self._changed:
            if self._left and self._left[0] is stretch:
                self._left.popleft()
                self._begun = max(self._begun - 1, 0)
            self._finished += 1
            self.end = max(self.end, stretch.end)
            self._changed.notify_all()
        stretch.release()


def compile_for(layout: Layout, how: Encoding) -> None:
    """Compile or load the kernels for such samples, by coding noise."""
    noise = np.random.default_rng(0).integers(0, 40, (FEW_FRAMES, min(layout.channels, MANY)))
    compile_with(noise.astype(layout.memory_dtype), layout, how)


def compile_with(samples: np.ndarray, layout: Layout, how: Encoding) -> None:
    """Have what samples (frames, channels) need compiled or loaded, by coding them and reading them back: in many lanes
    and in few, and so few frames that they are stored.
    """
    for block in (np.resize(samples, (WIDE, *samples.shape[1:])), samples, samples[:2]):
        part = Part(Extent(0, len(block), 0, block.shape[1]), np.ascontiguousarray(block))
        inside = replace(layout, channels=block.shape[1])
        (encoded,) = encode_smallest([part.samples], [inside], how.method, how.calibration)
        restores(encoded.payload, part, content_of(part.samples, inside), inside, how)


def encode_part(part: Part, layout: Layout, how: Encoding) -> EncodedBlock:
    """The block of a part of a recording."""
    (block,) = encode_smallest([part.samples], [layout], how.method, how.calibration)
    return block


def _bytes_of(samples: np.ndarray, layout: Layout) -> bytes | memoryview:
    """Samples as the file has them, without a copy where they are so in memory."""
    if sys.byteorder == "little" and layout.memory_dtype.itemsize == layout.itemsize and samples.flags.c_contiguous:
        return samples.reshape(-1).data.cast("B")
    return content_of(samples, layout)


def restores(payload: bytes, part: Part, content: bytes | memoryview, layout: Layout, how: Encoding) -> bool:
    """Whether a payload decodes to the samples of a part. content: these as the file has them."""
    samples = part.samples
    try:
        if payload[:1] == bytes([STORED]):
            return payload[1:] == content
        if payload[:1] == bytes([PACKED]):
            return unpack_bytes(payload[1:], len(content), "the block") == content
        frames, channels = samples.shape
        decoded = decode_block(Payload(payload, frames, channels, samples.dtype), Lookup(lambda: how.calibration))
        return decoded.shape == samples.shape and same_bits(samples, decoded)
    except Exception:  # whatever a decoder does with it, the block is not written
        return False
