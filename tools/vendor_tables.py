"""The table of vendors' formats for docs/recordings.md: restored files, and ratios from docs/results.json."""

from __future__ import annotations

from typing import Any, NamedTuple


class Format(NamedTuple):
    """A format: its key in docs/results.json, what is read, what is restored, what is not stored."""

    key: str
    files: str
    back: str
    lost: str


WHOLE = "the folder, byte for byte"
FILES = "the files, byte for byte"
FORMATS = (
    Format("spikeglx", "SpikeGLX `.bin` + `.meta`: all probes, NIDQ, OneBox", WHOLE, "nothing"),
    Format("mtscomp", "mtscomp `.cbin` + `.ch`", "the original `.bin`, byte for byte", "the `.cbin` itself"),
    Format("open-ephys-binary", "Open Ephys binary", WHOLE, "nothing"),
    Format("open-ephys-legacy", "Open Ephys legacy: `.continuous`, `.events`, `.spikes`", WHOLE, "nothing"),
    Format("intan", "Intan `.rhd`, `.rhs` with their header", FILES, "nothing"),
    Format("intan-signals", "Intan, one file per signal", WHOLE, "nothing"),
    Format("intan-channels", "Intan, one file per channel", WHOLE, "nothing"),
    Format("neuralynx", "Neuralynx `.ncs`, with `.nev`, `.nse`, `.ntt`, `.nvt`", WHOLE, "nothing"),
    Format("blackrock", "Blackrock `.ns1` to `.ns9`, pauses and PTP, with `.nev`", FILES, "nothing"),
    Format("edf", "EDF, EDF+, BDF, BDF+", FILES, "nothing"),
    Format("brainvision", "BrainVision `.vhdr`, `.eeg`, `.vmrk`", FILES, "nothing"),
    Format("micromed", "Micromed `.TRC`", FILES, "nothing"),
    Format("axon", "one flat file that Neo reads: Axon `.abf`, NeuroScope, Axona, MCS `.raw`", FILES, "nothing"),
    Format("saved", "folders saved by SpikeInterface", WHOLE, "nothing"),
    Format(
        "samples",
        "all other formats that SpikeInterface reads: NWB, TDT, Plexon, Spike2, 3Brain, MaxWell, AlphaOmega, ...",
        "the samples as `.dat`, names and gains of channels",
        "everything else in the file: **keep the original**",
    ),
)


def vendors(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Formats, what is restored, and the ratio of each real session."""
    lines = ["| files | restored | not stored | ratio on real sessions |", "|---|---|---|---|"]
    rows = runs["vendors"]["rows"]
    for each in FORMATS:
        found = [row for row in rows if row["format"] == each.key]
        if any(row["differing"] for row in found):
            raise ValueError(f"{each.key}: files of a session differ when they are restored")
        ratios = ", ".join(f"{row['bytes'] / row['packed']:.2f}" for row in found)
        lines.append(f"| {each.files} | {each.back} | {each.lost} | {ratios or '-'} |")
    return lines
