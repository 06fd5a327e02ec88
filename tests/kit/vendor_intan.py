"""Small files as Intan's software writes them, in all its ways to store samples; the samples are known."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from kit.vendors import noise

SIGNALS = {"amplifier": 5, "auxiliary": 3, "supply": 1, "analogin": 2, "digitalin": 4, "digitalout": 1}
STIM = {"amplifier": 5, "analogin": 2, "analogout": 1, "digitalin": 4, "digitalout": 2}
TYPES = {"amplifier": 0, "auxiliary": 1, "supply": 2, "analogin": 3, "digitalin": 4, "digitalout": 5}
STIM_TYPES = {"amplifier": 0, "analogin": 3, "analogout": 4, "digitalin": 5, "digitalout": 6}


def _text(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data if data else b"\xff\xff\xff\xff"


def intan_header(
    version: tuple[int, int] = (3, 2),
    stim: bool = False,
    signals: dict[str, int] | None = None,
    temperatures: int = 2,
    dc: bool = True,
) -> bytes:
    """A header with a group of amplifiers, one of the board, and one that is disabled; one amplifier is disabled."""
    signals = signals if signals is not None else STIM if stim else SIGNALS
    head = struct.pack("<Ihhf", 0xD69127AC if stim else 0xC6912702, *version, 20000.0)
    if stim:
        head += struct.pack("<h8fhffhhfff", 1, *(1.0,) * 8, 0, 1000.0, 1000.0, 0, 0, 1e-6, 1e-9, 0.0)
        head += _text("a note") + _text("") + _text("Grüße") + struct.pack("<hh", dc, 0) + _text("n/a")
    else:
        head += struct.pack("<h6fhff", 1, *(1.0,) * 6, 0, 1000.0, 1000.0)
        head += _text("a note") + _text("") + _text("Grüße")
        head += struct.pack("<h", temperatures) if version >= (1, 1) else b""
        head += struct.pack("<h", 0) if version >= (1, 3) else b""
        head += _text("hardware") if version >= (2, 0) else b""
    amplifiers = [("amplifier", c, True) for c in range(signals.get("amplifier", 0))] + [("amplifier", 99, False)]
    board = [(kind, c, True) for kind in signals for c in range(signals[kind]) if kind != "amplifier"]
    head += struct.pack("<h", 3)
    for group, enabled, channels in (("Port A", 1, amplifiers), ("Port B", 0, []), ("Board", 1, board)):
        head += _text(group) + _text(group[0]) + struct.pack("<hhh", enabled, len(channels), 0)
        for kind, c, on in channels:
            head += _text(f"{kind}-{c:03}") + _text(f"my {kind} {c}")
            types = STIM_TYPES if stim else TYPES
            head += struct.pack("<hhhhhh", c, c, types[kind], on, c, 0)
            head += struct.pack("<hhhhhff" if stim else "<hhhhff", *(0,) * (5 if stim else 4), 1e5, -60.0)
    return head


def intan_single(
    path: Path,
    version: tuple[int, int] = (3, 2),
    stim: bool = False,
    signals: dict[str, int] | None = None,
    blocks: int = 4,
    temperatures: int = 2,
    dc: bool = True,
) -> np.ndarray:
    """A `.rhd` or `.rhs` with its samples; returns all signals of the full rate, uint16."""
    signals = signals if signals is not None else STIM if stim else SIGNALS
    length = 128 if stim or version >= (2, 0) else 60
    count = signals.get
    amplifiers = count("amplifier", 0) * ((3 if dc else 2) if stim else 1)
    board = count("analogin", 0) + count("analogout", 0) + bool(count("digitalin")) + bool(count("digitalout"))
    samples = (noise(length * blocks, amplifiers + board, seed=blocks).astype(np.int32) + 32768).astype("<u2")
    data = intan_header(version, stim, signals, temperatures, dc)
    slow = 0 if stim else length // 4 * count("auxiliary", 0) + count("supply", 0)
    slow += temperatures if version >= (1, 1) and not stim else 0
    for block in range(blocks):
        frames = samples[length * block : length * (block + 1)]
        data += np.arange(length * block, length * (block + 1), dtype="<i4").tobytes()
        data += frames[:, :amplifiers].T.tobytes() + np.arange(slow, dtype="<u2").tobytes()
        data += frames[:, amplifiers:].T.tobytes()
    path.write_bytes(data)
    return samples


def intan_signals(folder: Path, frames: int = 300, stim: bool = False) -> list[np.ndarray]:
    """One file per signal; returns their samples in the order of the files' names."""
    (folder / ("info.rhs" if stim else "info.rhd")).write_bytes(intan_header(stim=stim, temperatures=0))
    np.arange(frames, dtype="<i4").tofile(folder / "time.dat")
    files = dict(STIM if stim else SIGNALS)
    files |= {"stim": files["amplifier"], "dcamplifier": files["amplifier"]} if stim else {}
    made = []
    for seed, (kind, channels) in enumerate(sorted(files.items())):
        samples = noise(frames, 1 if kind.startswith("digital") else channels, seed=seed)
        made.append(samples if kind == "amplifier" else samples.view(np.uint16))
        samples.astype("<i2").tofile(folder / f"{kind}.dat")
    return made


def intan_channels(folder: Path, frames: int = 300) -> list[np.ndarray]:
    """One file per channel; returns the samples of each kind, the kinds in the order of the files' names."""
    (folder / "info.rhd").write_bytes(intan_header(temperatures=0))
    np.arange(frames, dtype="<i4").tofile(folder / "time.dat")
    made = []
    for seed, (kind, names) in enumerate(
        {
            "amp": ["A-000", "A-001", "A-010", "B-000", "B-002"],
            "aux": ["A-AUX1", "A-AUX2", "A-AUX3"],
            "board": ["ANALOG-IN-2", "ANALOG-IN-10"],
            "vdd": ["A-VDD1"],
        }.items()
    ):
        samples = noise(frames, len(names), seed=seed)
        for name, column in zip(names, samples.T, strict=True):
            column.astype("<i2").tofile(folder / f"{kind}-{name}.dat")
        made.append(samples if kind == "amp" else samples.view(np.uint16))
    return made
