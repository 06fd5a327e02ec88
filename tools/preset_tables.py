"""Tables of the presets for README and docs/results.md, from the registry and from docs/results.json."""

from __future__ import annotations

import math
from typing import Any

from spikey.codec.registry import PRESETS, ranked

# Recordings that constants of the refined engine were chosen on.
CHOSEN_ON = (
    "generated",
    "oe-example16-cortex",
    "rat-tetrode64-b",
    "np2013-with-sync",
    "np1-oe-lfp",
    "np1-noise4sam-lf",
)

# Recordings by device, real ones of unfiltered samples, and what they are.
DEVICES = {
    "N1, every fifth file": "Neuralink N1, motor cortex",
    "np1-acsf-imec0": "Neuropixels 1.0, AP band, saline",
    "np1-oe-lfp": "Neuropixels 1.0, LFP band",
    "np2013-with-sync": "Neuropixels 2.0",
    "oe-intan32-cinpla": "Intan, 32 channels",
    "rat-intan128-r4": "Intan, 128 channels",
    "rat-tetrode64-b": "Intan, tetrodes",
    "biocam100-fw17": "3Brain CMOS array, 100 channels",
}


def presets(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """The presets of the registry, fastest first."""
    lines = ["| preset | for | hours per TB, 384 channels, one channel | how |", "|---|---|---:|---|"]
    for name in ranked():
        preset = PRESETS[name]
        many, one = preset.hours
        lines.append(f"| `{name}` | {preset.use} | {many:g}, {one:g} | {preset.about} |")
    return lines


def sizes(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Bytes of each recording's file by preset, those beside the preset `archive` of before, and the mean of these."""
    before, rows = runs["sizes"]["recordings"], runs["preset_sizes"]["recordings"]
    names = ranked()
    lines = [
        f"| recording | {' | '.join(f'`{name}`, bytes' for name in names)} | before | `{names[-1]}` relative to it |",
        "|---|" + "---:|" * (len(names) + 2),
    ]
    means: dict[str, list[float]] = {"geometric mean": [], "of those that nothing was chosen on": []}
    for recording, row in rows.items():
        found, old = [row[name]["bytes"] for name in names], before.get(recording, [0, 0, 0, 0])[3]
        change = f"{100 * (found[-1] / old - 1):+.1f} %" if old else ""
        if old:
            for kept in means.values() if recording not in CHOSEN_ON else [means["geometric mean"]]:
                kept.append(math.log(found[-1] / old))
        cells = [f"{size:,}" for size in [*found, old] if size] + ([] if old else [""])
        lines.append(f"| {recording} | {' | '.join(cells)} | {change} |")
    for name, logarithms in means.items():
        mean = 100 * (math.exp(sum(logarithms) / len(logarithms)) - 1)
        lines.append(f"| {name} | {' | ' * len(names)} | {mean:+.1f} % |")
    return lines


def speeds(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """How fast each preset is on one core, and hours for a terabyte of 16-bit samples."""
    lines = [
        "| recording | preset | encode, million samples/s | decode | encode, hours per TB | decode |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for recording in ("generated", "N1, every fifth file"):
        for name, row in runs["preset_sizes"]["recordings"][recording].items():
            both = [row["samples"] / row[way] for way in ("encode", "decode")]
            cells = [f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in (speed / 1e6 for speed in both)]
            cells += [f"{5e11 / speed / 3600:.{0 if speed < 1e7 else 1}f}" for speed in both]
            lines.append(f"| {recording} | `{name}` | {' | '.join(cells)} |")
    return lines


def savings(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """What a terabyte of each device's samples becomes, in GB, and what a slower preset saves beside the fastest."""
    first, *others = ranked()
    heads = [f"`{first}`", *(f"`{name}` (saves)" for name in others)]
    lines = [f"| device | recording | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(heads)]
    for recording, device in DEVICES.items():
        row = runs["preset_sizes"]["recordings"][recording]
        samples = row[first]["samples"]
        sizes = {name: round(1000 * row[name]["bytes"] / (2 * samples)) for name in ranked()}
        cells = [str(sizes[first]), *(f"{sizes[name]} ({sizes[first] - sizes[name]})" for name in others)]
        lines.append(f"| {device} | {recording} | {' | '.join(cells)} |")
    return lines


def decoding(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Hours in which one core decodes a terabyte of each device's samples."""
    lines = [f"| device | {' | '.join(f'`{name}`' for name in ranked())} |", "|---|" + "---:|" * len(ranked())]
    for recording, device in DEVICES.items():
        row = runs["preset_sizes"]["recordings"][recording]
        hours = [5e11 / 3600 * row[name]["decode"] / row[name]["samples"] for name in ranked()]
        lines.append(f"| {device} | {' | '.join(f'{each:.0f}' for each in hours)} |")
    return lines
