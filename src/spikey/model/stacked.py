"""The strongest predictor: several predictors and a network, joined by a regression that adapts to the signal.

A trained recurrent network (`n1-lstm-small`) refines linear prediction of order 32, as
in `learned`. A ridge regression then predicts the remaining error from the network's units, recent errors and
changes, the predictions of linear predictors of other orders and of a quick one, and the errors of other channels
around the same time. The regression starts from a prior (`tools.fit_stacked`) and adapts to the spikes and noise of
each electrode. The density is a mixture (`mixture`) with adaptive shares.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from spikey.base.jit import entry, generic, inlined
from spikey.base.shipped import tables
from spikey.model.cross import REACH, Crossed, crossed
from spikey.model.density import step_of
from spikey.model.features import relative
from spikey.model.fixed_point import ACTIVATION_BITS, FARTHEST, POSITION_BITS, SPREAD, WEIGHT_BITS, Z_BITS
from spikey.model.learned import Learned, learned_predictor, network_of
from spikey.model.lms import Lms, lms
from spikey.model.lpc import Lpc, Separate, lpc, predict, prepare, refit, update
from spikey.model.ridge import Regression, learn_segment, offer, regression, settle, told
from spikey.model.scale import deviation, scale_at, update_scale
from spikey.model.trained import SHIPPED, Model, load

NETWORK = "n1-lstm-small"  # the trained network that is a part of this predictor
LAGS = 8  # recent errors and changes
SHORT, LONG = 16, 64  # orders of the other linear predictors; longer ones could overflow
ORDER = 32  # of the base
OTHERS = 3  # predictors beside it
BEFORE, AFTER = 16, 8  # samples of other channels' errors before and after the instant
SPAN = BEFORE + 1 + AFTER
PRODUCT_BITS = 7  # dropped from products of two units
ONE = 1 << ACTIVATION_BITS - 2  # the input that stands for a constant
FINE_BITS = ACTIVATION_BITS + 3  # of inputs that are small
SHARE_MAX = 2 << Z_BITS  # of the scale, by which the regression moves the location at most
CROSS_PRECISION = 400.0  # of the weights of other channels' errors: 0.05 is usual


class Stacked(NamedTuple):
    """State of predictor and scale in one: the loop takes it as both. One lane.

    inner: the network and its base. short, long, quick: the other predictors.
    regression: its inputs are in the order of `_fill`.
    errors, changes int64 (LAGS,): the latest first, 1/64 LSB; the errors are those of the inner location.
    location int64 (1,): the inner one. quickly int64 (1,): that of `quick`. pairs: see `Prior`.
    """

    inner: Learned
    short: Lpc
    long: Lpc
    quick: Lms
    regression: Regression
    errors: np.ndarray
    changes: np.ndarray
    location: np.ndarray
    quickly: np.ndarray
    pairs: np.ndarray
    spread: np.ndarray


@cache
def network() -> Model:
    """The trained network that is a part of this predictor."""
    return load(SHIPPED / f"{NETWORK}.safetensors")


class Prior(NamedTuple):
    """What the regression starts from: of its weights mean float64 (n,) and precision float64 (n, n); and pairs int64
    (m, 2) of units whose products are inputs.
    """

    mean: np.ndarray
    precision: np.ndarray
    pairs: np.ndarray


@cache
def prior() -> Prior:
    """The one that comes with the package."""
    arrays = tables("stacked")
    mean = arrays["mean"].astype(np.float64)
    precision = np.zeros((len(mean), len(mean)))
    rows, columns = np.tril_indices(len(mean))  # the matrix is symmetric, and half of it is stored
    precision[rows, columns] = precision[columns, rows] = arrays["precision"]
    return Prior(mean, precision, arrays["pairs"].astype(np.int64))


def stacked_predictor(
    steps: int,
    alphabet: int,
    initial: int,
    *,
    delta: bool = True,
    prior_correlations: np.ndarray | None = None,
    residuals: list[np.ndarray] | None = None,
    weights: Prior | None = None,
) -> Stacked:
    """Start predicting at most `steps` samples over an alphabet of that size.

    initial: the header's byte of the scale. delta, prior_correlations: as `delta` and
    `prior` of `lpc`.
    residuals: int32 (steps,) each, errors of other channels; None where no channel refers to another.
    weights: a prior of the regression other than the shipped one, without other channels.
    """
    options: dict[str, Any] = {"delta": delta, "prior": prior_correlations, "scale": deviation(initial)}
    base = None
    if residuals is not None:
        base = crossed(lpc(ORDER, 1, steps, alphabet, **options), residuals, steps, 1)
    model = network()
    inner = learned_predictor(
        model.architecture,
        network_of(model, 1),
        steps,
        alphabet,
        [initial],
        prior=prior_correlations,
        base=base,
        delta=delta,
    )
    mean, precision, pairs = weights or prior()
    own, count = len(mean), len(mean) + SPAN * len(residuals or ())
    means, precisions = np.zeros(count), np.eye(count) * CROSS_PRECISION
    means[:own], precisions[:own, :own] = mean, precision
    return Stacked(
        inner,
        lpc(SHORT, 1, steps, alphabet, **options),
        lpc(LONG, 1, steps, alphabet, **options),
        lms(1, steps, alphabet, **options),
        regression(means, precisions),
        np.zeros(LAGS, dtype=np.int64),
        np.zeros(LAGS, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        pairs,
        SPREAD,
    )


@generic
def alone(base, location):
    """The location by linear prediction of this channel alone, where the whole base's is `location`."""


