"""What a sample is expected to be: from its channel's past, and from all of the channels before."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.codec.refined.state import PAST, SPIKE_NEAR, SPIKE_OWN, SPIKE_REACH

F64 = np.float64


@kernel
def foresee(work, positions, x, near, own, reach, first, last):
    """What the inputs that are known before a segment expect of its samples."""
    count = last - first
    linear, expected = work.linear, work.expected[:count]
    expected[:] = 0.0
    place = own
    for k in range(len(near)):
        for q in range(-reach, reach + 1):
            other = positions[near[k], PAST + first + q : PAST + last + q]
            weight = linear.weights[place]
            for t in range(count):
                v = F64(other[t])
                expected[t] += weight * v
                linear.inputs[t, place] = v
            place += 1
    for gap in range(own - 1, -1, -1):
        value = F64(x[PAST + first - 1 - gap])
        for t in range(min(own - gap, count)):
            expected[t] += linear.weights[t + gap] * value


@inlined
def foresee_more(work, own, t, count, value):
    """What a sample adds to the expectations of those that follow in its segment."""
    few = min(own, count - 1 - t)
    later = work.expected[t + 1 : t + 1 + few]
    weights = work.linear.weights[:few]
    for i in range(few):
        later[i] += weights[i] * value


@kernel
def fill_own(work, x, own, first, last):
    """The inputs and targets of a segment that is known."""
    for t in range(last - first):
        inputs = work.linear.inputs[t]
        at = PAST + first + t
        for i in range(own):
            inputs[i] = F64(x[at - 1 - i])
        work.linear.targets[t] = F64(x[at])


@inlined
def correction(work, errors, p, near, at, place):
    """The error of a busy sample as predicted from other channels' errors around it; fills the inputs."""
    spikes = work.spikes
    inputs = spikes.inputs[place]
    total = 0.0
    own = errors[p]
    for i in range(SPIKE_OWN):
        v = F64(own[PAST + at - 1 - i])
        inputs[i] = v
        total += spikes.weights[i] * v
    n = SPIKE_OWN
    for k in range(min(len(near), SPIKE_NEAR)):
        other = errors[near[k]]
        for q in range(-SPIKE_REACH, SPIKE_REACH + 1):
            v = F64(other[PAST + at + q])
            inputs[n] = v
            total += spikes.weights[n] * v
            n += 1
    return total
