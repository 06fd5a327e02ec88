"""In which order a block's channels are coded, and which of those before each is predicted from."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import kernel
from spikey.codec.wide.order import TOGETHER, arrange, correlations


def order_of(codes: np.ndarray, moving: np.ndarray, most: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The channels int64 of codes (frames, channels) in coding order, and of each the channels that it refers to: those
    before it that are most like it, `most` of them at most.

    moving: of each channel, whether it is not constant.
    """
    orders, near = [], []
    for first in range(0, codes.shape[1], TOGETHER):
        some = codes[:, first : first + TOGETHER]
        count = some.shape[1]
        like = np.abs(correlations(some)) if count > 1 and len(codes) > 1 else np.zeros((count, count), np.float32)
        np.fill_diagonal(like, 0)
        order, nearest = np.arange(count), np.empty((count, 4), np.int64)
        if count > 1:
            arrange(like, count, order, nearest)
        for place, channel in enumerate(order.tolist()):
            before = order[:place][moving[first + order[:place]]]
            best = before[np.argsort(-like[channel, before], kind="stable")[:most]] if moving[first + channel] else []
            near.append(first + np.asarray(best, np.int64))
        orders.append(first + order)
    return np.concatenate(orders), near


@kernel
def nearest_places(channel, place_of, before, found):
    """Fill found with the places of channels that are coded before place `before`, nearest in number first, the lower
    one of two; how many there are. place_of: -1 of channels that are constant.
    """
    count = len(place_of)
    many = 0
    for distance in range(1, count):
        if channel - distance < 0 and channel + distance >= count:
            break
        for side in range(2):
            other = channel - distance if side == 0 else channel + distance
            if 0 <= other < count and 0 <= place_of[other] < before:
                found[many] = place_of[other]
                many += 1
    return many
