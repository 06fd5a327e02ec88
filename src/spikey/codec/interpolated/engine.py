"""The interpolated engine: sampled frames, and what a filter leaves of the others, both coded by the wide engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.workers import each
from spikey.codec.interpolated.detect import Found, detect
from spikey.codec.interpolated.edges import MOST, edges_of, write_numbers
from spikey.codec.interpolated.integers import (
    difference_type,
    find_common_scale,
    integers_of,
    samples_of,
    suitable,
)
from spikey.codec.interpolated.payload import Parts, parse, write
from spikey.codec.method import Method
from spikey.codec.payload import EncodedBlock, Facts, Groups, Lookup, Payload
from spikey.codec.survey import Block
from spikey.codec.wide import engine as wide
from spikey.levels.scaled import Scale

SELDOM = 0.1  # of predictions are wrong where a list of those may pay
TOGETHER = 8  # channels that a thread takes at a time
PER_CHANNEL = ("orders", "scale_rates", "shapes")  # facts of the wide engine


def encode(blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]) -> list[EncodedBlock | None]:
    """Blocks that are interpolated; None for others, and where it does not make them smaller than their samples."""
    return [_encode(block, method) for block in blocks]


def found_in(samples: np.ndarray) -> Found | None:
    """How samples (frames, channels) are interpolated; None where they are not, or not of integers of up to 32 bits."""
    return _look(samples)[0]


def _look(samples: np.ndarray) -> tuple[Found | None, Scale | None, np.ndarray]:
    """How samples are interpolated, the scale of floats, and integers."""
    scale = find_common_scale(samples) if samples.dtype.kind == "f" and samples.size else None
    if not suitable(samples.dtype) or (samples.dtype.kind == "f" and scale is None):
        return None, None, samples
    integers, right = integers_of(samples, scale)
    found = detect(integers)
    if found is not None and scale is not None:
        inside = right[found.pattern.others][:, found.channels].all(axis=0)
        found = replace(found, channels=found.channels[inside]) if inside.any() else None
    return found, scale, integers


def _encode(block: Block, method: Method) -> EncodedBlock | None:
    samples = block.samples
    found, scale, integers = _look(samples)
    if found is None:
        return None
    pattern, channels = found.pattern, found.channels
    others = np.setdiff1d(np.arange(samples.shape[1]), channels)
    sampled = samples[pattern.sampled][:, channels]
    inner = [Block(np.ascontiguousarray(sampled), block.calibration, block.placed)]
    if len(others):
        inner.append(Block(np.ascontiguousarray(samples[:, others]), block.calibration, block.placed))
    coded = [one for one in wide.encode(inner, method, [None] * len(inner)) if one is not None]
    left = _left(_differences(integers, found), found, method)
    if len(coded) < len(inner) or left is None:
        return None
    payloads = [one.payload for one in coded]
    payloads[1:1] = left.payloads
    payload = write(found, scale, left.numbers, left.listed, others, payloads)
    if len(payload) >= samples.nbytes:
        return None
    return EncodedBlock(payload, calibrated=any(one.calibrated for one in coded))


def _differences(integers: np.ndarray, found: Found) -> np.ndarray:
    """Errors of the filter for the frames between sampled ones (frames, channels), modulo their size."""
    pattern, channels = found.pattern, found.channels
    by_channel = np.ascontiguousarray(integers.T)
    out = np.empty((len(pattern.others), len(channels)), difference_type(integers.dtype))

    def put(places: range) -> None:
        for place in places:
            numbers = by_channel[channels[place]].astype(np.int64) - found.offset
            if found.step > 1:
                numbers //= found.step
            predicted = found.filter.predict(numbers[pattern.sampled], pattern)
            out[:, place] = (numbers[pattern.others] - predicted).astype(out.dtype)

    each(put, _shares(len(channels)))
    return out


class Left(NamedTuple):
    """What a filter leaves, coded: numbers, whether they are all of it, and else a payload of the predictor wide."""

    numbers: bytes | None
    listed: bool
    payloads: list[bytes]


def _left(differences: np.ndarray, found: Found, method: Method) -> Left | None:
    """What a filter leaves, in as few bytes as one way or the other takes; None where it is not compressible."""
    contexts = edges_of(found.pattern, found.filter.side)
    inside = differences[contexts < 0]
    apart = bool((np.abs(differences.astype(np.int64)) < MOST).all())
    ways = []
    if apart and np.count_nonzero(inside) <= SELDOM * inside.size:
        ways.append(Left(write_numbers(differences, contexts, True), True, []))
    if len(inside):
        numbers = write_numbers(differences, contexts, False) if apart else None
        rest = np.ascontiguousarray(inside) if apart else differences
        (coded,) = wide.encode([Block(rest, None)], method, [None])
        if coded is not None:
            ways.append(Left(numbers, False, [coded.payload]))
    return min(ways, key=lambda way: len(way.numbers or b"") + sum(map(len, way.payloads)), default=None)


def _shares(count: int) -> list[range]:
    return [range(first, min(first + TOGETHER, count)) for first in range(0, count, TOGETHER)]


def _restored(
    parts: Parts, places: np.ndarray, sampled: np.ndarray, differences: np.ndarray | None, samples: np.ndarray
) -> None:
    """Fill in samples (frames, channels) from the sampled frames and the filter's errors for those between.

    places: of the channels, among those that are interpolated. differences: those of the predictor wide, if there are.
    """
    pattern = parts.pattern
    if parts.contexts is not None and parts.numbers is not None:
        rest, differences = differences, parts.numbers[places].T
        if rest is not None:
            differences = np.ascontiguousarray(differences)
            differences[parts.contexts < 0] = rest
    assert differences is not None
    samples[pattern.sampled] = sampled
    between = np.empty(differences.shape, samples.dtype)

    def put(places: range) -> None:
        for place in places:
            integers, _ = integers_of(sampled[:, place], parts.scale)
            numbers = integers.astype(np.int64) - parts.offset
            if parts.step > 1:
                numbers //= parts.step
            numbers = parts.filter.predict(numbers, pattern) + differences[:, place]
            between[:, place] = samples_of(numbers * parts.step + parts.offset, parts.scale, samples.dtype)

    each(put, _shares(samples.shape[1]))
    samples[pattern.others] = between


def decode(payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
    """The samples (frames, channels) of payloads."""
    return [_decode(payload, lookup) for payload in payloads]


def _decode(payload: Payload, lookup: Lookup) -> np.ndarray:
    parts = parse(payload)
    samples = np.empty((payload.frames, payload.count), payload.dtype)
    (sampled,) = wide.decode([parts.sampled], lookup)
    differences = None if parts.between is None else wide.decode([parts.between], lookup)[0]
    inside = samples if parts.rest is None else np.empty((payload.frames, len(parts.channels)), payload.dtype)
    _restored(parts, np.arange(len(parts.channels)), sampled, differences, inside)
    if parts.rest is not None:
        samples[:, parts.channels] = inside
        samples[:, parts.others] = wide.decode([parts.rest], lookup)[0]
    return samples


def groups(payload: Payload) -> Groups:
    """The groups: those of the sampled frames, then those of channels that are not interpolated.

    Each needs all of the payload, as what it takes lies in several places.
    """
    parts = parse(payload)
    found = [parts.channels[inside] for inside in wide.groups(parts.sampled).channels]
    if parts.rest is not None:
        found += [parts.others[inside] for inside in wide.groups(parts.rest).channels]
    size = len(payload.data)
    return Groups(found, [(0, size)] * len(found), size)


def decode_some(payload: Payload, lookup: Lookup, channels: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Samples (frames, channels) of some channels, and those of them that are damaged."""
    parts = parse(payload)
    wanted = np.asarray(channels, np.int64)
    samples = np.zeros((payload.frames, len(wanted)), payload.dtype)
    damaged = np.zeros(len(wanted), bool)
    hit = np.flatnonzero(np.isin(wanted, parts.channels))
    if len(hit):
        places = np.searchsorted(parts.channels, wanted[hit])
        sampled, lost = _some(parts.sampled, parts.right, lookup, places)
        differences = None
        if parts.between is not None:
            differences, more = _some(parts.between, parts.right, lookup, places)
            lost = lost | more
        found = np.empty((payload.frames, len(hit)), payload.dtype)
        _restored(parts, places, sampled, differences, found)
        damaged[hit] = lost
        samples[:, hit] = found
    hit = np.flatnonzero(np.isin(wanted, parts.others))
    if len(hit) and parts.rest is not None:
        samples[:, hit], damaged[hit] = _some(
            parts.rest, parts.right, lookup, np.searchsorted(parts.others, wanted[hit])
        )
    samples[:, damaged] = 0
    return samples, sorted(wanted[damaged].tolist())


