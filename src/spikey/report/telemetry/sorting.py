"""Whether telemetry's waveforms sort as the original's do: clusters of waveforms, and a spike sorter on known units.

Clusters: three principal components of a channel's waveforms, and a mixture of one to four Gaussians chosen by the
Bayesian information criterion (as in Lewicki, 1998). How much two clusterings agree is the adjusted Rand index (Hubert
and Arabie, 1985). A clusterer does not quite agree with itself either: that is measured too.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import UsageError, install
from spikey.levels.n1 import N1_VALUES
from spikey.report.telemetry.fidelity import Tally, Waves, budget_of
from spikey.report.telemetry.reference import cut, refer
from spikey.report.telemetry.table import SORTERS
from spikey.telemetry.decoded import Telemetry
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.record import collect
from spikey.telemetry.settings import Settings

FEWEST = 30  # events of a channel that are clustered
COMPONENTS = 3
MOST_CLUSTERS = 4
MOST_CHANNELS = 100  # of all that have enough events, evenly spread, at each ratio
NOISE = 0.02  # of the waveforms' energy, about what telemetry's error is at 200x
USUAL_SORTERS = SORTERS[:2]  # that come with SpikeInterface
SEEDS = (1, 2, 3)  # of the recordings
UNITS, SORTED_CHANNELS, SORTED_SECONDS, SORTED_RATE = 40, 32, 30.0, 20_000.0
NOISE_CODES = 6.0
SORTINGS = 2  # of each recording by each sorter, whose mean counts
CLEAR = 6.0  # standard deviations of noise that a clear unit's mean trough is deep, so that all its spikes cross 4.5


def check_sorting(sorters: Sequence[str] = USUAL_SORTERS) -> None:
    """UsageError where something is missing that clusters and sorters need."""
    missing = [name for name in ("sklearn", "hdbscan", "spikeinterface") if importlib.util.find_spec(name) is None]
    if "mountainsort5" in sorters and importlib.util.find_spec("mountainsort5") is None:
        raise UsageError("mountainsort5 is missing: pip install mountainsort5, or another --sorter")
    if missing:
        raise UsageError(
            f"sorting needs {', '.join(missing)}, which is missing: {install('sort')}, or --no-sort",
            code="missing-package",
        )


def cluster(waveforms: np.ndarray, seed: int = 0, only: int | None = None) -> np.ndarray:
    """A number of its cluster, int64 (n,), for each waveform (n, samples). only: so many clusters, not the best."""
    from sklearn.mixture import GaussianMixture

    points = components(waveforms)
    scale = float(points[:, 0].std())
    points = points / (scale or 1.0)
    best, labels = math.inf, np.zeros(len(points), dtype=np.int64)
    for count in range(1, MOST_CLUSTERS + 1) if only is None else (only,):
        if 10 * count > len(points):
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mixture = GaussianMixture(count, n_init=3, random_state=seed, reg_covar=1e-3).fit(points)
        criterion = float(mixture.bic(points))
        if criterion < best:
            best, labels = criterion, mixture.predict(points)
    return labels


def components(waveforms: np.ndarray, basis: np.ndarray | None = None) -> np.ndarray:
    """Principal components float64 (n, 3) of waveforms (n, samples), by those of `basis` where that is given."""
    base = waveforms if basis is None else basis
    mean = base.mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(base - mean, full_matrices=False)
    result: np.ndarray = (waveforms - mean) @ axes[:COMPONENTS].T
    return result


def rand_index(ones: np.ndarray, others: np.ndarray) -> float:
    """The adjusted Rand index of two clusterings (n,): 1 where they are the same, about 0 by chance.

    >>> rand_index(np.array([0, 0, 1, 1]), np.array([7, 7, 5, 5])), rand_index(np.array([0, 0, 1, 1]), np.arange(4))
    (1.0, 0.0)
    """
    _, one = np.unique(ones, return_inverse=True)
    _, other = np.unique(others, return_inverse=True)
    table = np.zeros((one.max() + 1, other.max() + 1), dtype=np.int64)
    np.add.at(table, (one, other), 1)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) // 2).sum())

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(pairs(np.array([len(one)])), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def compare_clusters(tally: Tally, waves: Waves, channels: int) -> None:
    """Add how well clusters of decoded waveforms agree with those of the original's at the same troughs."""
    from threadpoolctl import threadpool_limits

    counts = np.bincount(waves.channels, minlength=channels)
    enough = np.flatnonzero(counts >= FEWEST)
    if len(enough) > MOST_CHANNELS:
        enough = enough[np.linspace(0, len(enough) - 1, MOST_CHANNELS).astype(int)]
    rng = np.random.default_rng(0)
    with threadpool_limits(1):
        for channel in enough:
            at = waves.channels == channel
            original, told = waves.original[at], waves.told[at]
            noisy = original + rng.normal(0, math.sqrt(NOISE * float((original**2).mean())), original.shape)
            labels = cluster(original)
            tally.add("rand", rand_index(labels, cluster(told)))
            tally.add("rand_same", rand_index(labels, cluster(told, only=len(np.unique(labels)))))
            tally.add("rand_again", rand_index(labels, cluster(original, seed=1)))
            tally.add("rand_noisy", rand_index(labels, cluster(noisy)))
            tally.add("rand_events", at.sum())
            tally.add("clusters", len(np.unique(labels)))


