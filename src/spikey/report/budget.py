"""Would this run on the implant? Energy, power and memory of every predictor, and of telemetry, from counts.

The counts are those of `tools.count_operations` and `count_telemetry`, of the code itself, in
`operations.json`; what an operation, a byte or a bit costs is in `energy.yaml`, with sources. The modelled
circuit computes one sample of one channel after another and does nothing else: no instructions are fetched, addresses
cost nothing, nothing leaks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log
from typing import Any

import yaml

from spikey.base.shipped import FOLDER

COUNTS = FOLDER / "budget" / "operations.json"
CONSTANTS = FOLDER / "budget" / "energy.yaml"
TELEMETRY = "telemetry"
SMALLEST = 8192  # bytes; no figures are known of smaller memories
WORD = 8  # bytes of an access
# Memory layouts for the state of the channels, the most expensive first.
LAYOUTS = {
    "memory": "in one memory",
    "banks": "in a bank for each channel",
    "registers": "in such banks, each value moved once per sample, otherwise in registers at no cost",
}
Bits = Mapping[str, float | None]


@cache
def constants() -> dict[str, Any]:
    """`energy.yaml`."""
    return dict(yaml.safe_load(CONSTANTS.read_text()))


@cache
def operation_counts() -> dict[str, dict[str, Any]]:
    """Counts per sample by predictor."""
    counts = dict(json.loads(COUNTS.read_text()))
    del counts[TELEMETRY]
    return counts


def telemetry_counts() -> dict[str, Any]:
    """The same of telemetry."""
    return dict(json.loads(COUNTS.read_text())[TELEMETRY])


def stored_bits() -> dict[str, float | None]:
    """Bits per sample by predictor that come with the package; None where nothing was measured."""
    return dict(constants()["measured"]["bits_per_sample"])


def between(known: Mapping[int, float], size: float) -> float:
    """A value for a size from those of other sizes: a power law between neighbours, or beyond the outermost two.

    >>> between({8: 0.5, 32: 8.0}, 16), between({8: 0.5, 32: 8.0}, 64)
    (2.0, 32.0)
    """
    points = sorted(known.items())
    for (small, low), (large, high) in pairwise(points):
        if size <= large or large == points[-1][0]:
            return float(round(low * (size / small) ** (log(high / low) / log(large / small)), 12))
    raise ValueError("a power law needs two points")


def access(node: Mapping[str, Any], size: float) -> float:
    """pJ to read or write a byte of a memory of `size` bytes."""
    return between(node["sram"], max(size, SMALLEST) / 1024) / WORD


def arithmetic(node: Mapping[str, Any], counts: Mapping[str, Any]) -> float:
    """pJ of a sample's operations. A shift counts as an addition, a division as a subtraction for each bit."""
    energy = 0.0
    for kind, widths in counts["operations"].items():
        for width, times in widths.items():
            bits = int(width)
            one = between(node["multiply" if kind == "multiply" else "add"], bits)
            energy += times * one * (bits if kind == "divide" else 1)
    return energy


def traffic(node: Mapping[str, Any], counts: Mapping[str, Any], layout: str, sharing: int = 1) -> float:
    """pJ of a sample's accesses to memory.

    Tables, weights and scratch have separate memories. sharing: channels for which a weight is read once.
    """
    moved, memory = counts["bytes"], counts["memory"]
    ways = ("fetched", "stored") if layout == "registers" else ("reads", "writes")

    def amount(kind: str) -> float:
        return float(sum(moved.get(f"{kind} {way}", 0) for way in ways))

    channels = constants()["device"]["electrodes"] if layout == "memory" else 1
    energy = amount("table") * access(node, memory["table"])
    energy += amount("weight") / sharing * access(node, memory["weight"])
    energy += amount("state") * access(node, memory["state"] * channels)
    scratch = 0.0 if layout == "registers" else amount("scratch")
    return energy + scratch * access(node, memory["scratch"])


@dataclass(frozen=True)
class Power:
    """Of one predictor at one node: pJ a sample of the operations, mW in all by layout.

    shared: mW if besides registers every weight were read once for all channels together.
    """

    arithmetic: float
    milliwatts: dict[str, float]
    shared: float

    def fits(self, left: float) -> str:
        """ "no", or the first layout with which it stays within `left` mW."""
        return next((layout for layout, power in self.milliwatts.items() if power <= left), "no")


@dataclass(frozen=True)
class Row:
    """One predictor: bits per sample (None: not measured), bytes of memory, power by node."""

    predictor: str
    bits: float | None
    counts: dict[str, Any]
    power: dict[str, Power]

    @property
    def ratio(self) -> float | None:
        """Of the device's bits to the compressed ones."""
        return constants()["device"]["bits"] / self.bits if self.bits else None

    @property
    def channel_bytes(self) -> int:
        """State of one channel."""
        return int(self.counts["memory"]["state"])

    @property
    def bytes(self) -> int:
        """State of all channels, tables, weights and scratch."""
        memory = self.counts["memory"]
        return int(sum(memory.values()) + (constants()["device"]["electrodes"] - 1) * memory["state"])

    @property
    def multiplications(self) -> float:
        """A sample."""
        return float(sum(self.counts["operations"]["multiply"].values()))

    @property
    def others(self) -> float:
        """Other operations a sample."""
        return float(sum(sum(widths.values()) for widths in self.counts["operations"].values())) - self.multiplications


