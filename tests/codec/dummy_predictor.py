"""A predictor in one file, as a contributor would add it: the last sample is the next one's prediction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.codec.adaptive import channels
from spikey.codec.method import Method
from spikey.codec.registry import Predictor, Start, Started
from spikey.model.density import density_of
from spikey.model.lpc import predict, prepare, refit, update
from spikey.model.scale import scale


class Last(NamedTuple):
    """before int64 (lanes,): each lane's last position."""

    before: np.ndarray


@prepare.register(Last)
def _prepare_last(predictor, at):
    pass


@predict.register(Last)
def _predict_last(predictor, lane, at):
    return predictor.before[lane]


@update.register(Last)
def _update_last(predictor, lane, at, position, location, reciprocal):
    predictor.before[lane] = position


@refit.register(Last)
def _refit_last(predictor, first, end, full):
    pass


def start(channel: Start) -> Started:
    """The states of one channel."""
    lanes = channel.method.lanes
    before = np.full(lanes, channel.alphabet * 32, dtype=np.int64)
    running = scale(lanes, channel.alphabet, channel.initial)
    return Started(Last(before), density_of(channel.alphabet, channel.calibration), running)


RECORD = Predictor(
    name="last",
    number=10,
    about="the last sample",
    method=Method("last", lanes=1),
    configured={"last": None},
    engine=lambda: channels,
    start=start,
    lanes=1,
    companions=False,
    trained=False,
    work=None,
    few=False,
    compared=lambda method: (),
)