def known_units(seed: int = 1) -> tuple[np.ndarray, Any, Any]:
    """A recording by SpikeInterface's generator: codes int64 (frames, channels), probe, true sorting.

    Electrodes 150 micrometres apart, as far as threads' are, so that most units are seen by one.
    """
    from spikeinterface.core import generate_ground_truth_recording

    recording, truth = generate_ground_truth_recording(
        durations=[SORTED_SECONDS],
        sampling_frequency=SORTED_RATE,
        num_channels=SORTED_CHANNELS,
        num_units=UNITS,
        seed=seed,
        generate_probe_kwargs={
            "num_columns": 1,
            "xpitch": 150,
            "ypitch": 150,
            "contact_shapes": "circle",
            "contact_shape_params": {"radius": 6},
        },
        generate_sorting_kwargs={"firing_rates": (1.0, 6.0), "refractory_period_ms": 3.0},
    )
    traces = recording.get_traces()
    scale = NOISE_CODES / (float(np.median(np.abs(traces))) / 0.6745)
    return np.clip(np.rint(512 + scale * traces), 0, 1023).astype(np.int64), recording.get_probe(), truth


def sort_known(
    tallies: list[Tally],
    sorters: Sequence[str] = USUAL_SORTERS,
    advance: Callable[..., None] = lambda amount, note="": None,
) -> None:
    """Add sorters' accuracy on known units to tallies: on the original, and on what telemetry gives at each one's
    ratio.

    Of several recordings, each sorter several times, as what it finds differs by some percent from one time to the
    next: the artificial noise between the waveforms is another each time.
    """
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        for seed in SEEDS:
            codes, probe, truth = known_units(seed)
            clear = _depths(codes, truth) >= CLEAR
            signals = {tally.ratio: _decoded(codes, tally.ratio) for tally in tallies}
            for sorter in sorters:
                original = np.mean([_accuracy(codes, probe, truth, sorter, each) for each in range(SORTINGS)], axis=0)
                advance(1, f"{sorter}, original {seed}")
                for tally in tallies:
                    told = signals[tally.ratio]
                    found = [_accuracy(with_noise(told, each), probe, truth, sorter, each) for each in range(SORTINGS)]
                    accuracy = np.mean(found, axis=0)
                    for name, values in (("accuracy", accuracy), ("accuracy_original", original)):
                        tally.add(name, values)
                        tally.add(f"{name}_{sorter}", values)
                    tally.add("clear", accuracy[clear])
                    tally.add("clear_original", original[clear])
                    advance(1, f"{sorter}, {tally.ratio:g}x, recording {seed}")


def _decoded(codes: np.ndarray, ratio: float) -> Telemetry:
    """What telemetry gives of codes at a ratio."""
    settings = Settings(budget=budget_of(SORTED_CHANNELS, SORTED_RATE, ratio))
    encoder = TelemetryEncoder(SORTED_CHANNELS, SORTED_RATE, settings=settings, stream=0)
    return collect(encoder.push(N1_VALUES[codes]) + encoder.close())


def _depths(codes: np.ndarray, truth: Any) -> np.ndarray:
    """How deep the mean trough of each unit is where it is deepest, in deviations of noise: float64 (units,)."""
    reference = refer(N1_VALUES[codes], SORTED_RATE, Settings())
    depths = []
    for unit in truth.unit_ids:
        frames = np.asarray(truth.get_unit_spike_train(unit), dtype=np.int64)
        depth = 0.0
        for channel in range(SORTED_CHANNELS):
            waves = cut(reference.band, frames, np.full(len(frames), channel), 10, 30)
            depth = max(depth, float(-waves.mean(axis=0).min(initial=0)) / reference.noise[channel])
        depths.append(depth)
    return np.array(depths)


def with_noise(told: Telemetry, seed: int = 0) -> np.ndarray:
    """The signal that telemetry gives, in codes int64 (frames, channels), with artificial noise between waveforms."""
    return np.clip(np.rint(told.signal(noise=seed)), 0, told.description.levels.alphabet - 1).astype(np.int64)


def _accuracy(codes: np.ndarray, probe: Any, truth: Any, sorter: str, seed: int) -> np.ndarray:
    """Accuracy of each true unit in a sorting, as SpikeInterface compares them: float64 (units,)."""
    from spikeinterface.comparison import compare_sorter_to_ground_truth
    from spikeinterface.core import NumpyRecording
    from spikeinterface.sorters import run_sorter

    recording = NumpyRecording([codes.astype(np.int16)], SORTED_RATE)
    recording.set_probe(probe, in_place=True)
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    with tempfile.TemporaryDirectory() as folder:
        saved = recording.save(folder=Path(folder) / "recording", verbose=False, progress_bar=False)
        own: dict[str, Any] = {"seed": seed, "job_kwargs": {"n_jobs": 1, "progress_bar": False}}
        if sorter == "mountainsort5":
            own = {"whitening_seed": seed}
        sorting = run_sorter(sorter, saved, folder=Path(folder) / "sorted", verbose=False, **own)
        comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
        return np.asarray(comparison.get_performance()["accuracy"], dtype=np.float64)
