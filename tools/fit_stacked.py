"""Fit the prior of the regression of predictor `max`: `python -m tools.fit_stacked FOLDER OUT.npz EVERY`.

For each recording the codec itself is run and the sums of products of its regression are kept. How the weights vary
from recording to recording, a mean and a covariance, is then estimated by expectation-maximisation (empirical Bayes:
each recording's own weights are known to within its noise only). Every EVERYth recording, from the first, of the sorted
names, and whatever was recorded at the same instant, is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spikey.codec.adaptive.loop import run
from spikey.codec.survey import initial_scale, levels_of
from spikey.coding.range_coder import range_encoder
from spikey.files.devices import training_files
from spikey.model.calibration import Calibration, n1
from spikey.model.density import density_of
from spikey.model.lpc import SEGMENT
from spikey.model.mixture import mixed
from spikey.model.ridge import NOISE
from spikey.model.stacked import LAGS, OTHERS, Prior, network, prior, stacked_predictor
from spikey.recording.wav import open_wav

ROUNDS = 40
LOUDEST = 80  # header byte of the scale: recordings louder than about 64 codes tell little about others
Sums = tuple[np.ndarray, np.ndarray]  # gram and moment, over NOISE


def sums(path: Path, calibration: Calibration, pairs: np.ndarray) -> Sums | None:
    """A recording's sums of products over all of its samples; None for one unlike the others."""
    with open_wav(path) as source:
        samples = source.read(0, source.frames)[:, 0]
    levels, calibrated = levels_of(samples, calibration)
    if not calibrated:
        return None
    codes = levels.to_codes(samples)[0].astype(np.int32)
    initial = initial_scale(codes)
    inputs = inputs_of() + len(pairs)
    model = stacked_predictor(
        len(codes),
        calibration.alphabet,
        initial,
        prior_correlations=calibration.prior,
        weights=Prior(np.zeros(inputs), np.eye(inputs), pairs),
    )
    model.regression.kept[0] = 1.0
    density = mixed(density_of(calibration.alphabet, calibration))
    run(range_encoder(1, 4 * len(codes)), model, density, model, codes, SEGMENT)
    if initial > LOUDEST:
        return None
    gram = np.tril(model.regression.gram) + np.tril(model.regression.gram, -1).T
    return gram / NOISE, model.regression.moment / NOISE


def fit(recordings: Iterable[Sums], rounds: int = ROUNDS) -> tuple[np.ndarray, np.ndarray]:
    """Mean and precision of the weights, float64 (n,) and (n, n)."""
    known = list(recordings)
    n = len(known[0][1])
    mean, covariance = np.zeros(n), np.eye(n) * 1e-3
    for _ in range(rounds):
        precision = np.linalg.inv(covariance)
        spread = np.zeros((n, n))
        weights = np.empty((len(known), n))
        for index, (gram, moment) in enumerate(known):
            uncertain = np.linalg.inv(gram + precision)
            weights[index] = uncertain @ (moment + precision @ mean)
            spread += uncertain
        mean = weights.mean(axis=0)
        covariance = (spread + (weights - mean).T @ (weights - mean)) / len(known) + np.eye(n) * 1e-9
    precision = np.linalg.inv(covariance)
    return mean, (precision + precision.T) / 2


def inputs_of() -> int:
    """How many inputs the regression has, without products and other channels."""
    return network().architecture.hidden + 2 + 2 * LAGS + OTHERS


def main(folder: str, out: str, every: str) -> None:
    """Fit and write."""
    pairs = prior().pairs
    files = training_files(sorted(Path(folder).rglob("*.wav")), int(every))
    found = [each for each in (sums(file, n1(), pairs) for file in files) if each is not None]
    mean, precision = fit(found)
    lower = precision[np.tril_indices(len(mean))].astype(np.float32)
    np.savez_compressed(out, mean=mean.astype(np.float32), precision=lower, pairs=pairs)
    print(f"{len(found)} recordings, {len(mean)} inputs")


if __name__ == "__main__":
    main(*sys.argv[1:])
