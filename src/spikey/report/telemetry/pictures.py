"""The pictures of a telemetry report: spikes, clusters, power, bits by purpose, and fidelity against the rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikey.report.bench.pictures import FIT, FLOOR, OTHERS, OURS, Picture, new_figure, png
from spikey.report.telemetry.fidelity import Shown, Waves
from spikey.report.telemetry.table import TARGET, from_target

TRACE = 0.25  # s of a channel that are drawn
WAVEFORMS = 6
POWERS = 3
ORIGINAL = "#222222"
PURPOSES = {
    "header": "#8d8d8d",
    "keys": "#222222",
    "events": "#d1495b",
    "waveforms": "#00798c",
    "power": "#edae49",
    "low": "#30638e",
}
CLUSTERS = ("#00798c", "#d1495b", "#edae49", "#30638e")
# Key, name, target of the panels of fidelity against the rate; whether more is better.
PANELS = (
    ("kept", "crossings kept", 0.99, True),
    ("with_waveform", "events with a waveform", None, True),
    ("wave_error", "waveform error, of energy", 0.10, False),
    ("rand", "clusters, adjusted Rand index", 0.9, True),
    ("power_mean", "power, correlation", 0.98, True),
    ("low_100_mean", "LFP band below 100 Hz, dB", 10.0, True),
)


def draw_telemetry(results: dict[str, Any], shown: Shown, sort: bool) -> list[Picture]:
    """All pictures. results: of the report, by set; shown: of the first set's first recording."""
    ratio = min(shown.telemetry, key=from_target)
    waves = shown.waves[ratio]
    pictures = [_rates(results), _bits(results)]
    if len(waves.frames):
        pictures.append(_spikes(shown, ratio, waves))
        if sort:
            pictures.append(_clusters(shown, ratio, waves))
    if len(shown.telemetry[ratio].power) > 2:
        pictures.append(_powers(shown, ratio))
    return pictures


def _rates(results: dict[str, Any]) -> Picture:
    """Fidelity against the ratio, each set a line."""
    figure, axes = new_figure(3, 9, rows=2)
    for one, (key, name, target, up) in zip(axes, PANELS, strict=True):
        for (label, about), colour in zip(results.items(), (OURS, FIT), strict=False):
            points = [(facts["ratio"], facts[key]) for facts in about["ratios"] if facts[key] is not None]
            if points:
                one.plot(*zip(*points, strict=True), "o-", color=colour, lw=2, label=label)
        if target is not None:
            one.axhline(target, color=FLOOR, ls="--", lw=1.5, label="target at 200x")
        one.axvline(TARGET, color=OTHERS, lw=1, zorder=0)
        one.set_xscale("log")
        ticks = sorted({facts["ratio"] for about in results.values() for facts in about["ratios"]})
        one.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
        one.minorticks_off()
        low, high = one.get_ylim()
        if key in ("kept", "with_waveform", "rand", "power_mean"):
            one.set_ylim(min(low, 0.9 if key == "rand" else low), 1 + 0.03 * (1 - min(low, 0.95)))
        elif not up:
            one.set_ylim(0, high)
        one.set_title(name, fontsize=13)
    axes[0].legend(frameon=False, fontsize=11, loc="lower left")
    caption = "Compression relative to 10-bit samples, and what is preserved. The encoder spends bits on events first, "
    return "Fidelity against bit rate", caption + "then power, then waveforms and the LFP band.", png(figure)


