"""The signal-processing front end, run on every sample: spike band, noise, crossings, spike-band power, LFP band.

    code --+-- high-pass -- low-pass --+-- running median -- threshold -- crossings
           |     (the spike band)      +-- low-pass -- square -- sum: spike-band power
           +-- decimator: the LFP band

All channels are processed together, frame by frame, in integers. The spike band is buffered, so that waveforms can be
cut from it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.telemetry.filters import BOXCARS, COEFFICIENT_BITS, FRACTION, LOW_FRACTION, SHARPEN, section
from spikey.telemetry.settings import BLOCK, POLARITIES, Settings, Shape

MEDIAN_BITS = 10  # of the running median below a unit of the spike band
SLOWEST = 14  # its steps are 1/2^14 of its value once it has settled
QUICKEST = 3
WARM_UP = 256  # frames before the first crossing
LEAST_NOISE = 1 << (FRACTION - 2)  # a quarter of a code; channels below this are silent
NORMAL = 0.6744897501960817  # median of the absolute value of a standard normal variable
THRESHOLD_BITS = 8
POWER_SHIFT = 4  # low bits of the spike band that its squares omit
ROOM = 512  # frames that are processed before the buffers are moved
WEAK = 3.0  # standard deviations of the noise above which a crossing may be a weak spike
HALF = 1 << (COEFFICIENT_BITS - 1)
HIGH, LOW, POWER = 0, 1, 2  # rows of `sections`


class Frontend(NamedTuple):
    """State of the front end for all channels.

    raw int32 (channels,): a frame's codes minus the channel's first one. band int32 (rows, channels): the spike band,
    in 2^-10 codes. sections int32 (3, 3): gain, a1 and a2 of each filter. memory int32 (8, channels): their delay
    lines, two values each: codes, high-passed signal, spike band, and the power's band. median int64 (channels,): of
    the absolute spike band, in 2^-20 codes. limit int32 (channels,): the threshold in 2^-10 codes. since int32
    (channels,): frames since the last crossing. beyond uint8 (channels,): whether the last frame was beyond the
    threshold (1) and the weak one (2), and rising uint8 (channels,): whether this frame is the first. age int32
    (channels,): frames since the last weak crossing. weak_limit: the weak threshold. power int64 (channels,): sum of
    squares in the current bin, in 2^-12 squared codes. sums int64 (4, channels): the decimator's running sums, modulo a
    power of two above its largest output. combs int64 (6, channels): delayed values of its differences and last taps.
    low int32 (channels, ring): the latest samples of the LFP band, in 1/64 codes, as many as a packet's blocks need.
    first int32 (channels,): the first code. events int32 (capacity, 2): frame of the packet and channel of each
    crossing. candidates int64 (capacity, 3): the same of weak crossings whose waveform is over and that no crossing
    followed, and the channel's median, in 2^-10 codes. numbers int64 (11,): frames processed; row of the next frame in
    `raw` and `band`; crossings found; threshold over median, times 256; refractory frames; frames of a
    sample of the LFP band; bits of the running sums; polarity; candidates found; weak threshold over
    median, times 256; frames until a waveform is over.
    """

    raw: np.ndarray
    band: np.ndarray
    sections: np.ndarray
    memory: np.ndarray
    median: np.ndarray
    limit: np.ndarray
    since: np.ndarray
    weak_limit: np.ndarray
    age: np.ndarray
    beyond: np.ndarray
    rising: np.ndarray
    power: np.ndarray
    sums: np.ndarray
    combs: np.ndarray
    low: np.ndarray
    first: np.ndarray
    events: np.ndarray
    candidates: np.ndarray
    numbers: np.ndarray


FRAMES, ROW, FOUND, FACTOR, REFRACTORY, DECIMATION, SUM_BITS, POLARITY, CANDIDATES, WEAK_FACTOR, WAIT = range(11)
NEVER = 1 << 20  # frames since something that has not happened
MOST_LIMIT = (1 << 31) - 1  # no signal exceeds it
CODE_BITS = 18  # of the difference of two codes, with its sign


def new_frontend(settings: Settings, shape: Shape) -> Frontend:
    """The state before the first frame."""
    channels = shape.channels
    history = shape.wait + shape.pre + 1
    rows = history + ROOM

    def zeros(*size: int, dtype: type = np.int32) -> np.ndarray:
        return np.zeros(size, dtype=dtype)

    sections = [
        section("high", settings.band[0], shape.rate),
        section("low", settings.band[1], shape.rate),
        section("low", settings.power_high, shape.rate),
    ]
    factor = int(settings.threshold / NORMAL * (1 << THRESHOLD_BITS) + 0.5)
    weak = int(min(WEAK, settings.threshold) / NORMAL * (1 << THRESHOLD_BITS) + 0.5) if shape.weak else factor
    return Frontend(
        zeros(channels),
        zeros(rows, channels),
        np.stack(sections),
        zeros(8, channels),
        np.full(channels, LEAST_NOISE << MEDIAN_BITS, dtype=np.int64),
        zeros(channels),
        np.full(channels, NEVER, dtype=np.int32),
        zeros(channels),
        np.full(channels, NEVER, dtype=np.int32),
        zeros(channels, dtype=np.uint8),
        zeros(channels, dtype=np.uint8),
        zeros(channels, dtype=np.int64),
        zeros(BOXCARS, channels, dtype=np.int64),
        zeros(BOXCARS + len(SHARPEN) - 1, channels, dtype=np.int64),
        zeros(channels, 1 << (BLOCK + shape.frames // shape.decimation + 1).bit_length()),
        zeros(channels),
        zeros(channels * shape.slots, 2),
        zeros(channels * (shape.slots + 2), 3, dtype=np.int64),
        np.array(
            [
                0,
                history,
                0,
                factor,
                shape.refractory,
                shape.decimation,
                CODE_BITS + (shape.decimation**BOXCARS).bit_length(),
                POLARITIES.index(settings.polarity),
                0,
                weak,
                shape.wait,
            ],
            dtype=np.int64,
        ),
    )


@kernel
def begin_frontend(frontend, codes):
    """Set the codes int32 (channels,) that are subtracted from the signals, so that filters need not settle."""
    for c in range(codes.shape[0]):
        frontend.first[c] = codes[c]


@kernel
def process_frames(frontend, codes, offset):
    """Process frames int32 (n, channels), n at most `ROOM`; `offset`: of the first one in its packet."""
    channels = frontend.first.shape[0]
    rows, history = frontend.band.shape[0], frontend.band.shape[0] - ROOM
    if frontend.numbers[ROW] + codes.shape[0] > rows:
        start = frontend.numbers[ROW] - history
        for r in range(history):
            for c in range(channels):
                frontend.band[r, c] = frontend.band[start + r, c]
        frontend.numbers[ROW] = history
    for t in range(codes.shape[0]):
        row = frontend.numbers[ROW]
        raw, band = frontend.raw, frontend.band[row]
        for c in range(channels):
            raw[c] = codes[t, c] - frontend.first[c]
        _filter(frontend, raw, band)
        _add(frontend)
        _measure(frontend, band)
        _detect(frontend, band, offset + t)
        frontend.numbers[FRAMES] += 1
        frontend.numbers[ROW] = row + 1
        if frontend.numbers[FRAMES] % frontend.numbers[DECIMATION] == 0:
            _decimate(frontend)


@inlined
def _filter(frontend, raw, band):
    """The spike band of a frame, and the power of its lower part."""
    memory, sections = frontend.memory, frontend.sections
    channels = raw.shape[0]
    x1, x2, y1, y2 = memory[0], memory[1], memory[2], memory[3]
    gain, a1, a2 = np.int64(sections[HIGH, 0]), np.int64(sections[HIGH, 1]), np.int64(sections[HIGH, 2])
    for c in range(channels):
        x, last = raw[c] << FRACTION, x1[c]
        y = gain * np.int64(np.int32(x - 2 * last + x2[c])) - a1 * np.int64(y1[c]) - a2 * np.int64(y2[c])
        x2[c], x1[c] = last, x
        band[c] = np.int32((y + HALF) >> COEFFICIENT_BITS)
    z1, z2 = memory[4], memory[5]
    gain, a1, a2 = np.int64(sections[LOW, 0]), np.int64(sections[LOW, 1]), np.int64(sections[LOW, 2])
    for c in range(channels):
        y, last = band[c], y1[c]
        z = gain * (np.int64(y) + 2 * np.int64(last) + np.int64(y2[c])) - a1 * np.int64(z1[c]) - a2 * np.int64(z2[c])
        y2[c], y1[c] = last, y
        band[c] = np.int32((z + HALF) >> COEFFICIENT_BITS)
    p1, p2 = memory[6], memory[7]
    gain, a1, a2 = np.int64(sections[POWER, 0]), np.int64(sections[POWER, 1]), np.int64(sections[POWER, 2])
    power = frontend.power
    for c in range(channels):
        z, last, before = band[c], z1[c], p1[c]
        p = gain * (np.int64(z) + 2 * np.int64(last) + np.int64(z2[c])) - a1 * np.int64(before) - a2 * np.int64(p2[c])
        z2[c], z1[c] = last, z
        low = np.int32((p + HALF) >> COEFFICIENT_BITS)
        p2[c], p1[c] = before, low
        low >>= POWER_SHIFT
        power[c] += np.int64(low) * np.int64(low)


@inlined
def _measure(frontend, band):
    """Update the running median of the absolute spike band, and every 16 frames the thresholds."""
    median, frames = frontend.median, frontend.numbers[FRAMES]
    shift, age = QUICKEST, frames >> 5
    while age > 1 and shift < SLOWEST:
        shift += 1
        age >>= 1
    for c in range(band.shape[0]):
        middle = median[c]
        above = (np.int64(abs(band[c])) << MEDIAN_BITS) > middle
        step = (middle >> shift) + 1
        median[c] = max(middle + (step if above else -step), LEAST_NOISE << MEDIAN_BITS)
    if frames & 15 == 0:
        limit, factor = frontend.limit, frontend.numbers[FACTOR]
        weak_limit, weak_factor = frontend.weak_limit, frontend.numbers[WEAK_FACTOR]
        for c in range(band.shape[0]):
            noise = median[c] >> MEDIAN_BITS
            limit[c] = min((noise * factor) >> THRESHOLD_BITS, MOST_LIMIT)
            weak_limit[c] = min((noise * weak_factor) >> THRESHOLD_BITS, MOST_LIMIT)


@inlined
def _detect(frontend, band, frame):
    """Store the channels whose spike band crosses the threshold in this frame, and earlier weak crossings whose
    waveform is over.
    """
    limit, weak_limit, since, age = frontend.limit, frontend.weak_limit, frontend.since, frontend.age
    beyond, rising, numbers = frontend.beyond, frontend.rising, frontend.numbers
    polarity, wait, noted = numbers[POLARITY], numbers[WAIT], np.uint8(0)
    for c in range(band.shape[0]):
        signal = np.int64(band[c])
        signal = -signal if polarity == 0 else (signal if polarity == 1 else abs(signal))
        now = np.uint8(signal > limit[c]) | np.uint8(signal > weak_limit[c]) << np.uint8(1)
        old = min(age[c] + 1, NEVER)
        age[c] = old
        since[c] = min(since[c] + 1, NEVER)
        first = (now & ~beyond[c]) | np.uint8(old == wait) << np.uint8(2)
        rising[c], beyond[c] = first, now
        noted |= first
    if noted == 0 or numbers[FRAMES] < WARM_UP:
        return
    for c in range(band.shape[0]):
        if rising[c] == 0:
            continue
        if rising[c] & 4 and numbers[CANDIDATES] < frontend.candidates.shape[0]:
            found = numbers[CANDIDATES]
            frontend.candidates[found, 0], frontend.candidates[found, 1] = frame - wait, c
            frontend.candidates[found, 2] = frontend.median[c] >> MEDIAN_BITS
            numbers[CANDIDATES] = found + 1
        if since[c] < numbers[REFRACTORY]:
            continue
        if rising[c] & 1 and numbers[FOUND] < frontend.events.shape[0]:
            found = numbers[FOUND]
            frontend.events[found, 0], frontend.events[found, 1] = frame, c
            numbers[FOUND] = found + 1
            since[c], age[c] = 0, NEVER
        elif rising[c] & 2 and age[c] > wait:
            age[c] = 0


@inlined
def _add(frontend):
    """Add a frame to the decimator's running sums."""
    raw, sums = frontend.raw, frontend.sums
    mask = (np.int64(1) << frontend.numbers[SUM_BITS]) - 1
    for c in range(raw.shape[0]):
        total = np.int64(raw[c])
        for i in range(BOXCARS):
            total = (total + sums[i, c]) & mask
            sums[i, c] = total


