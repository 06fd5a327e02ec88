"""The scale of a sample's error: a regression, in octaves, on running scales and on other channels' errors."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.codec.refined.arithmetic import log2_of, power_of_2

LEAST, MOST = 1 / 16, float(1 << 20)  # of a scale, codes
STEP = 0.0003  # of the regression
MOST_WEIGHT = 4.0
CLIP = 8.0  # running scales: an error counts as so many at most
MOST_SURPRISE = 4.0
QUIET = 0.1  # what is added to errors before the logarithm
UNIT = 16.0  # of stored errors, for each scale
LEAST_OCTAVES, MOST_OCTAVES = -4.0, 20.0


@kernel
def look_around(work, activity, near, first, last):
    """Features of a segment: how large other channels' errors are at the instant before, the same and the next."""
    count = last - first
    if len(near) == 0:
        work.activity[:, :count] = 0.0
        return
    few = min(len(near), 4)
    one = 1.0 / (UNIT * few)
    for q in range(3):
        row = work.activity[q]
        row[:count] = 0.0
        for k in range(few):
            other = activity[near[k], first + q : last + q]
            for t in range(count):
                row[t] += np.float64(other[t])
        for t in range(count):
            row[t] = log2_of(row[t] * one + QUIET)


@inlined
def scale_of(work, weights, t):
    """The scale of sample t of a segment; fills the features."""
    scales, features = work.scales, work.features
    m = len(scales)
    base = log2_of(scales[m - 1])
    octaves = base + weights[m - 1]
    for i in range(m - 1):
        v = log2_of(scales[i]) - base
        features[i] = v
        octaves += weights[i] * v
    features[m - 1] = 1.0
    for q in range(3):
        v = work.activity[q, t]
        features[m + q] = v
        octaves += weights[m + q] * v
    return power_of_2(min(max(octaves, LEAST_OCTAVES), MOST_OCTAVES))


@inlined
def adapt(weights, features, size, scale):
    """Move the regression's weights by how an error compares with the scale that was expected."""
    step = STEP * (1.0 - min(size / scale, MOST_SURPRISE))
    for i in range(len(weights)):
        weights[i] = min(max(weights[i] - step * features[i], -MOST_WEIGHT), MOST_WEIGHT)


@inlined
def run_scales(work, constants, size, at):
    """Take an error into the running scales."""
    opening = 1.0 / np.float64(at + 8)
    for i in range(len(work.scales)):
        s = work.scales[i]
        rate = max(constants.rates[i], opening)
        work.scales[i] = max(s + (min(size, CLIP * s) - s) * rate, LEAST)