def _bits(results: dict[str, Any]) -> Picture:
    """Bits by purpose, bars of each ratio."""
    figure, axes = new_figure(len(results), 5)
    for one, (label, about) in zip(axes, results.items(), strict=True):
        ratios = about["ratios"]
        # What was set aside and not used is taken off the headers', which may leave less than nothing of these.
        totals = np.array([sum(max(bits, 0) for bits in facts["bits"].values()) for facts in ratios], dtype=np.float64)
        bottom = np.zeros(len(ratios))
        for purpose, colour in PURPOSES.items():
            part = np.array([max(facts["bits"].get(purpose, 0), 0) for facts in ratios]) / np.maximum(totals, 1)
            one.bar(np.arange(len(ratios)), 100 * part, bottom=bottom, color=colour, label=purpose, width=0.7)
            bottom += 100 * part
        rates = [f"{facts['ratio']:g}x\n{_rate(1e6 * facts['megabits'])}" for facts in ratios]
        one.set_xticks(np.arange(len(ratios)), rates)
        one.set_ylabel("% of bits", fontsize=13)
        one.set_title(label, fontsize=13)
    axes[-1].legend(frameon=False, fontsize=11, loc="center left", bbox_to_anchor=(1, 0.5), reverse=True)
    return "Bits by purpose", "What the bits of each stream were spent on, and its rate.", png(figure)


def _rate(bits: float) -> str:
    return f"{bits / 1e6:.3g} Mbit/s" if bits >= 1e6 else f"{bits / 1e3:.3g} kbit/s"


