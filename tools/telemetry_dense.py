"""What telemetry of a dense probe preserves without and with neighbours: the table of docs/telemetry.md.

    python -m tools.stores --generate generated.dat              # 384 channels of 30 kHz in two columns
    python -m tools.telemetry_dense generated.dat --seconds 20

Each channel gets as many bits as one of 1,024 channels has in 1 Mbit/s.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from spikey.report.telemetry.fidelity import BITS, Original, measure
from spikey.report.telemetry.table import facts_of
from spikey.telemetry.settings import Settings

CHANNELS, RATE = 384, 30_000.0
USUAL = 1e6 / 1024  # bit/s of a channel
CASES = {
    "`--neighbours 0`": Settings(),
    "8": Settings(neighbours=8),
    "8, `--column 192`": Settings(neighbours=8, column=CHANNELS // 2),
}
ROWS = (
    ("crossings kept", "{kept:.1%}"),
    ("crossings with a waveform", "{waved:.1%}"),
    ("&nbsp;&nbsp;of these, scaled", "{scaled:.0%}"),
    ("waveform error, of all energy", "{wave_error:.1%}"),
    ("&nbsp;&nbsp;of each waveform's energy, median", "{wave_error_median:.1%}"),
    ("spike-band power, correlation; values sent", "{power_mean:.3f}; {power_told:.1%}"),
    ("LFP below 100 Hz, dB", "{low_100_mean:.1f}"),
    ("encoding, decoding, s of a core for a second", "{encode_s:.2f}, {decode_s:.2f}"),
)


def facts(original: Original, settings: Settings, bits: float) -> dict[str, Any]:
    """Everything measured with some settings, and which of the crossings have a waveform, or a scaled one."""
    ratio = BITS * original.rate / bits
    (tally,), shown = measure([original], [ratio], settings)
    telemetry = shown.telemetry[ratio]
    crossings = ~telemetry.event_weak
    waved = crossings & (telemetry.waveform_of >= 0)
    scaled = float((waved & telemetry.event_scaled).sum() / max(waved.sum(), 1))
    found = facts_of(tally)
    found["low_100_mean"] = round(found["low_100_mean"], 1) + 0.0  # not -0.0
    return found | {"waved": float(waved.sum() / crossings.sum()), "scaled": scaled}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="interleaved int16, 384 channels of 30 kHz")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--bits", type=float, default=USUAL, help="bit/s of a channel")
    arguments = parser.parse_args()
    samples = np.fromfile(arguments.path, "<i2", CHANNELS * round(arguments.seconds * RATE)).reshape(-1, CHANNELS)
    original = Original(arguments.path.name, samples, RATE)
    found = [facts(original, settings, arguments.bits) for settings in CASES.values()]
    print(f"| | {' | '.join(CASES)} |\n|---|{'---:|' * len(CASES)}")
    for title, written in ROWS:
        print(f"| {title} | {' | '.join(written.format(**each) for each in found)} |")


if __name__ == "__main__":
    main()