def samples_a_second() -> float:
    """Of all channels."""
    device = constants()["device"]
    return float(device["electrodes"] * device["rate"])


def rows(bits: Bits | None = None) -> list[Row]:
    """The budget of every predictor; `bits`: per sample, measured elsewhere than on the stored recordings."""
    known = stored_bits() if bits is None else bits
    return [Row(name, known.get(name), counts, _power(counts)) for name, counts in operation_counts().items()]


def telemetry() -> Row:
    """The budget of telemetry, LOSSY, whose bits are those of the device's radio."""
    counts = telemetry_counts()
    bits = constants()["device"]["radio"] / samples_a_second()
    return Row(TELEMETRY, bits, counts, _power(counts))


def _power(counts: Mapping[str, Any]) -> dict[str, Power]:
    """By node."""
    scale = samples_a_second() * 1e-9  # from pJ a sample to mW
    power = {}
    for name, node in constants()["nodes"].items():
        computing = arithmetic(node, counts)
        milliwatts = {layout: (computing + traffic(node, counts, layout)) * scale for layout in LAYOUTS}
        shared = traffic(node, counts, "registers", sharing=constants()["device"]["electrodes"])
        power[name] = Power(computing, milliwatts, (computing + shared) * scale)
    return power


@dataclass(frozen=True)
class Link:
    """A radio carrying a stream: mW, and whether it is quick enough and cheap enough on its own."""

    name: str
    stream: str
    rate: float  # bit/s
    milliwatts: float
    carries: bool
    affordable: bool


def links(bits: float | None) -> list[Link]:
    """Every link with the stream as it is, with that of `bits` per sample, and with what the device's radio carries."""
    device = constants()["device"]
    streams = {"uncompressed": samples_a_second() * device["bits"]}
    if bits is not None:
        streams["compressed"] = samples_a_second() * bits
    streams["1 Mbit/s"] = device["radio"]
    found = []
    for name, link in constants()["links"].items():
        for stream, rate in streams.items():
            power = rate * link["energy"] * 1e-9
            found.append(Link(name, stream, rate, power, rate <= link["rate"], power <= device["power"]))
    return found


def radio_power(bits: float | None) -> float:
    """mW of the cheapest link that can carry the stream, as it is where `bits` is None."""
    stream = "uncompressed" if bits is None else "compressed"
    return min(link.milliwatts for link in links(bits) if link.carries and link.stream == stream)


def verdict(row: Row, node: str) -> str:
    """ "no", or the first layout with which computing and the cheapest fitting radio stay within the device's power."""
    return row.power[node].fits(constants()["device"]["power"] - radio_power(row.bits))


@dataclass(frozen=True)
class Whole:
    """Telemetry with a radio that carries it: mW at a node, by layout, and the first layout that fits, or "no"."""

    node: str
    link: str
    radio: float
    milliwatts: dict[str, float]
    fits: str


def wholes() -> list[Whole]:
    """Telemetry at every node with every radio that carries the device's bit rate."""
    limit, found = constants()["device"]["power"], []
    for node, power in telemetry().power.items():
        for link in links(None):
            if link.stream == "1 Mbit/s" and link.carries:
                totals = {layout: mw + link.milliwatts for layout, mw in power.milliwatts.items()}
                found.append(Whole(node, link.name, link.milliwatts, totals, power.fits(limit - link.milliwatts)))
    return found


def as_json(table: list[Row]) -> dict[str, Any]:
    """Everything for programs, in pJ, mW, bytes and bits."""
    best = min((row.bits for row in table if row.bits), default=None)
    return {
        "constants": constants(),
        "rows": [
            {
                "predictor": row.predictor,
                "bits_per_sample": row.bits,
                "ratio": row.ratio,
                "state_bytes_per_channel": row.channel_bytes,
                "bytes": row.bytes,
                "counts_per_sample": row.counts,
                "radio_mw": radio_power(row.bits),
                "nodes": {
                    name: {
                        "arithmetic_pj": power.arithmetic,
                        "pj": {layout: mw * 1e9 / samples_a_second() for layout, mw in power.milliwatts.items()},
                        "mw": power.milliwatts,
                        "mw_weights_shared": power.shared,
                        "fits": verdict(row, name),
                    }
                    for name, power in row.power.items()
                },
            }
            for row in table
        ],
        "telemetry": {
            "bits_per_sample": telemetry().bits,
            "state_bytes_per_channel": telemetry().channel_bytes,
            "bytes": telemetry().bytes,
            "counts_per_sample": telemetry().counts,
            "with_radios": [vars(whole) for whole in wholes()],
        },
        "links": [vars(link) for link in links(best)],
        "ratio_needed": samples_a_second() * constants()["device"]["bits"] / constants()["device"]["radio"],
        "lossless_stream_fits_the_radio": best is not None
        and samples_a_second() * best <= constants()["device"]["radio"],
    }
