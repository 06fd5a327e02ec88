"""Compiled loops over the frames of a channel: predictions from sampled frames, and least squares on them."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import called, inlined, kernel

I64 = np.int64
ROUNDED, BETTER = 0.14, 0.35  # mean square of what rounding leaves; of errors of one phase, over those of the others
FLOOR, AWAY, EVEN = 0, 1, 2  # how a sum is rounded: down, its magnitude down, to the nearest and ties to even


@inlined
def rounded(total, bits, bias, rule):
    """A sum of products with taps, in units of 2^-bits, as an integer."""
    if rule == FLOOR:
        return (total + bias) >> bits
    if rule == AWAY:
        return (total + bias) >> bits if total >= 0 else -((bias - total) >> bits)
    low = total >> bits
    part = total - (low << bits)
    half = (I64(1) << bits) >> 1
    if bits > 0 and (part > half or (part == half and low & 1)):
        low += 1
    return low


@kernel
def predict(sampled, places, which, taps, bits, bias, rule, low, high, out):
    """Fill in what is predicted of the frames of a channel that were not sampled.

    sampled: int64, the sampled ones, with as many repeated at both ends as a filter has taps on a side. places: for
    each other frame where its first tap lies in `sampled`. which: its filter, a row of taps.
    """
    for i in range(len(out)):
        at = places[i]
        row = taps[which[i]]
        total = I64(0)
        for k in range(len(row)):
            total += row[k] * sampled[at + k]
        out[i] = min(max(rounded(total, bits, bias, rule), low), high)


@kernel
def sums(sampled, places, which, taps, out):
    """Fill in the sums of products alone, from which predictions of all rules follow."""
    for i in range(len(out)):
        at = places[i]
        row = taps[which[i]]
        total = I64(0)
        for k in range(len(row)):
            total += row[k] * sampled[at + k]
        out[i] = total


@kernel
def exact(totals, targets, bits, bias, rule):
    """Of how many targets the prediction is right."""
    count = 0
    for i in range(len(totals)):
        count += rounded(totals[i], bits, bias, rule) == targets[i]
    return count


@kernel
def accumulate(sampled, places, which, targets, farthest, taps, squares, products, energy, rows):
    """Add a channel's frames to the normal equations of each filter.

    sampled float64, as in `predict`. taps (filters, 2 K + 1): the last one is the constant; frames whose error under
    these is beyond `farthest` are left out. squares (filters, 2 K + 1, 2 K + 1), products, energy, rows: what is added
    to.
    """
    size = taps.shape[1]
    row = np.ones(size, np.float64)
    for i in range(len(places)):
        at = places[i]
        for k in range(size - 1):
            row[k] = sampled[at + k]
        d = which[i]
        y = targets[i]
        error = y
        for k in range(size):
            error -= taps[d, k] * row[k]
        if abs(error) <= farthest:
            for k in range(size):
                factor = row[k]
                into = squares[d, k]
                for j in range(k, size):
                    into[j] += factor * row[j]
                products[d, k] += factor * y
            energy[d] += y * y
            rows[d] += 1
    for d in range(len(squares)):
        for k in range(size):
            for j in range(k):
                squares[d, k, j] = squares[d, j, k]


@called
def solve(squares, products, size, out):
    """Solve normal equations by Cholesky's decomposition, a little regularised; False where they are singular."""
    lower = np.zeros((size, size), np.float64)
    for i in range(size):
        for j in range(i + 1):
            total = squares[i, j]
            if i == j:
                total += 1e-10 * squares[i, i] + 1e-9
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i > j:
                lower[i, j] = total / lower[j, j]
            elif total <= 0:
                return False
            else:
                lower[i, i] = np.sqrt(total)
    for i in range(size):
        total = products[i]
        for k in range(i):
            total -= lower[i, k] * out[k]
        out[i] = total / lower[i, i]
    for i in range(size - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, size):
            total -= lower[k, i] * out[k]
        out[i] = total / lower[i, i]
    return True


@kernel
def solved(squares, products, out):
    """`solve` of whole arrays."""
    return solve(squares, products, len(out), out)


