"""The wide engine: blocks to payloads and back, a group of channels at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.workers import each
from spikey.codec.method import Method
from spikey.codec.payload import EncodedBlock, Facts, Groups, Lookup, Payload
from spikey.codec.survey import Block
from spikey.codec.wide import choose, fold, group, header, shapes
from spikey.codec.wide.describe import Described, describe
from spikey.codec.wide.descriptions import read_low, restored
from spikey.codec.wide.fit import MARGIN, SIZE, TAIL
from spikey.codec.wide.header import COLUMNS, CONSTANT, EVEN, LISTED
from spikey.codec.wide.lanes import HISTORY
from spikey.codec.wide.order import groups_of
from spikey.codec.wide.parameters import choose_parameters
from spikey.codec.wide.payload import Directory, pack_group, parse, read_head, read_words, write
from spikey.codec.wide.tables import Tables, tables_for, tables_in
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1_VALUES, N1Levels

FRAMES = 3072  # by which weights are chosen, at most
FEW_SAMPLES = 1 << 17  # of all channels by which weights are chosen, where these are few
STRETCHES = 8
FEW_CHANNELS = 4  # that pay for long predictions
WIDE_LANES, NARROW_LANES = 64, 8
ENOUGH = 16384  # frames that pay for wide lanes
FEW_PER_BLOCK = 8  # channels that would pay more for the first samples of so many lanes
ORDER, LONG_ORDER = 16, 32
NOT_WANTED = -1  # the column of a channel of which the samples are not wanted
SLACK = 8  # words a lane that the decoder may read too far, in one step


class Space:
    """Memory for one group after another: rows of `count` channels, and their words."""

    def __init__(self, frames: int, count: int, lanes: int, words: bool = True):
        self._steps = -(-frames // lanes)
        self._rows = np.empty((count, HISTORY + self._steps + 2, lanes), np.float32)
        self._codes: np.ndarray | None = None
        self.words = np.empty(3 * frames * count + 1024 if words else 0, np.uint16)

    def rows(self, count: int) -> np.ndarray:
        """float32 (count, rows, lanes), not cleared."""
        return self._rows[:count]

    def codes(self, count: int) -> np.ndarray:
        """int32 (count, steps, lanes), not cleared."""
        if self._codes is None:
            self._codes = np.empty((len(self._rows), self._steps, self._rows.shape[2]), np.int32)
        return self._codes[:count]


class Spaces:
    """Memory for as many groups as are coded at a time, like `Space`."""

    def __init__(self, frames: int, count: int, lanes: int, words: bool = True):
        self._make = partial(Space, frames, count, lanes, words)
        self._free: list[Space] = []

    @contextmanager
    def borrowed(self) -> Iterator[Space]:
        """A space that nobody else uses meanwhile."""
        try:
            space = self._free.pop()
        except IndexError:
            space = self._make()
        yield space
        self._free.append(space)


def encode(blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]) -> list[EncodedBlock | None]:
    """Blocks coded by this engine; None where that is not possible or not smaller than the samples."""
    return [_encode(block) for block in blocks]


def _encode(block: Block) -> EncodedBlock | None:
    described = describe(block)
    if described is None:
        return None
    codes = described.codes
    frames, count = codes.shape
    lanes = WIDE_LANES if frames >= (ENOUGH if count > FEW_PER_BLOCK else 8 * ENOUGH) else NARROW_LANES
    table = tables_for(described.descriptions, block.calibration, "the block")
    groups = groups_of(codes)
    spaces = Spaces(frames, max(len(channels) for channels, _ in groups), lanes)

    def packed_group(one: tuple[np.ndarray, np.ndarray]) -> bytes:
        with spaces.borrowed() as space:
            return encode_group(described, *one, lanes, table, space)

    packed = each(packed_group, groups)
    payload = write(lanes, described, [channels for channels, _ in groups], packed)
    if len(payload) >= block.samples.nbytes:
        return None
    return EncodedBlock(payload, calibrated=table is not None)


def _lanes(count: int) -> tuple[int, ...]:
    """What kernels take the number of lanes from, while they are compiled."""
    return (1,) * count


class Fitted(NamedTuple):
    """A group's channels as they are to be coded: rows of positions, codes of listed ones, numbers, stored weights."""

    rows: np.ndarray
    coded: np.ndarray | None
    numbers: np.ndarray
    stored: np.ndarray


