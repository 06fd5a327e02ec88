"""Templates of the channels' spikes, learned from their crossings, and how well weak crossings match them.

A template is the direction of a channel's waveforms in the basis, a vector of length one. Its inner product with the
waveform of a weak crossing is the output of a matched filter at that crossing (Turin, "An introduction to matched
filters", 1960), which separates spikes from noise better than the depth of the trough.
"""

from __future__ import annotations

import numpy as np

from spikey.base.jit import kernel
from spikey.telemetry.frontend import NORMAL

TEMPLATE_BITS = 14
SCORE_BITS = 4
MOST_SCORE_BITS = 20
LEARNING = 3  # a crossing moves its channel's template by 2^-3 of the difference
_NORMAL = int(NORMAL * (1 << 16) + 0.5)


def first_templates(shape: np.ndarray, channels: int) -> np.ndarray:
    """Initial templates int32 (channels, components): the shipped one."""
    return np.tile(shape.astype(np.int32), (channels, 1))


@kernel
def learn_templates(templates, both, channels, coefficients):
    """Move templates towards the waveforms of crossings; unlike waveforms, such as artifacts, do not change them.

    templates int32 (channels, components), times 2^14. both: whether waveforms may be inverted. channels int64 (n,).
    coefficients int32 (n, components).
    """
    for e in range(coefficients.shape[0]):
        template, wave = templates[channels[e]], coefficients[e]
        energy, product = np.int64(0), np.int64(0)
        for k in range(wave.shape[0]):
            energy += np.int64(wave[k]) * np.int64(wave[k])
            product += np.int64(wave[k]) * np.int64(template[k])
        length = np.int64(np.sqrt(np.float64(energy)))
        sign = np.int64(-1) if both and product < 0 else np.int64(1)
        if length == 0 or sign * product < length << (TEMPLATE_BITS - 1):
            continue
        energy = np.int64(0)
        for k in range(wave.shape[0]):
            template[k] += ((sign * np.int64(wave[k]) << TEMPLATE_BITS) // length - template[k]) >> LEARNING
            energy += np.int64(template[k]) * np.int64(template[k])
        length = max(np.int64(np.sqrt(np.float64(energy))), np.int64(1))
        for k in range(wave.shape[0]):
            template[k] = (np.int64(template[k]) << TEMPLATE_BITS) // length


@kernel
def match_templates(templates, both, median, channels, coefficients, scores):
    """Set scores int32 (n,): outputs of the matched filters in 1/16 standard deviations of the channels' noise.

    median int64 (n,): of the absolute spike band of each, in 2^-10 codes. Others as in `learn_templates`.
    """
    for e in range(coefficients.shape[0]):
        template, product = templates[channels[e]], np.int64(0)
        for k in range(coefficients.shape[1]):
            product += np.int64(coefficients[e, k]) * np.int64(template[k])
        if both:
            product = abs(product)
        noise = max(median[e], np.int64(1))
        output = ((product >> TEMPLATE_BITS) * _NORMAL) >> (16 - SCORE_BITS)
        most = np.int64(1) << MOST_SCORE_BITS
        scores[e] = min(max(output // noise, -most), most)


@kernel
def place_best(start, end, slot, resolution, wait, least, troughs, channels, scores, there, found, best, order):
    """The best weak crossing of each slot and channel of a packet, of those that are due; returns their number.

    start, end: frames of the packet. troughs, channels int64 (n,), scores int32 (n,), there uint8 (n,): crossings.
    found int16 (slots, channels), of zeros: set to their places. best int32 (slots, channels), of zeros: overwritten.
    order int32: set to the crossings that were chosen, in the order of their slots and channels.
    """
    for e in range(troughs.shape[0]):
        at = troughs[e] + wait
        if at >= end or scores[e] < least or there[e] == 0:
            continue
        s, c = (at - start) // slot, channels[e]
        if best[s, c] == 0 or scores[e] > scores[best[s, c] - 1]:
            best[s, c] = e + 1
            found[s, c] = 1 + (at - start) % slot // resolution
    count = 0
    for s in range(best.shape[0]):
        for c in range(best.shape[1]):
            if best[s, c] > 0:
                order[count] = best[s, c] - 1
                count += 1
    return count
