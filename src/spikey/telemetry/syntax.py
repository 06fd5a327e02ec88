"""The syntax of a packet's payload, symbol by symbol: profiles, crossings, power, LFP band, waveforms, weak spikes.

Each function codes arrays with any coder: a range encoder and a meter read them, a range decoder fills them. All
contexts are from the same packet and the profile, so that a packet is decoded without the previous one.
"""

from __future__ import annotations

from spikey.base.jit import inlined, kernel
from spikey.telemetry.symbols import beyond, even, flag, signed, symbol, unsigned

# Fields of a channel's profile.
RATE, NOISE, POWER, SPREAD, SCALE, OFFSET, WEAK = range(7)
FIELDS = 7
QUARTERS = 4  # steps per octave of noise and scale
EIGHTHS = 8  # and of power
POWER_LEVEL = 64  # the level of power is near 16 log2(noise) - 64
SPREADS = 4  # classes of how much a channel's power varies
BURSTS = 8  # classes: crossings in a packet are 1, 4, 16, ... times as probable as by the profiles
STEPS = 40  # step sizes: four per octave of the LFP band's steps
STEP_CLASSES, STEPS_OF_CLASS, BANDS, LOW_CONTEXTS = 14, 3, 14, 9
QUALITIES = 10  # step sizes of waveforms, two per octave
ROUGHER, ROUGHEST = 3, 5  # added to the quality for weak spikes' waveforms, mostly noise, and up to which
COMPONENTS = 12  # of the waveforms' basis
CODED = 1 + COMPONENTS  # numbers of a waveform: by how many octaves its steps are larger, and its components
MOST_OCTAVES = 12
WAVE_CONTEXTS = 16
ABSENT = 6  # class of the flag that a crossing's waveform is left out
COARSE = 2  # class of the flag that power has coarser steps
COARSEST = 3  # step sizes of power
OMITTED = 7  # class of the flag that power, LFP band or weak spikes of a packet are left out

# First rows in the tables.
PROFILE_ROWS = 0
BURST_ROW = PROFILE_ROWS + FIELDS
TROUGH_ROW = BURST_ROW + 1
OCTAVES_ROW = TROUGH_ROW + 1
POWER_ROWS = OCTAVES_ROW + 1
LOW_ROWS = POWER_ROWS + COARSEST * SPREADS
WAVE_ROWS = LOW_ROWS + STEP_CLASSES * BANDS * LOW_CONTEXTS
NEAR_ROWS = WAVE_ROWS + QUALITIES * COMPONENTS * WAVE_CONTEXTS  # from here on only if channels have neighbours
ZONES, TRENDS = 9, 8
PLACE_ROWS = NEAR_ROWS + 3 * 4 * ZONES
KIND_ROWS = PLACE_ROWS + ZONES * TRENDS
KIND_CONTEXTS, SHIFTS, GAIN_DELAYS = 16, 8, 8
SHIFT_ROWS = KIND_ROWS + 4 * KIND_CONTEXTS
GAIN_ROWS = SHIFT_ROWS + SHIFTS
OWN_TROUGH_ROW = GAIN_ROWS + 3 * GAIN_DELAYS
OWN_ROWS = OWN_TROUGH_ROW + 1
OWN_COMPONENTS = 3  # with separate rows for waveforms of kind `OWN`, which are larger than most
NEAR_POWER_ROWS = OWN_ROWS + QUALITIES * OWN_COMPONENTS * WAVE_CONTEXTS
NEAR_POWERS = 14  # values -6 to 6 of the channel before, or none
ROWS = NEAR_POWER_ROWS + COARSEST * NEAR_POWERS