def fit_group(
    described: Described,
    channels: np.ndarray,
    near: np.ndarray,
    lanes: int,
    table: Tables | None,
    space: Space,
    sampled: tuple[np.ndarray, int],
) -> Fitted:
    """Choose the numbers of a group. sampled: where the stretches begin that decide, and how long they are."""
    codes = described.codes
    frames, count = len(codes), len(channels)
    level = described.levels[channels]
    listed = np.array([converter > 0 for _, converter in described.descriptions])[level]
    offsets, steps = described.offsets[channels], described.steps[channels]
    starts, length = sampled
    stretches = np.empty((count, len(starts), MARGIN + length + TAIL))
    fold.sample_stretches(codes, channels, offsets, steps, starts, length, stretches)
    centres = np.empty(count)
    fold.centre(stretches, length, centres, listed)
    width = _lanes(lanes)
    rows = space.rows(count)
    shifts = offsets + np.where(listed, 0, centres).astype(np.int64) * steps
    fold.fill(width, codes, channels, shifts, steps, described.exact, rows)
    coded, constant = None, described.constant[channels]
    if table is not None:
        coded = space.codes(count)
        fold.list_codes(width, frames, listed & ~constant, table, level, centres, length, rows, coded, stretches)
    numbers, stored = np.zeros((count, COLUMNS), np.int64), np.zeros((count, SIZE))
    numbers[:, header.CENTRE] = centres
    numbers[:, header.LEVEL] = level
    kinds = np.where(constant, CONSTANT, np.where(listed, LISTED, EVEN))
    choose_parameters(
        width, frames, stretches, near, LONG_ORDER if codes.shape[1] <= FEW_CHANNELS else ORDER, kinds, shapes.COSTS,
        *TABLES, rows, numbers, stored,
    )  # fmt: skip
    return Fitted(rows, coded, numbers, stored)


def encode_group(
    described: Described, channels: np.ndarray, near: np.ndarray, lanes: int, table: Tables | None, space: Space
) -> bytes:
    """One group: its numbers, and its samples."""
    frames, count = len(described.codes), len(channels)
    sampled = _stretches(frames, described.codes.shape[1])
    rows, coded, numbers, stored = fit_group(described, channels, near, lanes, table, space, sampled)
    head = np.zeros(64 + 8 * count * (SIZE + COLUMNS), np.uint8)
    head = head[: header.write_numbers(numbers, stored, head)]
    lows = b"".join(described.lows.get(int(channel), b"") for channel in channels)
    if described.constant[channels].all():
        return pack_group(head, lows, None, None)
    state = np.empty(lanes, np.uint32)
    at = group.encode_group(
        _lanes(lanes), frames, rows, coded, table, shapes.COUNTS, numbers, stored, *TABLES, space.words, state
    )
    return pack_group(head, lows, state, space.words[at:])


TABLES = (choose.RATES, choose.PAIRS, choose.SCALE_TABLE, choose.BOOST_TABLE, header.PROFILE)
LIMITS = np.array([choose.SCALES, len(choose.PAIRS), shapes.SHAPES, choose.BOOSTS], np.int64)


