"""What a training needs before its first step: recordings, architecture, folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

from spikey.base.errors import UsageError
from spikey.base.version import __version__
from spikey.config.schema import Config
from spikey.files.devices import training_files
from spikey.model.calibration import Calibration
from spikey.model.tensor_file import digest, kept_file
from spikey.model.trained import Architecture, architecture
from spikey.recording.output import atomic_output
from spikey.training.data import recordings, split
from spikey.training.dataset import Sequences, calibration_of, gather
from spikey.training.sampler import WINDOW

Say = Callable[[str], None]
# `spikey.cli.common.progress_bar` is one.
Bar = Callable[[int | None, str], AbstractContextManager[Callable[[int], None]]]

CHECKPOINT = "last.ckpt"
BEST = "best.safetensors"
COMPRESSED = 4  # test recordings that each evaluation compresses with the codec
# Keys that change how a training runs but not what it computes: it can continue after they have changed.
_FREE = {"num_points", "resume", "accelerator", "devices", "threads", "logger", "save_path"}


@dataclass
class Plan:
    """What all parts of a training share."""

    config: Config
    architecture: Architecture
    calibration: Calibration | None
    train: Sequences
    test: Sequences
    say: Say

    @property
    def folder(self) -> Path:
        """Of checkpoints, logs, figures and pictures."""
        return Path(self.config.training.save_path) / self.config.name

    @property
    def checkpoint(self) -> Path:
        """Of an interrupted training."""
        return self.folder / CHECKPOINT

    @property
    def file(self) -> Path:
        """Of the latest model."""
        return self.folder.with_name(self.config.name + ".safetensors")

    @property
    def best(self) -> Path:
        """Of the best model of a training that has not ended yet."""
        return self.folder / BEST

    def publish(self, model: bytes) -> None:
        """Make a model's file the latest one; it and the former one stay under their ids, as files may need them."""
        former = self.file.read_bytes() if self.file.is_file() else model
        for data in (former, model):
            kept = kept_file(self.file.parent, digest(data)[:4])
            if not kept.is_file() or kept.read_bytes() != data:
                kept.parent.mkdir(parents=True, exist_ok=True)
                write(kept, data)
        write(self.file, model)

    def fingerprint(self) -> str:
        """What an interrupted training must have in common with this one to be continued by it."""
        document = self.config.model_dump(exclude={"training": _FREE})
        document["data"] = self.train.sha256, self.test.sha256
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def chosen(self) -> list[Path]:
        """The test recordings that evaluations compress, evenly spaced among all."""
        files = sorted(set(self.test.paths))
        count = min(COMPRESSED, len(files))
        return [files[i * len(files) // count] for i in range(count)]

    def metadata(self, figures: dict[str, Any]) -> dict[str, Any]:
        """The origin of a model, for its file."""
        document = self.config.model_dump(exclude={"training": _FREE, "data": {"directory"}})
        return {
            "name": self.config.name,
            "config": document,
            "calibrations": self.train.calibrations,
            "data_sha256": self.train.sha256,
            "recordings": len(set(self.train.paths)),
            "samples": len(self.train.usable),
            "figures": figures,
            "spikey": __version__,
        }


def no_bar(total: int | None, unit: str) -> AbstractContextManager[Callable[[int], None]]:
    """A `Bar` that shows nothing."""
    return nullcontext(lambda amount: None)


def prepare(config: Config, say: Say, bar: Bar) -> Plan:
    """Collect everything that a training needs before its first step."""
    training = config.training
    shape = architecture(**config.predictor.model_dump(), delta=config.preprocessing.use_delta_encoding)
    _check_installed(training.logger, training.accelerator)
    calibration = calibration_of(config.calibration)
    files = training_files(recordings(config.data, bar, say), training.leave_out)
    if training.limit is not None and training.limit < len(files):
        files = sorted(Random(training.seed).sample(files, training.limit))
    for_training, for_test = split(files, config.data.split_ratio, training.seed)
    say(f"{config.name}: {len(for_training)} recordings to learn from, {len(for_test)} to test on")
    with bar(len(files), "recordings") as advance:

        def prepared(paths: list[Path], what: str) -> Sequences:
            return gather(paths, shape, calibration, WINDOW, what=what, advance=advance, say=say)

        sequences = prepared(for_training, "training"), prepared(for_test, "test")
    plan = Plan(config, shape, calibration, *sequences, say)
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        with atomic_output(plan.folder / "config.yaml", overwrite=True) as (file, _):
            file.write(yaml.safe_dump(config.model_dump(), sort_keys=False).encode())
    except OSError as error:
        raise UsageError(f"{plan.folder}: cannot be created ({error.strerror})") from None
    return plan


def _check_installed(logger: str, accelerator: str) -> None:
    for name, module in (("tensorboard", "tensorboard"), ("wandb", "wandb")):
        if logger == name and find_spec(module) is None:
            raise UsageError(
                f"training.logger {name} needs {module}, which is missing; pip install {module}, or use none"
            )
    if accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UsageError("training.accelerator is gpu, but PyTorch finds none; use auto or cpu")


def write(path: Path, data: bytes) -> None:
    """A whole file or none; UsageError where it cannot be."""
    with atomic_output(path, overwrite=True) as (file, _):
        file.write(data)