def _some(
    payload: Payload, right: dict[str, bool], lookup: Lookup, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Samples of some channels of a payload, and which of them are damaged: where its checksum is wrong and it has no
    groups with checksums of their own, all are.
    """
    nothing = np.zeros((payload.frames, len(places)), payload.dtype), np.ones(len(places), bool)
    try:
        if not right[payload.what.rpartition(", ")[2]] and len(wide.groups(payload).channels) == 1:
            return nothing
        samples, damaged = wide.decode_some(payload, lookup, places.tolist())
    except DataError:
        return nothing
    return samples, np.isin(places, damaged)


def facts(payload: Payload, lookup: Lookup) -> Facts:
    """What a payload contains beside samples: that of the sampled frames, and how the others follow from them."""
    parts = parse(payload)
    found = [(parts.channels, wide.facts(parts.sampled, lookup))]
    if parts.rest is not None:
        found.append((parts.others, wide.facts(parts.rest, lookup)))
    levels = [""] * payload.count
    references: list[list[int]] = [[] for _ in range(payload.count)]
    groups_of: list[list[int]] = []
    constant: list[int] = []
    each_of: dict[str, list[object]] = {name: [None] * payload.count for name in PER_CHANNEL}
    for channels, one in found:
        known: dict[str, Any] = one.method
        groups_of += [channels[group].tolist() for group in known["groups"]]
        constant += channels[np.array(known["constant"], np.int64)].tolist()
        for place, channel in enumerate(channels.tolist()):
            levels[channel] = one.levels[place]
            references[channel] = channels[np.array(one.references[place], np.int64)].tolist()
            for name, values in each_of.items():
                values[channel] = known[name][place]
    method: dict[str, object] = {
        "predictor": "interpolated",
        "interpolated_by": parts.pattern.factor,
        "interpolated": parts.channels.tolist(),
        "phases": [{"first": first, "phase": phase} for first, phase in parts.pattern.runs],
        "taps": (parts.filter.taps / 2.0**parts.filter.bits).round(6).tolist(),
        "bytes": {
            "sampled": len(parts.sampled.data),
            "between": len(payload.data)
            - len(parts.sampled.data)
            - (0 if parts.rest is None else len(parts.rest.data)),
            "other_channels": 0 if parts.rest is None else len(parts.rest.data),
        },
        "coder": found[0][1].method["coder"],
        "lanes": found[0][1].method["lanes"],
        "groups": groups_of,
        "constant": sorted(constant),
        **each_of,
    }
    return Facts(method, levels, references)