def _stretches(frames: int, channels: int) -> tuple[np.ndarray, int]:
    """Where the frames begin by which weights are chosen, and how many there are in each stretch: a multiple of 8."""
    most = max(FRAMES, FEW_SAMPLES // channels)
    if frames <= most + most // 4:
        return np.zeros(1, np.int64), max((frames - 1) // 8 * 8, 8)
    length = most // STRETCHES // 8 * 8
    return (frames - length - 2) * np.arange(STRETCHES, dtype=np.int64) // (STRETCHES - 1), length


def decode(payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
    """The samples (frames, channels) of payloads."""
    return [_decode(payload, lookup) for payload in payloads]


def _decode(payload: Payload, lookup: Lookup) -> np.ndarray:
    directory = parse(payload)
    samples = np.empty((payload.frames, payload.count), payload.dtype)
    table = tables_in(directory.descriptions, lookup, payload.what)
    spaces = Spaces(payload.frames, max(map(len, directory.groups)), directory.lanes, words=False)

    def put_group(place: int) -> None:
        with spaces.borrowed() as space:
            decode_group(payload, directory, place, directory.groups[place], table, samples, space)

    each(put_group, range(len(directory.groups)))
    if not directory.fits:
        raise DataError(f"{payload.what}: has groups of another size than it should")
    return samples


def groups(payload: Payload) -> Groups:
    """The channels of each group, in coding order, and where it lies; only a payload's beginning is looked at."""
    directory = parse(payload)
    return Groups(directory.groups, directory.places, directory.front)


def decode_some(payload: Payload, lookup: Lookup, channels: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Samples (frames, channels) of some channels, and those of them that are damaged.

    Only their groups are decoded, and those no further than to the last channel that is wanted. Of several groups what
    is undamaged is as it was written; a single one is covered by the block's checksum alone.
    """
    wanted, columns = np.unique(np.asarray(channels, np.int64), return_inverse=True)
    directory = parse(payload)
    table = tables_in(directory.descriptions, lookup, payload.what)
    spaces = Spaces(payload.frames, max(map(len, directory.groups)), directory.lanes, words=False)
    samples = np.empty((payload.frames, len(wanted)), payload.dtype)
    damaged: list[int] = []

    def put_group(place: int) -> None:
        inside = directory.groups[place]
        found = np.minimum(np.searchsorted(wanted, inside), len(wanted) - 1)
        places = np.where(wanted[found] == inside, found, NOT_WANTED)
        try:
            with spaces.borrowed() as space:
                decode_group(payload, directory, place, places, table, samples, space)
        except DataError:
            damaged.extend(inside[places != NOT_WANTED].tolist())
            samples[:, places[places != NOT_WANTED]] = 0

    each(put_group, [place for place, inside in enumerate(directory.groups) if np.isin(inside, wanted).any()])
    in_order = len(columns) == len(wanted) and (np.diff(columns) > 0).all()
    return samples if in_order else samples[:, columns], sorted(damaged)


def decode_group(
    payload: Payload,
    directory: Directory,
    place: int,
    columns: np.ndarray,
    table: Tables | None,
    samples: np.ndarray,
    space: Space,
) -> None:
    """Fill in the samples of a group: `columns` are its channels' in them, or NOT_WANTED."""
    frames, lanes, count = payload.frames, directory.lanes, len(columns)
    cursor = directory.cursor(place)
    what = cursor.what
    numbers, stored = numbers_of(read_head(cursor), directory, count, what)
    described = [directory.descriptions[level][0] for level in numbers[:, header.LEVEL]]
    lows = [read_low(cursor, levels, frames, payload.dtype) for levels in described]
    wanted = np.flatnonzero(columns != NOT_WANTED)
    whole = len(wanted) == count
    if not whole:
        last = int(wanted[-1]) + 1  # no channel looks at those behind it
        numbers, stored = numbers[:last], stored[:last]
    width = _lanes(lanes)
    rows = space.rows(len(numbers))
    listed = numbers[:, header.KIND] == LISTED
    coded = space.codes(len(numbers)) if listed.any() else None
    if (numbers[:, header.KIND] == CONSTANT).all():
        if cursor.rest() and whole:
            raise DataError(f"{what}: is damaged: has bytes after channels that do not change")
        rows[:] = 0
    else:
        state, words = read_words(cursor, lanes)
        words = np.concatenate([words, np.zeros(SLACK * lanes, np.uint16)])
        if not group.decode_group(
            width, frames, rows, coded, table if coded is not None else None, shapes.COUNTS, shapes.QUANTILES, numbers,
            stored, *TABLES, words, state, whole,
        ):  # fmt: skip
            raise DataError(f"{what}: is damaged: its samples do not end where they should")
    if not whole:
        rows, numbers, listed, columns = rows[wanted], numbers[wanted], listed[wanted], columns[wanted]
        coded = None if coded is None or not listed.any() else coded[wanted]
        described, lows = [described[place] for place in wanted], [lows[place] for place in wanted]
        count = len(wanted)
    even = [levels for levels in described if type(levels) is Affine and not levels.low_bits]
    if samples.dtype.kind == "i" and samples.dtype.itemsize in (2, 4) and len(even) == count and coded is None:
        offsets = np.array([levels.offset for levels in even], np.int64)
        steps = np.array([levels.step for levels in even], np.int64)
        fold.unfold(width, rows, numbers, columns, offsets, steps, samples)
        return
    if coded is not None:
        fold.rows_of_codes(width, listed, coded, rows)
        numbers[listed, header.CENTRE] = 0
    zeros, ones = np.zeros(count, np.int64), np.ones(count, np.int64)
    if samples.dtype == np.int16 and all(isinstance(levels, N1Levels) for levels in described):
        fold.unfold(width, rows, numbers, columns, zeros, ones, samples)
        fold.listed_values(columns, N1_VALUES, samples)
        return
    codes = np.empty((frames, count), np.int32)
    fold.unfold(width, rows, numbers, np.arange(count), zeros, ones, codes)
    for levels, own, low, column in zip(described, codes.T, lows, columns, strict=True):
        inside = own if levels is None else np.clip(own, 0, levels.alphabet - 1)
        samples[:, column] = restored(levels, inside, low, payload.dtype, what)


def numbers_of(head: np.ndarray, directory: Directory, count: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """What was chosen for each channel of a group, and its weights; DataError for what no encoder writes."""
    numbers, stored = np.zeros((count, COLUMNS), np.int64), np.zeros((count, SIZE))
    kinds = np.array([LISTED if converter else EVEN for _, converter in directory.descriptions], np.int64)
    if not header.read_numbers(head, kinds, LIMITS, numbers, stored):
        raise DataError(f"{what}: describes a channel in a way that this version does not support")
    alphabets = np.array([1 if levels is None else levels.alphabet for levels, _ in directory.descriptions])
    packed = np.array([levels is None for levels, _ in directory.descriptions])[numbers[:, header.LEVEL]]
    if (numbers[packed, header.KIND] != CONSTANT).any():
        raise DataError(f"{what}: describes a channel in a way that this version does not support")
    centres = numbers[:, header.CENTRE]
    if (centres < 0).any() or (centres >= alphabets[numbers[:, header.LEVEL]]).any():
        raise DataError(f"{what}: has a channel with an invalid centre code")
    return numbers, stored


def facts(payload: Payload, lookup: Lookup) -> Facts:
    """What a payload contains beside samples."""
    directory = parse(payload)
    levels: list[Levels | None] = [None] * payload.count
    references: list[list[int]] = [[] for _ in range(payload.count)]
    chosen = np.zeros((payload.count, COLUMNS), np.int64)
    for place, channels in enumerate(directory.groups):
        cursor = directory.cursor(place)
        numbers, _ = numbers_of(read_head(cursor), directory, len(channels), cursor.what)
        for row, channel in zip(numbers, channels, strict=True):
            levels[channel] = directory.descriptions[row[header.LEVEL]][0]
            near = row[header.REF0 : header.REF0 + row[header.NEAR]]
            references[channel] = [int(channels[other]) for other in near]
            chosen[channel] = row
    method: dict[str, object] = {
        "predictor": "wide",
        "coder": "rANS",
        "lanes": directory.lanes,
        "converters": sorted({converter for _, converter in directory.descriptions if converter}),
        "groups": [channels.tolist() for channels in directory.groups],
        "constant": np.flatnonzero(chosen[:, header.KIND] == CONSTANT).tolist(),
        "orders": (chosen[:, header.ORDER] * 8).tolist(),
        "scale_rates": [[float(choose.RATES[rate]) for rate in choose.PAIRS[pair]] for pair in chosen[:, header.PAIR]],
        "shapes": chosen[:, header.SHAPE].tolist(),
    }
    return Facts(method, ["floats, packed" if one is None else one.words() for one in levels], references)
