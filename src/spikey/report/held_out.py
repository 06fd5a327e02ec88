"""Which of a device's recordings widths are learnt from, and which are held out to measure what they save."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikey.files.devices import Device
from spikey.recording.simultaneous import groups

HELD = 4  # every so manieth recording is measured, or the last so manieth part of a single one
MOST_LEARNED = 1 << 22  # samples that the widths of the measurement are learned from
MOST_MEASURED = 1 << 22


def split(device: Device) -> tuple[list[np.ndarray], list[tuple[str, list[np.ndarray]]]]:
    """Channels to learn from, and held-out recordings with their channels, that have nothing to do with each other."""
    together = groups(device.paths, device.opened)
    if len(together) == 1:
        channels = [channel for path in together[0] for channel in device.channels_of(path)]
        cuts = [len(channel) - len(channel) // HELD for channel in channels]
        learned = [channel[:cut] for channel, cut in zip(channels, cuts, strict=True)]
        late = [channel[cut:] for channel, cut in zip(channels, cuts, strict=True)]
        share = max(MOST_MEASURED // max(len(late), 1), 1)
        names = [f"channel {index}, its last quarter" for index in range(len(late))]
        held = [(name, [part[:share]]) for name, part in zip(names, late, strict=True) if len(part) > 1]
        return _up_to(learned, MOST_LEARNED), held
    held_groups = together[HELD - 1 :: HELD] or together[-1:]
    measured = [path for group in held_groups for path in group]
    others = [path for group in together if group not in held_groups for path in group]
    found: list[tuple[str, list[np.ndarray]]] = []
    room = MOST_MEASURED
    for path in _spread(measured):
        parts = device.channels_of(path)
        size = sum(map(len, parts))
        if size > 1 and (room >= size or not found):
            found.append((path.name, parts))
            room -= size
        if room <= 0:
            break
    learned = []
    for path in _spread(others):
        learned += device.channels_of(path)
        if sum(map(len, learned)) >= MOST_LEARNED:
            break
    return _up_to(learned, MOST_LEARNED), found


def _spread(paths: list[Path]) -> list[Path]:
    """The same in an order of which any beginning is spread over all of them."""
    order = sorted(range(len(paths)), key=lambda i: int(f"{i:032b}"[::-1], 2))
    return [paths[index] for index in order]


def _up_to(channels: list[np.ndarray], samples: int) -> list[np.ndarray]:
    """The channels, each cut alike where they are more than so many samples altogether."""
    total = sum(map(len, channels))
    return channels if total <= samples else [channel[: len(channel) * samples // total] for channel in channels]
