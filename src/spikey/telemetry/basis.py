"""The waveforms' basis and the transforms of blocks: between signals and integer multiples of a step."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.base.shipped import tables as shipped_tables
from spikey.telemetry.filters import LOW_FRACTION
from spikey.telemetry.logarithm import exp2
from spikey.telemetry.settings import BLOCK, Shape
from spikey.telemetry.symbols import COST_BITS, ESCAPE, Tables, tables_of
from spikey.telemetry.syntax import LOW_CONTEXTS, MOST_OCTAVES, NOISE, OFFSET, POWER, SCALE, low_row, wave_row

BASIS_BITS = 13
COSINE_BITS = 14
BASIS_RATE = 20_000.0  # Hz, at which the basis was fitted
HALF_EIGHTH = 1069  # 2^(1 / 16), times 2^10
LEAST_SQUARE = 64  # of the power, in 2^-12 squared codes: an eighth of a code
NOISE_EIGHTHS = 5  # of the noise's standard deviation above its median, in 1/8 octaves
FINEST_WAVE = -12  # steps of quality 0, in 1/8 octaves of the noise
FINEST_LOW = -32  # steps of size 0, in 1/8 octaves of the LFP band's deviation
UPPER = 21  # the first coefficient above 100 Hz
COARSER_FROM, COARSER = 10, 24  # the step size from which those are coarser, and by how many 1/8 octaves at most
WORTH = 6400  # what a bit is worth, in 2^-16 squared steps


class Transforms(NamedTuple):
    """waves int16 (components, snippet), times 2^13, rows orthonormal; cosines int16 (coefficients, 64), times 2^14;
    template int32 (components,), times 2^14: direction of a typical spike.
    """

    waves: np.ndarray
    cosines: np.ndarray
    template: np.ndarray


@cache
def shipped() -> dict[str, np.ndarray]:
    """The shipped arrays: `counts` of the tables, `basis`, `shape` of a typical spike in it, `cosines`."""
    return shipped_tables("telemetry")


@cache
def tables() -> Tables:
    """The shipped tables of the symbols."""
    return tables_of(shipped()["counts"])


def transforms(shape: Shape) -> Transforms:
    """The transforms for a shape; the basis is resampled to the rate and orthonormalised again."""
    stored = shipped()
    cosines = stored["cosines"][: shape.coefficients].astype(np.int16)
    return Transforms(stretched(stored["basis"], shape).astype(np.int16), cosines, stored["shape"])


def stretched(basis: np.ndarray, shape: Shape) -> np.ndarray:
    """A basis int32 (components, 28) fitted at 20 kHz, resampled to a shape's rate: int32 (components, snippet)."""
    factor = BASIS_RATE / shape.rate
    if abs(factor - 1) < 0.04 and basis.shape[1] == shape.snippet:
        return basis.astype(np.int32)
    trough = basis.shape[1] * 10 // 28
    rows: list[np.ndarray] = []
    for row in basis.astype(np.float64):
        vector = np.zeros(shape.snippet)
        for i in range(shape.snippet):
            at = min(max((i - shape.pre) * factor + trough, 0.0), basis.shape[1] - 1.0)
            low = min(int(at), basis.shape[1] - 2)
            vector[i] = row[low] + (at - low) * (row[low + 1] - row[low])
        for other in rows:  # Gram-Schmidt
            vector = vector - other * _sum(vector, other)
        length = _sum(vector, vector) ** 0.5
        rows.append(vector / length if length > 1e-6 else vector * 0)
    return np.floor(np.array(rows) * (1 << BASIS_BITS) + 0.5).astype(np.int32)


def _sum(first: np.ndarray, second: np.ndarray) -> float:
    """Sum of the products, in order, so that it is the same on every machine."""
    total = 0.0
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        total += a * b
    return total


@kernel
def analyse_waves(waves, snippets, coefficients):
    """Coefficients int32 (n, components), in 2^-10 codes, of snippets int32 (n, length)."""
    for e in range(snippets.shape[0]):
        for k in range(waves.shape[0]):
            total = np.int64(1) << (BASIS_BITS - 1)
            for i in range(waves.shape[1]):
                total += np.int64(waves[k, i]) * np.int64(snippets[e, i])
            coefficients[e, k] = total >> BASIS_BITS


@kernel
def level_of(profile, middle):
    """The level of a channel's LFP band, in 1/64 codes; middle: the alphabet's middle code."""
    return (middle << LOW_FRACTION) + ((profile[OFFSET] * exp2(2 * profile[SCALE])) >> 2)


@kernel
def analyse_low(cosines, low, first, ends, channels, profile, middle, coefficients):
    """Coefficients int32 (n, coefficients), in 1/64 codes, of blocks of the LFP band minus the profile's level.

    low int32 (channels, ring): its samples, from the channels' first codes, int32 (channels,). ends int64 (n,): samples
    before the end of each block. channels int64 (n,): of each block. Before the stream the first sample is repeated.
    """
    ring = low.shape[1] - 1
    for b in range(ends.shape[0]):
        c = channels[b]
        level = level_of(profile[c], middle) - (np.int64(first[c]) << LOW_FRACTION)
        end = ends[b]
        for k in range(cosines.shape[0]):
            total = np.int64(1) << (COSINE_BITS - 1)
            for i in range(BLOCK):
                at = end - BLOCK + i
                sample = np.int64(low[c, max(at, 0) & ring]) if end > 0 else np.int64(0)
                total += np.int64(cosines[k, i]) * (sample - level)
            coefficients[b, k] = total >> COSINE_BITS


