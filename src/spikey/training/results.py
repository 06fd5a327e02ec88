"""The results of a training: figures, pictures, and a sentence about them."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from spikey.base.errors import install
from spikey.model.fixed_point import UNIT
from spikey.model.trained import load
from spikey.recording.wav import open_wav
from spikey.training.callbacks import TrainingCallback
from spikey.training.dataset import channel_of
from spikey.training.evaluate import bits_by_channel, compress
from spikey.training.messages import compression, gain
from spikey.training.module import Module
from spikey.training.network import Network
from spikey.training.plan import Plan, write
from spikey.training.quantise import restored
from spikey.training.sampler import WINDOW

SHOWN = 1 << 17  # samples of a recording that the pictures are of


def finish(plan: Plan, callback: TrainingCallback, module: Module) -> str:
    """Measure the best model, rounded as it is, write figures and pictures, and return a sentence about them."""
    model = load(plan.best)
    network = restored(model)
    samples, bits, base = bits_by_channel(network, module.whole)
    rounded = float(bits.sum() / samples.sum())
    compressed = compress(plan.chosen(), model, plan.calibration)
    figures = {
        "test_bits_per_sample": callback.best,
        "test_bits_per_sample_rounded": rounded,
        "rounding_costs_percent": 100 * (rounded / callback.best - 1),
        "base_bits_per_sample": float(base.sum() / samples.sum()),
        "gain_percent": float(100 * (1 - bits.sum() / base.sum())),
        "minutes": round(module.seconds / 60, 2),
    }
    document = {
        "name": plan.config.name,
        "model": model.id.hex(),
        "figures": figures,
        "training": {
            "recordings": len(set(plan.train.paths)),
            "samples": len(plan.train.usable),
            "sha256": plan.train.sha256,
        },
        "test": {"recordings": len(set(plan.test.paths)), "samples": len(plan.test.usable), "sha256": plan.test.sha256},
        "history": callback.history,
        "steps": callback.steps,
        "recordings": [
            {"recording": path.name, "samples": int(n), "base_bits_per_sample": b / n, "bits_per_sample": own / n}
            for path, n, own, b in zip(plan.test.paths, *(row.tolist() for row in (samples, bits, base)), strict=True)
            if n
        ],
        "compressed": [asdict(found) for found in compressed],
    }
    plan.publish(model.file)
    write(plan.folder / "metrics.json", json.dumps(document, indent=1).encode())
    _draw(plan, callback, network, *(row[samples > 0] / samples[samples > 0] for row in (base, bits)))
    plan.checkpoint.unlink(missing_ok=True)
    plan.best.unlink(missing_ok=True)
    return (
        f"{plan.file}: model {model.id.hex()}, {rounded:.4f} bits per sample on the test recordings, "
        f"{gain(rounded, figures['base_bits_per_sample'])} without it{compression(compressed)}; figures and pictures "
        f"are in {plan.folder}"
    )


def _draw(plan: Plan, callback: TrainingCallback, network: Network, base: np.ndarray, bits: np.ndarray) -> None:
    """Draw the pictures, where matplotlib is installed."""
    if find_spec("matplotlib") is None:
        plan.say(f"no pictures: matplotlib is missing: {install('plot')}")
        return
    from spikey.report.picture import draw_prediction
    from spikey.training.pictures import draw_curves, draw_errors, draw_recordings

    name, num_points = plan.config.name, plan.config.training.num_points
    draw_curves(plan.folder / "training.png", f"{name}: training", callback.steps, callback.history)
    draw_recordings(plan.folder / "recordings.png", f"{name}: bits per sample of the test recordings", base, bits)
    for path in plan.test.paths:
        shown = _predict(plan, network, path)
        if shown is not None:
            positions, predictions, deviations, rate = shown
            errors = positions - predictions
            draw_errors(plan.folder / "errors.png", f"{name}: errors on {path.name}", errors / deviations)
            title = f"{name}: prediction of {path.name}"
            picture = plan.folder / "prediction.png"
            draw_prediction(picture, positions, predictions, errors, rate, title, num_points=num_points)
            return


def _predict(plan: Plan, network: Network, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """Positions, predictions and deviations, float64 (frames,) in ADC codes, of the later half of a file's first
    channel, and its rate in Hz; None where there is nothing to predict.
    """
    with open_wav(path) as source:
        frames, rate = min(source.frames, SHOWN), source.layout.rate
        samples = np.ascontiguousarray(source.read(0, frames)[:, 0])
    channel = channel_of(samples, plan.architecture, plan.calibration) if frames >= WINDOW else None
    if channel is None or rate <= 0:
        return None
    with torch.no_grad():
        octaves, share, _ = network(torch.from_numpy(channel.inputs)[:, None])
    predictions = channel.location + share[:, 0].double().numpy() * channel.deviation
    deviations = channel.deviation * np.exp2(octaves[:, 0].double().numpy())
    later = slice(frames // 2, None)  # when the predictor has adapted to the signal
    return channel.position[later] / UNIT, predictions[later] / UNIT, deviations[later] / UNIT, rate