@inlined
def _decimate(frontend):
    """Compute a sample of the LFP band: running means are differences of running sums (Hogenauer, 1981)."""
    sums, combs, decimation = frontend.sums, frontend.combs, frontend.numbers[DECIMATION]
    place = (frontend.numbers[FRAMES] // decimation - 1) & (frontend.low.shape[1] - 1)
    half = np.int64(1) << (frontend.numbers[SUM_BITS] - 1)
    gain = (decimation * decimation) * (decimation * decimation) * (SHARPEN[0] + SHARPEN[1] + SHARPEN[2])
    for c in range(sums.shape[1]):
        total = sums[BOXCARS - 1, c]
        for i in range(BOXCARS):
            before = combs[i, c]
            combs[i, c] = total
            total -= before
        total = ((total + half) & (2 * half - 1)) - half
        older, old = combs[BOXCARS, c], combs[BOXCARS + 1, c]
        combs[BOXCARS, c], combs[BOXCARS + 1, c] = old, total
        total = SHARPEN[0] * total + SHARPEN[1] * old + SHARPEN[2] * older
        frontend.low[c, place] = ((total << (LOW_FRACTION + 1)) + gain) // (2 * gain)


@kernel
def cut_snippets(band, rows, channels, shape, offsets, waveforms):
    """Cut the waveforms of crossings from the spike band int32 (n, channels).

    rows, channels int64 (n,): of each crossing. shape int64 (3,): frames before the trough, from it on, and of the
    search for it. offsets uint8 (n,): set to the trough's distance from the crossing. waveforms int32 (n, snippet).
    """
    pre, post, reach = shape[0], shape[1], shape[2]
    for e in range(rows.shape[0]):
        c, row = channels[e], rows[e]
        best, deepest = 0, np.int64(abs(band[row, c]))
        for o in range(1, reach + 1):
            depth = np.int64(abs(band[row + o, c]))
            if depth > deepest:
                best, deepest = o, depth
        offsets[e] = best
        for i in range(pre + post):
            waveforms[e, i] = band[row + best - pre + i, c]
