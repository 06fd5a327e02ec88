"""One block: a few channels of samples to a payload of bytes, and back.

A payload states its method, then for each channel its levels, the scale to start from and the channels it refers to,
then the coder's streams: one a lane, or with a trained network one a channel. `_run_channels` and `_run_learned` serve
both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.limits import allowed
from spikey.base.wire import Cursor, varint
from spikey.codec.adaptive.lanes import run_together
from spikey.codec.adaptive.loop import run
from spikey.coding.coders import CODERS
from spikey.coding.observers import known
from spikey.levels.maps import AFFINE, N1, TABLE, Levels, find_levels
from spikey.levels.scaled import SCALED, Scaled, find_scale, read_any_levels
from spikey.model.balanced import balanced_predictor
from spikey.model.calibration import Calibration
from spikey.model.cross import choose_references, crossed
from spikey.model.density import Narrow, narrow, uniform_edges, wide
from spikey.model.fixed_point import NARROW, UNIT
from spikey.model.lms import lms
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.mixture import mixed
from spikey.model.scale import deviation, scale
from spikey.model.stacked import ORDER as STACKED_ORDER
from spikey.model.stacked import network as stacked_network
from spikey.model.stacked import stacked_predictor
from spikey.model.trained import Model

LARGEST = 1 << 22  # samples in a block
STORED, LPC, LMS, BALANCED, LEARNED, PACKED, MAX = range(7)
COPIED = 15  # the samples are another recording's
PREDICTORS = {
    "lpc": LPC,
    "lms": LMS,
    "balanced": BALANCED,
    "learned": LEARNED,
    "max": MAX,
}
WITH_COMPANIONS = ("max",)  # predictors that may look at other recordings of the same instant
CODER_NAMES = ("arithmetic", "rice")
ORDER = 20
MOST_REFERENCES = 4
MOST_COMPANIONS = 4  # channels of other recordings
MOST_TOGETHER = 256  # channels side by side
SAMPLES_TOGETHER = 1 << 25  # of them, the shorter ones filled up
SAMPLED = 1 << 14  # codes that tell what a channel is like
NEIGHBOURS = 64  # channels among which references are looked for
STARTING = 1 << 24  # multiplications that starting a channel takes with a predictor of `WITH_COMPANIONS`, about
SLACK = 128  # bytes that a stream may be longer than its share of the samples' bytes
UNPACKED = 1 << 16  # samples whose low bits are unpacked at once
CALIBRATED, REFERRING = 8, 16  # bits of a channel's first byte, above its kind of levels


@dataclass(frozen=True)
class Method:
    """How a block is coded: names of predictor and coder, whether differences are predicted, streams side by side.

    references: of a channel to others, at most; each channel's description states its own. model: the trained network
    of the predictor "learned", which has no lanes and no references and knows itself whether it predicts differences.
    longest: frames of a full block of several channels, and half of those of one.
    """

    predictor: str = "lpc"
    coder: str = "arithmetic"
    delta: bool = True
    lanes: int = 2
    references: int = 0
    model: Model | None = None
    longest: int = 1 << 16

    def write(self, companions: int = 0) -> bytes:
        """Two bytes; the second counts the companions where there may be some, and lanes where there may be several."""
        first = PREDICTORS[self.predictor] | CODER_NAMES.index(self.coder) << 4 | self.delta << 6
        return bytes([first, companions if self.predictor in WITH_COMPANIONS else self.lanes])


@dataclass
class Channel:
    """What a block states of one channel."""

    levels: Levels | Scaled
    calibrated: bool = False
    initial: int = 0
    references: list[int] = field(default_factory=list)

    def write(self) -> bytes:
        """As bytes."""
        flags = self.levels.kind | CALIBRATED * self.calibrated | REFERRING * bool(self.references)
        out = bytes([flags]) + self.levels.write() + bytes([self.initial])
        if self.references:
            out += bytes([len(self.references)]) + b"".join(map(varint, self.references))
        return out


def _read_channel(cursor: Cursor, index: int) -> Channel:
    flags = cursor.byte()
    if flags >= 32:
        raise DataError(f"{cursor.what}: describes a channel in a way that this version does not know")
    channel = Channel(read_any_levels(flags & 7, cursor), bool(flags & CALIBRATED), cursor.byte())
    if flags & REFERRING:
        channel.references = [cursor.varint(max(index - 1, 0)) for _ in range(cursor.byte())]
        if not 0 < len(channel.references) <= MOST_REFERENCES or index == 0:
            raise DataError(f"{cursor.what}: a channel refers to impossible others")
    return channel


def learned(model: Model, coder: str = "arithmetic") -> Method:
    """The method of a trained network; blocks are as long as `spikey.base.limits` allow for it."""
    longest = max(min(allowed.work // model.architecture.weights // 16, Method.longest), 1)
    return Method("learned", coder, model.architecture.delta, lanes=1, model=model, longest=longest)


def work_of(method: Method, channels: Sequence[Channel], frames: int) -> int:
    """Multiplications that a trained network takes for channels of a block; 0 without one."""
    coded = sum(channel.levels.codes > 1 for channel in channels)
    if method.model is not None:
        return coded * frames * method.model.architecture.weights
    if method.predictor in WITH_COMPANIONS:
        return coded * (frames * stacked_network().architecture.weights + STARTING)
    return 0


def encode_block(
    samples: np.ndarray, method: Method, calibration: Calibration | None = None, companions: np.ndarray | None = None
) -> bytes | None:
    """The payload of samples (frames, channels), any integer or float type; None where it would not be smaller than
    they are, and for floats that are no scaled integers.

    `calibration` is used for the channels it fits. companions: integers (frames, at most 4), what other recordings
    have at the same instants; only predictors of `WITH_COMPANIONS` look at them, and decoding needs the same again.
    """
    return encode_blocks([samples], method, calibration, [companions])[0]


def encode_blocks(
    blocks: list[np.ndarray],
    method: Method,
    calibration: Calibration | None = None,
    companions: Sequence[np.ndarray | None] | None = None,
) -> list[bytes | None]:
    """The payloads of several blocks: the same as one by one, and faster with a large trained network."""
    payloads: list[bytes | None] = [None] * len(blocks)
    besides = companions or [None] * len(blocks)
    tried = [_describe(*each, method, calibration) for each in zip(blocks, besides, strict=True)]
    tried = [block if block is not None and _within(block, method) else None for block in tried]
    places = [place for place, block in enumerate(tried) if block is not None]
    described = [block for block in tried if block is not None]
    if method.model is not None:
        streams = _encode_learned(described, method, calibration)
    else:
        sizes = [blocks[place].nbytes for place in places]
        streams = [_encode_channels(d, method, calibration, size) for d, size in zip(described, sizes, strict=True)]
    for place, block, coded in zip(places, described, streams, strict=True):
        payload = b"".join(
            [
                method.write(block.companions),
                *(channel.write() for channel in block.channels),
                *(varint(len(stream)) for stream in coded[:-1]),
                *block.lows,
                *coded,
            ]
        )
        payloads[place] = payload if coded and len(payload) < blocks[place].nbytes else None
    return payloads


@dataclass
class Described:
    """A block's channels, their codes int32 (channels, frames), and the packed low bits of those that have any.

    companions: how many of the channels, the first ones, belong to other recordings and are known already.
    """

    channels: list[Channel]
    codes: np.ndarray
    lows: list[bytes]
    companions: int = 0


def _describe(
    samples: np.ndarray, companions: np.ndarray | None, method: Method, calibration: Calibration | None
) -> Described | None:
    """What is to be coded of a block; None where a channel has no levels."""
    if companions is None or method.predictor not in WITH_COMPANIONS:
        return _describe_alone(samples, method, calibration)
    unreferred = replace(method, references=0)  # until all channels are known
    block, beside = (_describe_alone(each, unreferred, calibration) for each in (samples, companions))
    if block is None or beside is None or beside.lows:
        return _describe_alone(samples, method, calibration)
    count = len(beside.channels)
    codes = np.concatenate([beside.codes, block.codes])
    channels = beside.channels + block.channels
    for first in range(count, len(channels), NEIGHBOURS):
        near = [*range(count), *range(first, min(first + NEIGHBOURS, len(channels)))]
        chosen = choose_references(codes[near].T, method.references)
        for index, references in zip(near[count:], chosen[count:], strict=True):
            channels[index].references = [near[reference] for reference in references]
    if not any(reference < count for channel in block.channels for reference in channel.references):
        return _describe_alone(samples, method, calibration)  # what tells nothing need not be there to decode
    return Described(channels, codes, block.lows, count)


def _within(block: Described, method: Method) -> bool:
    """Whether a block takes no more work than a reader allows."""
    return work_of(method, block.channels[block.companions :], block.codes.shape[1]) <= allowed.work


def _describe_alone(samples: np.ndarray, method: Method, calibration: Calibration | None) -> Described | None:
    frames, count = samples.shape
    columns = np.ascontiguousarray(samples.T)
    codes = np.empty((count, frames), dtype=np.int32)
    channels, lows = [], []
    for index in range(count):
        values, found = columns[index], None
        if values.dtype.kind == "f":
            found = find_scale(values)
            if found is None:
                return None
            values = found.integers
        levels, calibrated = levels_of(values, calibration)
        codes[index], low = levels.to_codes(values)
        calibrated = calibrated and calibration is not None and suits(codes[index], calibration)
        stated = levels if found is None else Scaled(found.scale, levels, found.patches)
        channels.append(Channel(stated, calibrated, initial_scale(codes[index])))
        if low is not None:
            lows.append(_pack_bits(low, levels.low_bits))
    for first in range(0, count if method.references else 0, NEIGHBOURS):
        near = channels[first : first + NEIGHBOURS]
        chosen = choose_references(codes[first : first + NEIGHBOURS].T, method.references)
        for channel, references in zip(near, chosen, strict=True):
            channel.references = [first + reference for reference in references]
    return Described(channels, codes, lows)


def _encode_channels(block: Described, method: Method, calibration: Calibration | None, size: int) -> list[bytes]:
    """The streams of a block, one a lane; none where they would be larger than `size`."""
    start, finish, _ = CODERS[method.coder]
    capacity = size // method.lanes + 64
    encoder = start(method.lanes, capacity)
    _run_channels(encoder, block, method, calibration)
    return finish(encoder) if int(encoder.at.max()) <= capacity else []


def _encode_learned(blocks: list[Described], method: Method, calibration: Calibration | None) -> list[list[bytes]]:
    """The streams of blocks, one a channel; none where a channel's would be larger than its codes."""
    start, finish, _ = CODERS[method.coder]
    streams = [[b""] * len(block.channels) for block in blocks]
    for places, used in _alike(blocks, calibration):
        channels = [blocks[block].codes[index] for block, index in places]
        capacity = max(channel.nbytes for channel in channels) + 64
        encoder = start(len(places), capacity)
        _run_learned(encoder, channels, [blocks[b].channels[i] for b, i in places], method.model, used)
        for (block, index), stream, length in zip(places, finish(encoder), encoder.at, strict=True):
            if length > capacity:
                streams[block] = []
            elif streams[block]:
                streams[block][index] = stream
    return streams


