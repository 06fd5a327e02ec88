"""The figures that `tools.explain` prints beside its pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tools.explain.recording import NOISE, SETTLED, Explained, colour, entropy, gaussian_bits, usual_deviation

NOISES = (4.0, 5.5, 7.5)  # codes
OFTEN = 200  # samples of a code that tell its width
WANTED = 200  # to 1, what the challenge asked for
FILE_BITS = 16  # of a sample in the files of the challenge


class Step(NamedTuple):
    """What a stage leaves: bits per sample."""

    name: str
    bits: float


def steps_of(this: Explained) -> list[Step]:
    """From the file to the noise, each stage's bits per sample."""
    codes, frames = this.known.codes, len(this.known.codes)
    bits = (this.levels.alphabet - 1).bit_length()
    steps = [
        Step("samples in the file", 8.0 * this.samples.itemsize),
        Step(f"codes of {bits} bits", float(bits)),
        Step("codes, each by itself", entropy(np.bincount(codes))),
        Step("their differences", entropy(np.unique(np.diff(codes), return_counts=True)[1])),
        Step("predicted, even widths", float(this.even.bits.mean())),
        Step("predicted, known widths", float(this.known.bits.mean())),
        *(Step(f"written by {preset}", 8 * size / frames) for preset, size in this.payloads.items()),
    ]
    if this.true_widths is not None:
        # A Gaussian's bins of unequal width: its entropy less the mean logarithm of the widths that it meets.
        steps.append(Step("the noise alone", gaussian_bits(NOISE) - float(np.log2(this.true_widths[codes]).mean())))
    return steps


def lines(this: Explained) -> list[str]:
    """What there is to say of a recording, a line each."""
    model, seconds = this.known, len(this.samples) / this.rate
    settled = slice(min(SETTLED, len(model.codes) // 2), None)
    left = model.residuals[settled]
    counts = np.bincount(model.codes, minlength=this.levels.alphabet)
    enough = min(OFTEN, int(counts.max()))
    often = counts >= enough
    widths = np.diff(this.known.edges)[often]
    said = [
        f"recording     {this.name}: {len(this.samples):,} samples at {this.rate:,.0f} Hz, {seconds:.2f} s; "
        f"{np.count_nonzero(counts)} of {this.levels.alphabet:,} codes occur",
        f"converter     widths {this.source}: {np.min(widths):.2f} to {np.max(widths):.2f} LSB "
        f"in the {len(widths)} codes that occur {enough} times or more",
    ]
    if this.true_widths is not None:
        alike = np.corrcoef(widths, this.true_widths[often])[0, 1]
        said.append(f"              correlation with the true widths {alike:.3f}")
    said += [
        f"prediction    deviation of the signal {model.positions[settled].std():.1f} codes, of its differences "
        f"{np.diff(model.positions[settled]).std():.1f}, of the residual {left.std():.1f}, mostly "
        f"{usual_deviation(left):.1f}",
        f"              a linear predictor could save {colour(model.positions[settled]):.2f} bits per sample of the "
        f"signal, {colour(left):.3f} of the residual",
        "bits per sample",
        *(f"              {step.bits:6.2f}  {step.name}" for step in steps_of(this)),
        f"learning      bits per sample in the first 100 samples {this.start[1:100].mean():.2f}, with the device's "
        f"usual signal known {this.start_prior[1:100].mean():.2f}; after a second {model.bits[settled].mean():.2f}",
        "Gaussian noise of "
        + ", ".join(f"{one:g} codes: {gaussian_bits(one):.2f} bits" for one in NOISES)
        + f"; {WANTED} to 1 leaves {FILE_BITS / WANTED:.2f} bits of a sample of {FILE_BITS}",
    ]
    return said