@alone.register(Separate)
def _alone_separate(base, location):
    return location


@alone.register(Crossed)
def _alone_crossed(base, location):
    return base.location[0]


@generic
def offer_others(base, regression, at, first, reciprocal):
    """Set the inputs from `first` on: the errors of other channels about sample `at`."""


@offer_others.register(Separate)
def _offer_others_separate(base, regression, at, first, reciprocal):
    pass


@offer_others.register(Crossed)
def _offer_others_crossed(base, regression, at, first, reciprocal):
    others = base.others
    frames = others.shape[1] - 2 * REACH
    for j in range(others.shape[0]):
        for i in range(SPAN):
            frame = at + AFTER - i
            other = np.int64(0)
            if 0 <= frame < frames:
                other = np.int64(others[j, REACH + frame])
            offer(regression, first + j * SPAN + i, relative(other, reciprocal))


@prepare.register(Stacked, inline=False)
def _prepare_stacked(model, at):
    prepare(model.inner, at)


@predict.register(Stacked, inline=False)
def _predict_stacked(model, lane, at):
    location = predict(model.inner, 0, at)
    model.location[0] = location
    short, long = predict(model.short, 0, at), predict(model.long, 0, at)
    quick = predict(model.quick, 0, at)
    model.quickly[0] = quick
    if at == 0:
        return location
    step = step_of(scale_at(model.inner, 0, at))
    _fill(model, at, short, long, quick, entry(model.inner.features.reciprocal, step))
    share = told(model.regression) >> (WEIGHT_BITS - Z_BITS + ACTIVATION_BITS)
    share = min(max(share, -SHARE_MAX), SHARE_MAX)
    location += (share * entry(model.spread, step)) >> (Z_BITS + POSITION_BITS)
    return min(max(location, -FARTHEST), FARTHEST)


@inlined
def _fill(model, at, short, long, quick, reciprocal):
    """Set all inputs: units, the network's share, a constant, errors, changes, other predictors, products of units,
    other channels.
    """
    inner, target = model.inner, model.regression
    units = inner.network.units[0, inner.network.units.shape[1] - 1]
    hidden = inner.network.cells.shape[2]
    for i in range(hidden):
        offer(target, i, np.int64(units[i]))
    offer(target, hidden, inner.outputs[0, 1] >> (Z_BITS - ACTIVATION_BITS))
    offer(target, hidden + 1, ONE)
    for i in range(LAGS):
        offer(target, hidden + 2 + i, relative(model.errors[i], reciprocal))
        offer(target, hidden + 2 + LAGS + i, relative(model.changes[i], reciprocal))
    base = alone(inner.base, inner.base_location[0])
    first = hidden + 2 + 2 * LAGS
    offer(target, first, ((short - base) * reciprocal) >> (32 - FINE_BITS))
    offer(target, first + 1, ((long - base) * reciprocal) >> (32 - FINE_BITS))
    offer(target, first + 2, ((quick - base) * reciprocal) >> (32 - FINE_BITS))
    first += OTHERS
    for i in range(model.pairs.shape[0]):
        offer(target, first + i, entry(units, model.pairs[i, 0]) * entry(units, model.pairs[i, 1]) >> PRODUCT_BITS)
    offer_others(inner.base, target, at, first + model.pairs.shape[0], reciprocal)


@update.register(Stacked, inline=False)
def _update_stacked(model, lane, at, position, location, reciprocal):
    error = position - model.location[0]
    change = position - model.inner.last[0]
    if model.inner.delta[0] == 1 and at == 0:
        change = np.int64(0)
    update(model.inner, 0, at, position, model.location[0], reciprocal)
    update(model.short, 0, at, position, location, reciprocal)
    update(model.long, 0, at, position, location, reciprocal)
    update(model.quick, 0, at, position, model.quickly[0], reciprocal)
    for i in range(LAGS - 1, 0, -1):
        model.errors[i] = model.errors[i - 1]
        model.changes[i] = model.changes[i - 1]
    model.changes[0] = change
    if at > 0:
        model.errors[0] = error
        settle(model.regression, (error * reciprocal) >> (32 - ACTIVATION_BITS))


@refit.register(Stacked, inline=False)
def _refit_stacked(model, first, end, full):
    refit(model.inner, first, end, full)
    refit(model.short, first, end, full)
    refit(model.long, first, end, full)
    learn_segment(model.regression, full)


@scale_at.register(Stacked)
def _scale_at_stacked(model, lane, at):
    return scale_at(model.inner, 0, at)


@update_scale.register(Stacked)
def _update_scale_stacked(model, lane, at, distance, reciprocal):
    pass