@dataclass(frozen=True)
class Payload:
    """What there is to know of a block before it is decoded.

    companions: gives what `encode_block` was given; called only where the block was coded with it.
    """

    data: bytes | memoryview
    frames: int
    count: int
    dtype: np.dtype
    what: str = "the block"
    companions: Callable[[], np.ndarray] | None = None


def decode_block(
    payload: Payload,
    find_calibration: Callable[[], Calibration | None],
    find_model: Callable[[], Model | None] = lambda: None,
) -> np.ndarray:
    """The samples (frames, channels) of a payload. What finds calibration and model is called only when it is needed.

    Raises DataError for what no encoder writes; that the samples are the right ones is for a checksum to say.
    """
    parsed = _Parsed(payload, find_calibration, find_model)
    if parsed.method.model is None:
        coder = CODERS[parsed.method.coder].decoder(parsed.streams)
        _run_channels(coder, parsed, parsed.method, parsed.calibration, payload.what)
    else:
        _decode_learned([parsed])
    return parsed.samples()


def decode_learned(
    payloads: list[Payload],
    find_calibration: Callable[[], Calibration | None],
    find_model: Callable[[], Model | None],
) -> list[np.ndarray]:
    """`decode_block` of several payloads at once; all must be of one model, coder and calibration."""
    parsed = [_Parsed(payload, find_calibration, find_model) for payload in payloads]
    _decode_learned(parsed)
    return [block.samples() for block in parsed]