def _spikes(shown: Shown, ratio: float, waves: Waves) -> Picture:
    """A stretch of a channel, original and reconstruction; and waveforms, large to small."""
    told, rate = shown.telemetry[ratio], shown.original.rate
    channel = _busy(waves)
    own = np.flatnonzero(waves.channels == channel)
    middle = waves.frames[own[len(own) // 2]]
    length = round(TRACE * rate)
    first = int(np.clip(middle - length // 2, 0, max(told.frames - length, 0)))
    end = min(first + length, told.frames)
    figure, axes = new_figure(WAVEFORMS, 9, rows=2, top=1)
    top = axes[0]
    seconds = np.arange(first, end) / rate
    top.plot(seconds, shown.reference.codes[channel, first:end], color=OTHERS, lw=0.8, label="original")
    top.plot(seconds, told.signal(first, end)[:, channel], color=OURS, lw=1.6, label=f"reconstruction, {ratio:g}x")
    top.set_xlabel("s", fontsize=13)
    top.set_ylabel("code", fontsize=13)
    top.legend(frameon=False, fontsize=12, loc="upper left", bbox_to_anchor=(0, 1.12), ncols=2)
    depth = np.abs(waves.original[:, told.pre])
    order = np.argsort(-depth)
    picked = order[(np.linspace(0.02, 0.98, WAVEFORMS) * (len(order) - 1)).astype(int)]
    time = (np.arange(waves.told.shape[1]) - told.pre) / rate * 1000
    for one, row in zip(axes[1:], picked, strict=True):
        one.plot(time, waves.original[row], color=ORIGINAL, lw=1.5)
        one.plot(time, waves.told[row], color=OURS, lw=2.2)
        error = ((waves.original[row] - waves.told[row]) ** 2).sum() / max((waves.original[row] ** 2).sum(), 1e-9)
        one.set_title(f"channel {waves.channels[row]}, error {error:.1%}", fontsize=11)
        one.set_xlabel("ms", fontsize=12)
    axes[1].set_ylabel("codes, band-passed", fontsize=12)
    caption = f"Above, {TRACE:g} s of channel {channel}: telemetry has the LFP band, waveforms of events, and "
    caption += "no noise between them. Below, waveforms of the spike band from the largest to the smallest, as they "
    return "Original and reconstruction", caption + "were (black) and as decoded from telemetry (teal).", png(figure)


def _busy(waves: Waves) -> int:
    """The channel with the most energy in its waveforms."""
    energy = np.bincount(waves.channels, (waves.original.astype(np.float64) ** 2).sum(axis=1))
    return int(energy.argmax())


def _clusters(shown: Shown, ratio: float, waves: Waves) -> Picture:
    """Clusters of three channels: those of the original's waveforms and of telemetry's, side by side."""
    from spikey.report.telemetry.sorting import FEWEST, cluster, components, rand_index

    counts = np.bincount(waves.channels)
    order = [int(c) for c in np.argsort(-counts, kind="stable")[:24] if counts[c] >= FEWEST]
    found = [(c, cluster(waves.original[waves.channels == c])) for c in order]
    found = sorted(found, key=lambda each: -_large(each[1]))[:3]
    if not found:
        figure, (axes,) = new_figure(1, 2)
        axes.text(0.5, 0.5, f"no channel has {FEWEST} waveforms", ha="center")
        return "Waveform clusters", "", png(figure)
    figure, axes = new_figure(4, 4 * len(found), rows=len(found))
    time = (np.arange(waves.told.shape[1]) - shown.telemetry[ratio].pre) / shown.original.rate * 1000
    for at, (channel, labels) in enumerate(found):
        mine = waves.channels == channel
        ours = cluster(waves.told[mine])
        both = (("original", waves.original[mine], labels), (f"telemetry, {ratio:g}x", waves.told[mine], ours))
        for side, (name, wave, numbers) in enumerate(both):
            points = components(wave, waves.original[mine])
            cloud, means = axes[4 * at + side], axes[4 * at + 2 + side]
            for rank, number in enumerate(_by_size(wave, numbers, shown.telemetry[ratio].pre)):
                colour, of = CLUSTERS[rank % len(CLUSTERS)], numbers == number
                cloud.plot(*points[of, :2].T, ".", color=colour, ms=5, alpha=0.7)
                means.plot(time, wave[of].mean(axis=0), color=colour, lw=2.2, label=f"{of.sum()}")
            cloud.set_title(f"channel {channel}, {name}", fontsize=11)
            means.set_title(f"means, {name}", fontsize=11)
            means.legend(frameon=False, fontsize=10)
        axes[4 * at].sharex(axes[4 * at + 1])
        axes[4 * at].sharey(axes[4 * at + 1])
        axes[4 * at].set_ylabel(f"Rand index {rand_index(labels, ours):.2f}", fontsize=12)
        axes[4 * at + 2].sharey(axes[4 * at + 3])
    for one in axes[-4:-2]:
        one.set_xlabel("first principal component", fontsize=11)
    for one in axes[-2:]:
        one.set_xlabel("ms", fontsize=11)
    caption = (
        "The first two principal components of each waveform, by the original's, coloured by cluster; means of the"
    )
    caption += " clusters and their numbers of events. Drawn are, of the busiest 24 channels, those with most clusters."
    return "Waveform clusters", caption, png(figure)


def _large(labels: np.ndarray) -> int:
    """How many clusters hold a twentieth of the events or more."""
    return int((np.unique(labels, return_counts=True)[1] * 20 >= len(labels)).sum())


def _by_size(waves: np.ndarray, labels: np.ndarray, pre: int) -> list[int]:
    """Clusters from the deepest trough to the shallowest."""
    return sorted(np.unique(labels).tolist(), key=lambda number: float(waves[labels == number, pre].mean()))


def _powers(shown: Shown, ratio: float) -> Picture:
    """Spike-band power of three channels over time: those whose power varies most, in the middle, and least."""
    told = shown.telemetry[ratio]
    first = 3
    ours, theirs = told.power[first:], shown.reference.power[first : len(told.power)]
    spread = theirs.std(axis=0) / np.maximum(theirs.mean(axis=0), 1e-9)
    order = np.argsort(-spread)
    picked = order[np.unique(np.linspace(0, len(order) - 1, POWERS).astype(int))]
    figure, axes = new_figure(1, 2.6 * len(picked), rows=len(picked))
    seconds = (np.arange(len(ours)) + first + 0.5) * told.description.shape.bin / told.rate
    for one, channel in zip(axes, picked, strict=True):
        one.plot(seconds, np.sqrt(theirs[:, channel]), color=ORIGINAL, lw=2, label="original")
        one.plot(seconds, np.sqrt(ours[:, channel]), color=OURS, lw=1.6, label=f"telemetry, {ratio:g}x")
        one.set_ylabel(f"channel {channel}\nRMS, codes", fontsize=12)
    axes[0].legend(frameon=False, fontsize=12, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    axes[-1].set_xlabel("s", fontsize=13)
    caption = (
        "Root mean square of the spike band's lower part in bins, of the channels in which it varies most, in the "
    )
    return "Spike-band power", caption + "middle, and least.", png(figure)