@inlined
def wave_step(profile, quality):
    """The step of a channel's waveforms, in 2^-10 codes."""
    return exp2(2 * profile[NOISE] + NOISE_EIGHTHS + FINEST_WAVE + 4 * quality)


@inlined
def low_step(profile, step, k):
    """The step of coefficient k of a channel's LFP band, in 1/64 codes; if bits are short, coarser above 100 Hz."""
    coarser = min(max(2 * (step - COARSER_FROM), 0), COARSER) if k >= UPPER else 0
    return exp2(2 * profile[SCALE] + FINEST_LOW + 2 * step + coarser)


@inlined
def _worth(tables, row, value, size):
    """A value in steps of a size, rounded one step towards zero where the bits that this saves are worth the error.

    After Sullivan and Wiegand, "Rate-distortion optimization for video compression" (1998).
    """
    exact = (abs(value) << 8) // size
    near = (exact + 128) >> 8
    if near == 0:
        return near
    sign = 1 if value >= 0 else -1
    if near >= ESCAPE:
        return sign * near
    away, away_less = exact - (near << 8), exact - ((near - 1) << 8)
    cost = away * away + ((WORTH * np.int64(tables.cost[row, ESCAPE + sign * near])) >> COST_BITS)
    cost_less = away_less * away_less + ((WORTH * np.int64(tables.cost[row, ESCAPE + sign * (near - 1)])) >> COST_BITS)
    return sign * near if cost <= cost_less else sign * (near - 1)


@kernel
def quantise_waves(tables, profile, channels, coefficients, quality, steps):
    """Steps int32 (n, 13) of waveforms' coefficients int32 (n, 12); profile int32 (channels, 7), channels int64 (n,).

    The first of the 13 numbers is by how many octaves the steps of a large waveform are larger, so that no coefficient
    needs more than 15 of them.
    """
    for e in range(coefficients.shape[0]):
        size = wave_step(profile[channels[e]], quality)
        most = np.int64(0)
        for k in range(coefficients.shape[1]):
            most = max(most, np.int64(abs(coefficients[e, k])))
        octaves = 0
        while octaves < MOST_OCTAVES and most >> octaves >= (ESCAPE - 1) * size:
            octaves += 1
        steps[e, 0] = octaves
        size <<= octaves
        largest, last, before = 0, 0, 0
        for k in range(coefficients.shape[1]):
            row = wave_row(quality, k, largest, last + before)
            value = _worth(tables, row, np.int64(coefficients[e, k]), size)
            steps[e, k + 1] = value
            before, last = last, min(abs(value), 4)
            largest = max(largest, min(abs(value), 8))


@kernel
def quantise_low(tables, profile, channels, coefficients, step, steps):
    """Steps int32 (n, coefficients) of blocks' coefficients int32."""
    for b in range(coefficients.shape[0]):
        last, before = 0, 0
        for k in range(coefficients.shape[1]):
            size = low_step(profile[channels[b]], step, k)
            value = _worth(tables, low_row(step, k, last, before), np.int64(coefficients[b, k]), size)
            steps[b, k] = value
            before, last = last, min(abs(value), LOW_CONTEXTS)


@kernel
def restore_waves(waves, profile, channels, steps, quality, snippets):
    """Snippets int32 (n, length), in 2^-10 codes, of steps int32 (n, 13)."""
    for e in range(steps.shape[0]):
        size = wave_step(profile[channels[e]], quality) << min(steps[e, 0], MOST_OCTAVES)
        for i in range(waves.shape[1]):
            total = np.int64(1) << (BASIS_BITS - 1)
            for k in range(waves.shape[0]):
                total += np.int64(waves[k, i]) * (np.int64(steps[e, k + 1]) * size)
            snippets[e, i] = total >> BASIS_BITS


@kernel
def restore_low(cosines, profile, channels, steps, step, middle, samples):
    """Samples int64 (n, 64), in 1/64 codes, of blocks' steps int32 (n, coefficients)."""
    for b in range(steps.shape[0]):
        own = profile[channels[b]]
        below, above, level = low_step(own, step, 0), low_step(own, step, UPPER), level_of(own, middle)
        for i in range(BLOCK):
            total = np.int64(1) << (COSINE_BITS - 1)
            for k in range(cosines.shape[0]):
                total += np.int64(cosines[k, i]) * (np.int64(steps[b, k]) * (below if k < UPPER else above))
            samples[b, i] = (total >> COSINE_BITS) + level


@kernel
def restore_power(profile, channels, values, coarse, squares):
    """Mean squares int64 (n,), in 2^-12 squared codes, of values int32 (n,): the middle of each step."""
    for i in range(values.shape[0]):
        eighths = np.int64(profile[channels[i], POWER]) + (np.int64(values[i]) << coarse) + coarse
        squares[i] = exp2(min(eighths, 8 * 44))
        if coarse == 0:
            squares[i] = (squares[i] * HALF_EIGHTH) >> 10
