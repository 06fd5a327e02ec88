"""Levels that channels have in common, so that few have to be described."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from spikey.codec.wide.tables import Description
from spikey.levels.affine import MODELLED_BITS, Affine, spanning
from spikey.levels.contract import Levels
from spikey.levels.rescaled import Rescaled
from spikey.levels.scaled import Scale, Scaled
from spikey.levels.table import LARGEST, Table

Kind = TypeVar("Kind", bound=Levels)
SHARED = 1.1  # entries of a common table within a channel's values, over those that it has


def share(found: list[Description], codes: np.ndarray) -> None:
    """Let channels have the same levels where that costs no bits of their codes: spanning grids, united tables; or
    similar ones: lines of one fraction.
    """
    even: dict[tuple[Scale | None, int, int], list[int]] = {}
    constant: list[tuple[Scale | None, int]] = []
    tables: dict[Scale | None, list[int]] = {}
    lines: dict[Scale | None, list[int]] = {}
    for channel, (levels, _) in enumerate(found):
        if levels is None:
            continue
        scale: Scale | None = None
        inner: Levels = levels
        if isinstance(levels, Scaled):
            if levels.patches:
                continue
            scale, inner = levels.scale, levels.inner
        if isinstance(inner, Affine) and not inner.low_bits:
            if inner.alphabet > 1:
                even.setdefault((scale, inner.step, inner.offset % inner.step), []).append(channel)
            else:
                constant.append((scale, channel))
        elif isinstance(inner, Table):
            tables.setdefault(scale, []).append(channel)
        elif isinstance(inner, Rescaled):
            lines.setdefault(scale, []).append(channel)
    for gain, channels in lines.items():
        from spikey.levels.rescaled_sharing import unite  # few recordings need it

        maps = [_inner(found[c][0], Rescaled) for c in channels]
        united = unite(maps, [np.flatnonzero(np.bincount(codes[:, c])) for c in channels])
        for c, (line, add) in zip(channels, united, strict=True):
            codes[:, c] += add
            found[c] = (line if gain is None else Scaled(gain, line), 0)
    for gain, channel in constant:
        value = _inner(found[channel][0], Affine).offset
        fitting = (key for key in even if key[0] == gain and value % key[1] == key[2])
        key = next(fitting, (gain, 1, 0))
        even.setdefault(key, []).append(channel)
        joined = Affine(1, value, key[1])
        found[channel] = (joined if gain is None else Scaled(gain, joined), 0)
    for (gain, _, _), channels in even.items():
        grids_of = [_inner(found[c][0], Affine) for c in channels]
        span = spanning(grids_of)
        if span.alphabet > 1 << MODELLED_BITS:
            continue
        for c, grid in zip(channels, grids_of, strict=True):
            codes[:, c] = (codes[:, c].astype(np.int64) * grid.step + (grid.offset - span.offset)) // span.step
            found[c] = (span if gain is None else Scaled(gain, span), 0)
    for gain, channels in tables.items():
        listed = [np.array(_inner(found[c][0], Table).values, np.int64) for c in channels]
        union = np.unique(np.concatenate(listed))
        if len(channels) < 2 or len(union) > LARGEST:
            continue
        # Values of one coarse grid stay apart when united.
        together = np.diff(union).min() * 2 > min(np.diff(own).min() for own in listed)
        common = Table(tuple(int(value) for value in union))
        for c, own in zip(channels, listed, strict=True):
            inside = np.searchsorted(union, own[-1], "right") - np.searchsorted(union, own[0])
            if together or inside <= SHARED * len(own) + 2:
                codes[:, c] = np.searchsorted(union, own).astype(np.int32)[codes[:, c]]
                found[c] = (common if gain is None else Scaled(gain, common), 0)


def _inner(levels: Levels | None, kind: type[Kind]) -> Kind:
    inner = levels.inner if isinstance(levels, Scaled) else levels
    assert isinstance(inner, kind)
    return inner
