"""One thread's encoder: the groups of channels that it models, and the packets that it makes of them."""

from __future__ import annotations

import numpy as np

from spikey.stream.channels import ChannelStates, run_frames, scratch
from spikey.stream.packetizer import begin_packets, intervals, pack_frames, packetizer


class Worker:
    """The encoder of the groups [first, end), which are the lanes of its coders.

    channels int64 (lanes,): how many each has. frames: of a packet, at most. limit: bytes of a packet's body, at most.
    """

    def __init__(self, first: int, end: int, channels: np.ndarray, frames: int, limit: int):
        self.first, self.end = first, end
        self.scratch = scratch()
        self._groups = np.arange(first, end)
        self._limits = np.full((end - first, 2), limit, dtype=np.int64)
        self._intervals = intervals(channels, frames)
        self._packetizer = packetizer(channels, frames, limit)

    def model(self, states: ChannelStates, codes: np.ndarray, wanted: list[bool]) -> None:
        """Model frames of codes int32 (frames, channels) of the groups that are wanted."""
        lengths = np.array(wanted, dtype=np.int64) * len(codes)
        run_frames(self._intervals, states, self._groups, lengths, codes, self.scratch)

    def pack(self, heads: dict[int, int]) -> None:
        """Make packets of all modelled frames of some groups; heads: with how many bytes their first packets begin."""
        lanes = np.array([group - self.first for group in heads], dtype=np.uint64)
        self._limits[lanes, 0] = self._limits[lanes, 1] - np.array(list(heads.values()), dtype=np.int64)
        encoder, packets, progress = self._packetizer
        pack_frames(self._intervals, lanes, encoder, self._limits, packets, progress)

    def packed(self) -> dict[int, list[tuple[int, bytes]]]:
        """What the last `pack` made: of each group frames and bodies of its packets; nothing where one did not fit."""
        packets = self._packetizer.packets
        found: dict[int, list[tuple[int, bytes]]] = {}
        for lane, frames, begin, end in packets.rows[: packets.used[0]].tolist():
            if not packets.failed[lane]:
                found.setdefault(self.first + lane, []).append((frames, packets.data[begin:end].tobytes()))
        return found

    def begin_packets(self, groups: list[int]) -> None:
        """Begin the next packets of some groups."""
        begin_packets(self._intervals, np.array(groups, dtype=np.int64) - self.first)