@kernel
def phase_errors(x, factor, side, out):
    """Fill in, for each phase, the mean square of what least squares leave of the frames after those of the phase,
    from `side` of its frames on both sides.

    Sums of products of frames that lie equally far apart differ only at the ends, so that one row of them is summed.
    """
    taps = 2 * side
    size = taps + 1
    z = np.empty(len(x) // factor + 1, np.float64)
    squares = np.empty((size, size), np.float64)
    products = np.empty(size, np.float64)
    found = np.empty(size, np.float64)
    for phase in range(factor):
        out[phase] = np.inf
        count = (len(x) - phase + factor - 1) // factor
        rows = count - taps + 1
        if rows <= size:
            continue
        for t in range(count):
            z[t] = x[phase + t * factor]
        squares[:] = 0
        products[:] = 0
        energy = 0.0
        first = squares[0]
        for t in range(rows):
            a = z[t]
            y = x[phase + (t + side - 1) * factor + 1]
            for k in range(taps):
                first[k] += a * z[t + k]
                products[k] += y * z[t + k]
            products[taps] += y
            first[taps] += a
            energy += y * y
        squares[taps, taps] = rows
        for i in range(taps - 1):
            squares[i + 1, taps] = squares[i, taps] + z[rows + i] - z[i]
            for j in range(i, taps - 1):
                squares[i + 1, j + 1] = squares[i, j] + z[rows + i] * z[rows + j] - z[i] * z[j]
        for i in range(size):
            for j in range(i):
                squares[i, j] = squares[j, i]
        if solve(squares, products, size, found):
            total = energy
            for i in range(size):
                part = -2 * products[i]
                for j in range(size):
                    part += squares[i, j] * found[j]
                total += part * found[i]
            out[phase] = max(total, 0.0) / (rows - size)


@kernel
def glance(x, side, least, rank, errors):
    """The factors, as bits, by which one of the channels x (channels, frames) float64 seems interpolated; -1 where none
    moves.

    One channel is looked at, if possible of those that seem not to be clipped.
    """
    count, frames = x.shape
    activity = np.empty(count, np.float64)
    scratch = np.empty(4, np.float64)
    clipped = 0
    moves = 0
    for c in range(count):
        total = 0.0
        mean = 0.0
        for t in range(1, frames):
            total += abs(x[c, t] - x[c, t - 1])
        for t in range(frames):
            mean += x[c, t]
        mean = np.floor(mean / frames)
        for t in range(frames):
            x[c, t] -= mean
        activity[c] = total / frames
        if activity[c] >= least:
            clipped += rails(x[c])
            moves += 1
    for c in range(count):
        if moves > clipped and rails(x[c]):
            activity[c] = 0
    order = np.argsort(activity)
    moving = 0
    while moving < count and not activity[order[moving]] >= least:
        moving += 1
    found = -1
    if moving < count:
        found = 0
        c = order[moving + int(rank * (count - moving))]
        for factor in range(2, 5):
            steady_errors(x[c], factor, side, scratch, errors)
            if seems(errors[:factor], step_of(x[c])):
                found |= 1 << factor
    return found


@called
def rails(x):
    """Whether the largest or the smallest of x occurs twice in a row, as when it is clipped."""
    low, high = x.min(), x.max()
    found = False
    for t in range(1, len(x)):
        found |= x[t] == x[t - 1] and (x[t] == low or x[t] == high)
    return found


@called
def within_rails(x):
    """Where the longest stretch between clipped samples begins and ends: all of what is not clipped."""
    if not rails(x):
        return 0, len(x)
    low, high = x.min(), x.max()
    first, best, end = 0, 0, 0
    for t in range(len(x) + 1):
        if t == len(x) or x[t] == low or x[t] == high:
            if t - first > end - best:
                best, end = first, t
            first = t + 1
    return best, end


@kernel
def steady_errors(x, factor, side, found, out):
    """`phase_errors` of the longest stretch between clipped samples, by the phases of all of x; `found` is scratch."""
    first, end = within_rails(x)
    phase_errors(x[first:end], factor, side, found[:factor])
    for phase in range(factor):
        out[(first + phase) % factor] = found[phase]


@called
def step_of(x):
    """The greatest common divisor of differences of x, which is 1 of what is not whole."""
    step = I64(0)
    for t in range(1, len(x)):
        a = I64(abs(x[t] - x[t - 1]))
        while a:
            step, a = a, step % a
        if step == 1:
            break
    return max(step, 1)


@called
def seems(errors, step):
    """Whether one phase predicts the next frames much better than others do, or but for the rounding."""
    best = 0
    for phase in range(1, len(errors)):
        if errors[phase] < errors[best]:
            best = phase
    second = np.inf
    for phase in range(len(errors)):
        if phase != best:
            second = min(second, errors[phase])
    return errors[best] < ROUNDED * step * step or errors[best] < BETTER * second


@kernel
def errors(sampled, places, which, targets, taps, out):
    """Fill in what filters (filters, 2 K + 1) leave of targets float64, the last tap being a constant."""
    size = taps.shape[1]
    for i in range(len(places)):
        at = places[i]
        d = which[i]
        error = targets[i] - taps[d, size - 1]
        for k in range(size - 1):
            error -= taps[d, k] * sampled[at + k]
        out[i] = error


@kernel
def follow(scores, penalty, path):
    """Fill in the phase of each frame, of the best path: scores (frames, phases), less `penalty` for each change."""
    frames, count = scores.shape
    best = np.zeros(count, np.int64)
    origin = np.empty((frames, count), np.int8)
    for t in range(frames):
        top = 0
        for phase in range(1, count):
            if best[phase] > best[top]:
                top = phase
        reach = best[top] - penalty
        for phase in range(count):
            if reach > best[phase]:
                best[phase] = reach
                origin[t, phase] = top
            else:
                origin[t, phase] = phase
            best[phase] += scores[t, phase]
    phase = 0
    for other in range(1, count):
        if best[other] > best[phase]:
            phase = other
    for t in range(frames - 1, -1, -1):
        path[t] = phase
        phase = origin[t, phase]