class _Parsed(Described):
    """A payload taken apart, its codes still to be decoded."""

    def __init__(
        self,
        payload: Payload,
        find_calibration: Callable[[], Calibration | None],
        find_model: Callable[[], Model | None],
    ):
        frames, count, what = payload.frames, payload.count, payload.what
        size = frames * count * payload.dtype.itemsize
        if len(payload.data) > size:
            raise DataError(f"{what}: has a payload of {len(payload.data)} bytes, which is more than its samples have")
        cursor = Cursor(payload.data, what)
        first, second = cursor.byte(), cursor.byte()
        names = [name for name, number in PREDICTORS.items() if number == first & 15]
        coder = first >> 4 & 3
        known, lanes = (second, 1) if names and names[0] in WITH_COMPANIONS else (0, second)
        if not names or coder >= len(CODER_NAMES) or first >> 7 or not 1 <= lanes <= 16:
            raise DataError(f"{what}: is coded by a method that this version does not know")
        model = find_model() if first & 15 == LEARNED else None
        if first & 15 == LEARNED and model is None:
            raise DataError(f"{what}: refers to a model that the file does not name")
        self.method = Method(names[0], CODER_NAMES[coder], bool(first >> 6 & 1), lanes, model=model)
        if known > MOST_COMPANIONS:
            raise DataError(f"{what}: is coded with more companions than can be")
        channels = [_read_channel(cursor, index) for index in range(known + count)]
        if any((channel.levels.kind == SCALED) != (payload.dtype.kind == "f") for channel in channels[known:]):
            raise DataError(f"{what}: describes a channel of samples of another type")
        if any(c.levels.kind == SCALED or c.levels.low_bits or c.references for c in channels[:known]):
            raise DataError(f"{what}: describes a companion in a way that cannot be")
        if model is not None:
            if model.architecture.delta != self.method.delta or lanes != 1 or any(c.references for c in channels):
                raise DataError(f"{what}: is coded in a way that its model is not for")
            lanes = count
        sizes = [cursor.varint(len(payload.data)) for _ in range(lanes - 1)]
        lows = [cursor.take((frames * c.levels.low_bits + 7) // 8) if c.levels.low_bits else b"" for c in channels]
        self.streams = [cursor.take(size) for size in sizes] + [cursor.rest()]
        # The coder pads all streams to the longest.
        longest = 4 * frames if model is not None else size // lanes
        if max(map(len, self.streams)) > longest + SLACK:
            raise DataError(f"{what}: has a stream that is longer than its samples can need")
        allowed.check_work(work_of(self.method, channels[known:], frames), what)
        self.calibration = find_calibration() if any(channel.calibrated for channel in channels) else None
        if any(channel.calibrated for channel in channels) and self.calibration is None:
            raise DataError(f"{what}: refers to a calibration that the file does not name")
        super().__init__(channels, np.zeros((known + count, frames), dtype=np.int32), lows, known)
        self.payload = payload
        if known:
            self._take_companions()

    def _take_companions(self) -> None:
        """Fill in the codes of the other recordings."""
        payload = self.payload
        if payload.companions is None:
            raise DataError(f"{payload.what}: was coded together with other recordings, which are not at hand")
        samples = payload.companions()
        if samples.shape != (payload.frames, self.companions) or samples.dtype.kind not in "iu":
            raise DataError(f"{payload.what}: was coded together with other recordings than those at hand")
        for index, channel in enumerate(self.channels[: self.companions]):
            values = np.ascontiguousarray(samples[:, index])
            levels = channel.levels
            assert isinstance(levels, Levels)
            if not _within_table(levels, values):
                raise DataError(f"{payload.what}: was coded together with other recordings than those at hand")
            self.codes[index] = levels.to_codes(values)[0] % levels.codes
            if (levels.to_values(self.codes[index], None, np.dtype(np.int64)) != values).any():
                raise DataError(f"{payload.what}: was coded together with other recordings than those at hand")

    def samples(self) -> np.ndarray:
        """The decoded block (frames, channels)."""
        frames, count = self.payload.frames, self.payload.count
        samples = np.zeros((frames, count), dtype=self.payload.dtype)
        lows = self.lows[-count:]
        for index, channel in enumerate(self.channels[self.companions :]):
            bits = channel.levels.low_bits
            low = _unpack_bits(lows[index], frames, bits) if bits else None
            codes = self.codes[self.companions + index]
            samples[:, index] = channel.levels.to_values(codes, low, self.payload.dtype)
        return samples


def _within_table(levels: Levels, values: np.ndarray) -> bool:
    """Whether values (frames,) lie between the ends of the table, if the levels are one."""
    if levels.kind != TABLE or not len(values):
        return True
    return int(values.min()) >= levels.table[0] and int(values.max()) <= levels.table[-1]


def _decode_learned(blocks: list[_Parsed]) -> None:
    """Decode the codes of blocks of one model, coder and calibration."""
    if not blocks:
        return
    method = blocks[0].method
    calibration = next((block.calibration for block in blocks if block.calibration is not None), None)
    for places, used in _alike(blocks, calibration):
        streams = [blocks[block].streams[index] for block, index in places]
        channels = [blocks[block].codes[index] for block, index in places]
        decoder = CODERS[method.coder].decoder(streams)
        _run_learned(decoder, channels, [blocks[b].channels[i] for b, i in places], method.model, used)


def _alike(
    blocks: Sequence[Described], calibration: Calibration | None
) -> Iterator[tuple[list[tuple[int, int]], Calibration | None]]:
    """The channels that can run together, as (block, index), and the calibration they use, if any."""
    groups: dict[tuple[int, bool], list[tuple[int, int]]] = {}
    for at, block in enumerate(blocks):
        for index, channel in enumerate(block.channels):
            if channel.levels.codes > 1 and block.codes.shape[1]:
                groups.setdefault((channel.levels.codes, channel.calibrated), []).append((at, index))
    for (_, calibrated), places in groups.items():
        longest = max(blocks[at].codes.shape[1] for at, _ in places)
        together = max(min(MOST_TOGETHER, SAMPLES_TOGETHER // longest), 1)
        for first in range(0, len(places), together):
            yield places[first : first + together], calibration if calibrated else None


def _run_learned(
    coder: Any, codes: list[np.ndarray], channels: list[Channel], model: Model | None, calibration: Calibration | None
) -> None:
    """Run channels of one alphabet, int32 (frames,) each, side by side."""
    assert model is not None
    size = channels[0].levels.codes
    _check_size(size, calibration, "the block")
    prior = None if calibration is None else calibration.prior
    initials = [channel.initial for channel in channels]
    run_together(coder, model, density_of(size, calibration), size, codes, initials, prior)


def _check_size(size: int, calibration: Calibration | None, what: str) -> None:
    if calibration is not None and calibration.codes != size:
        raise DataError(f"{what}: a channel of {size} codes names a calibration of {calibration.codes}")


def needs_model(payload: bytes | memoryview) -> bool:
    """Whether a payload is coded with a trained network."""
    return bool(payload) and payload[0] & 15 == LEARNED


def needs(payload: bytes, count: int) -> tuple[bool, bool]:
    """Whether a payload of `count` channels, as `encode_block` makes it, needs the file's calibration, its model."""
    calibrated = any(channel.calibrated for channel in described_in(payload, count))
    return calibrated, needs_model(payload)


def described_in(payload: bytes, count: int, what: str = "the block") -> list[Channel]:
    """What a payload of `count` channels states of each; nothing where the samples are stored or packed."""
    if payload[0] & 15 in (STORED, PACKED, COPIED):
        return []
    cursor = Cursor(payload, what)
    cursor.take(2)
    known = companions_in(payload)
    return [_read_channel(cursor, index) for index in range(known + count)]


def companions_in(payload: bytes | memoryview) -> int:
    """How many channels of other recordings a payload was coded with."""
    with_some = len(payload) > 1 and payload[0] & 15 == MAX
    return payload[1] if with_some else 0


def _run_channels(
    coder: Any,
    block: Described,
    method: Method,
    calibration: Calibration | None,
    what: str = "the block",
) -> None:
    """Run the loop over each channel in turn; the codes are read or written as the coder asks."""
    frames = block.codes.shape[1]
    referred = {index for channel in block.channels for index in channel.references}
    residuals: dict[int, np.ndarray] = {}
    for index, channel in enumerate(block.channels):
        theirs = index < block.companions
        if theirs and index not in referred:
            continue
        size = channel.levels.codes
        if size == 1 or frames == 0:
            residuals[index] = np.zeros(frames, dtype=np.int32)
            continue
        used = calibration if channel.calibrated else None
        _check_size(size, used, what)
        others = [residuals[j] for j in channel.references] if channel.references or index in referred else None
        start = _start_companion if theirs else _start_stacked if method.predictor in WITH_COMPANIONS else _start
        started = start(method, channel, frames, used, others)
        if others is not None:
            residuals[index] = started.residual
        coded = known() if theirs else coder
        run(coded, started.predictor, started.density, started.scale, block.codes[index], SEGMENT)


class _Started(NamedTuple):
    """What the loop needs of a channel, and its errors int32 (frames,), which fill up, for others to refer to."""

    predictor: Any
    density: Any
    scale: Any
    residual: Any = None


def _start(
    method: Method, channel: Channel, frames: int, calibration: Calibration | None, others: list[np.ndarray] | None
) -> _Started:
    """others: errors of the channels that this one refers to; None where it refers to none and none refers to it."""
    size, steps = channel.levels.codes, -(-frames // method.lanes)
    options: dict[str, Any] = {"delta": method.delta, "prior": None if calibration is None else calibration.prior}
    spread = deviation(channel.initial)
    running: Any = scale(method.lanes, size, channel.initial)
    if method.predictor == "lpc":
        predictor: Any = lpc(ORDER, method.lanes, steps, size, scale=spread, **options)
    elif method.predictor == "lms":
        predictor = lms(method.lanes, steps, size, scale=spread, **options)
    else:
        predictor = running = balanced_predictor(method.lanes, steps, size, channel.initial, **options)
    if others is None:
        return _Started(predictor, density_of(size, calibration), running)
    predictor = crossed(predictor, others, frames, method.lanes)
    return _Started(predictor, density_of(size, calibration), running, predictor.residual)


def _start_stacked(
    method: Method, channel: Channel, frames: int, calibration: Calibration | None, others: list[np.ndarray] | None
) -> _Started:
    size = channel.levels.codes
    predictor = stacked_predictor(
        frames,
        size,
        channel.initial,
        delta=method.delta,
        prior_correlations=None if calibration is None else calibration.prior,
        residuals=others,
    )
    density = density_of(size, calibration)
    if isinstance(density, Narrow) and method.coder == "arithmetic":
        density = mixed(density)
    return _Started(predictor, density, predictor, None if others is None else predictor.inner.base.residual)


def _start_companion(
    method: Method, channel: Channel, frames: int, calibration: Calibration | None, others: list[np.ndarray] | None
) -> _Started:
    """Of another recording, whose codes are known, only the errors are wanted."""
    size = channel.levels.codes
    prior = None if calibration is None else calibration.prior
    spread = deviation(channel.initial)
    base = lpc(STACKED_ORDER, 1, frames, size, delta=method.delta, prior=prior, scale=spread)
    predictor = crossed(base, [], frames, 1)
    return _Started(predictor, density_of(size, calibration), scale(1, size, channel.initial), predictor.residual)


def density_of(size: int, calibration: Calibration | None) -> Any:
    """The density over an alphabet of `size` codes; its tables are built once and kept."""
    if size > NARROW:
        return wide(size)
    return _uniform(size) if calibration is None else _calibrated(calibration)


@lru_cache(maxsize=256)
def _uniform(size: int) -> Any:
    return narrow(uniform_edges(size))


@lru_cache(maxsize=8)
def _calibrated(calibration: Calibration) -> Any:
    return narrow(calibration.edges)


def levels_of(values: np.ndarray, calibration: Calibration | None) -> tuple[Levels, bool]:
    """The levels of a channel of integers, and whether the calibration is for them."""
    if calibration is None:
        return find_levels(values), False
    if "offset" in calibration.metadata:
        levels = Levels(AFFINE, calibration.codes, calibration.metadata["offset"], calibration.metadata["step"])
        if levels.fits(values):
            return levels, True
    levels = find_levels(values)
    fits = calibration.codes == levels.codes and calibration.metadata.get("levels", "n1") == "n1"
    return levels, levels.kind == N1 and fits


def suits(codes: np.ndarray, calibration: Calibration) -> bool:
    """Whether codes (frames,) come from such a converter: wide codes then occur more often than their neighbours.

    The mean log-width over the samples is positive there, and as much negative under widths that are not theirs.
    """
    counts = np.bincount(codes[:SAMPLED], minlength=calibration.codes)
    return float(counts @ _log_widths(calibration)) >= 0


@lru_cache(maxsize=8)
def _log_widths(calibration: Calibration) -> np.ndarray:
    return np.log2(np.diff(calibration.edges) / UNIT)


def initial_scale(codes: np.ndarray) -> int:
    """The header's byte for the deviation of the residual, guessed from the first differences of codes (frames,)."""
    if len(codes) < 2:
        return 40
    spread = float(np.abs(np.diff(codes[:SAMPLED])).mean()) * 1.2
    return int(np.clip(np.rint(8 * (np.log2(spread + 1e-3) + 4)), 0, 191))


def _pack_bits(values: np.ndarray, bits: int) -> bytes:
    """`bits` low bits of each value, without gaps."""
    packed = []
    for first in range(0, len(values), UNPACKED):  # a multiple of 8, so that each piece fills whole bytes
        columns = (values[first : first + UNPACKED, None] >> np.arange(bits)) & 1
        packed.append(np.packbits(columns.astype(np.uint8).ravel(), bitorder="little").tobytes())
    return b"".join(packed)


def _unpack_bits(data: bytes, count: int, bits: int) -> np.ndarray:
    packed, values = np.frombuffer(data, dtype=np.uint8), np.zeros(count, dtype=np.int64)
    for first in range(0, count, UNPACKED):
        some = min(UNPACKED, count - first)
        columns = np.unpackbits(packed[first * bits // 8 :], count=some * bits, bitorder="little")
        values[first : first + some] = (columns.reshape(some, bits).astype(np.int64) << np.arange(bits)).sum(axis=1)
    return values