@kernel
def code_profile(coder, tables, profile):
    """Code the profile int32 (channels, 7) of some channels."""
    for c in range(profile.shape[0]):
        for field in (RATE, WEAK):
            profile[c, field] = symbol(coder, tables, PROFILE_ROWS + field, profile[c, field])
        for field in (NOISE, SCALE):
            octave = unsigned(coder, tables, PROFILE_ROWS + field, profile[c, field] // QUARTERS)
            profile[c, field] = octave * QUARTERS + even(coder, QUARTERS, profile[c, field] % QUARTERS)
        usual = EIGHTHS // 2 * profile[c, NOISE] - POWER_LEVEL
        profile[c, POWER] = usual + signed(coder, tables, PROFILE_ROWS + POWER, profile[c, POWER] - usual)
        profile[c, SPREAD] = even(coder, SPREADS, profile[c, SPREAD])
        profile[c, OFFSET] = signed(coder, tables, PROFILE_ROWS + OFFSET, profile[c, OFFSET])


@kernel
def code_length(coder, length, most):
    """Code the number of frames of the last packet, int64 (1,), at most `most`."""
    length[0] = even(coder, most + 1, length[0])


@kernel
def code_dropped(coder, dropped):
    """Code how many crossings of this packet were left out; dropped int64 (1,)."""
    dropped[0] = beyond(coder, dropped[0])


@kernel
def code_events(coder, tables, rates, burst, places, found):
    """Code the crossings of a packet, slot by slot and channel by channel.

    rates int32 (channels,): classes of probabilities. burst int64 (1,): class of their increase. places: number of
    places of a slot. found int16 (slots, channels): 0, or one more than a crossing's place.
    """
    burst[0] = symbol(coder, tables, BURST_ROW, burst[0])
    code_places(coder, tables, rates, burst[0], places, found)


@kernel
def code_places(coder, tables, rates, burst, places, found):
    """Code which slots and channels have an event, and its place; as in `code_events`."""
    for slot in range(found.shape[0]):
        for c in range(found.shape[1]):
            chance = max(rates[c] - 2 * burst, 0)
            if flag(coder, tables, chance, found[slot, c]) != 0:
                found[slot, c] = 1 + even(coder, places, found[slot, c] - 1)
            else:
                found[slot, c] = 0


@inlined
def code_coarse(coder, tables, coarse):
    """Code how coarse the steps of power are."""
    more = flag(coder, tables, COARSE, min(coarse[0], 1))
    if more != 0:
        more += flag(coder, tables, 0, max(coarse[0], 1) - 1)
    coarse[0] = more


@kernel
def code_power(coder, tables, coarse, spreads, which, values):
    """Code the power of some channels minus its level in the profile, in steps of 1/8, 1/4 or 1/2 octave.

    coarse int64 (1,): 0, 1 or 2. spreads int32 (channels,): classes. which int64 (n,): channels. values int32 (n,).
    """
    code_coarse(coder, tables, coarse)
    for i in range(values.shape[0]):
        values[i] = signed(coder, tables, POWER_ROWS + coarse[0] * SPREADS + spreads[which[i]], values[i])


@kernel
def code_size(coder, size):
    """Code the size of the steps of LFP band and waveforms; size int64 (1,)."""
    size[0] = even(coder, STEPS, size[0])


@kernel
def code_low(coder, tables, size, blocks):
    """Code blocks of the LFP band int32 (n, coefficients), in steps of a size int64 (1,)."""
    for b in range(blocks.shape[0]):
        last, before = 0, 0  # magnitudes
        for k in range(blocks.shape[1]):
            value = signed(coder, tables, low_row(size[0], k, last, before), blocks[b, k])
            blocks[b, k] = value
            before, last = last, min(abs(value), LOW_CONTEXTS)


@inlined
def low_row(step, k, last, before):
    """The row for coefficient k of a block, by the magnitudes of the two before; bands widen with frequency."""
    band = k if k < 5 else (5 + (k - 5) // 3 if k < 14 else min(8 + (k - 14) // 7, BANDS - 1))
    first = (min(step // STEPS_OF_CLASS, STEP_CLASSES - 1) * BANDS + band) * LOW_CONTEXTS
    return LOW_ROWS + first + min(2 * last + before, LOW_CONTEXTS - 1)


@kernel
def code_waves(coder, tables, size, absent, offsets, waves):
    """Code the waveforms of crossings in their basis, in steps that follow from a size int64 (1,).

    absent uint8 (n,): 1 where a waveform is left out. offsets uint8 (n,): of the trough. waves int32 (n, 13).
    """
    quality = quality_of(size[0])
    for e in range(absent.shape[0]):
        absent[e] = flag(coder, tables, ABSENT, absent[e])
        if absent[e] == 0:
            offsets[e] = symbol(coder, tables, TROUGH_ROW, offsets[e])
            code_wave(coder, tables, quality, waves[e], 0)


@kernel
def code_weak_waves(coder, tables, size, waves):
    """Code the waveforms int32 (n, 13) of weak spikes, whose places are those of their troughs."""
    quality = rough_quality_of(size[0])
    for e in range(waves.shape[0]):
        code_wave(coder, tables, quality, waves[e], 0)


@inlined
def quality_of(size):
    """The quality of waveforms that follows from a size of the LFP band's steps.

    Finer than the squared error alone requires, as clusters of waveforms depend on it; the coarsest sizes use all.
    """
    return min(max((3 * size - 37) // 10, (size - 21) // 2, 0), QUALITIES - 1)


@inlined
def rough_quality_of(size):
    """The same for weak spikes."""
    quality = quality_of(size)
    return max(min(quality + ROUGHER, ROUGHEST), quality)


@inlined
def code_wave(coder, tables, quality, wave, own):
    """Code a waveform int32 (13,); own: how many of its first components have the separate rows of kind `OWN`."""
    wave[0] = symbol(coder, tables, OCTAVES_ROW, wave[0])
    largest, last, before = 0, 0, 0
    for k in range(wave.shape[0] - 1):
        row = wave_row(quality, k, largest, last + before)
        if k < own:
            row = OWN_ROWS + quality * OWN_COMPONENTS * WAVE_CONTEXTS + (row - wave_row(quality, 0, 0, 0))
        value = signed(coder, tables, row, wave[k + 1])
        wave[k + 1] = value
        before, last = last, min(abs(value), 4)
        largest = max(largest, min(abs(value), 8))


@inlined
def wave_row(quality, k, largest, latest):
    """The row for component k of a waveform, by the largest magnitude before and the sum of the last two."""
    size = 0 if largest < 2 else (1 if largest < 4 else (2 if largest < 8 else 3))
    return WAVE_ROWS + (quality * COMPONENTS + k) * WAVE_CONTEXTS + 4 * size + min(latest, 3)


@kernel
def code_omitted(coder, tables, omitted):
    """Code whether a part of the packet that is due is left out; omitted int64 (1,): 0 or 1."""
    omitted[0] = flag(coder, tables, OMITTED, omitted[0])
