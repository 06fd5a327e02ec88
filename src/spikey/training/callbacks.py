"""The callback of a training: stores the best model and the history, and turns interrupts into checkpoints.

The best model of a training that has not ended is a file in the training's folder. It replaces the latest model when
the training ends, or earlier where there is none, so that an interrupted training replaces nothing.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, Trainer

from spikey.base.errors import DataError, InterruptedByUser, SpikeyError
from spikey.model.tensor_file import kept_file
from spikey.model.trained import Model, load
from spikey.training.evaluate import compress, rates
from spikey.training.messages import compression, duration, gain
from spikey.training.module import Module, anywhere
from spikey.training.plan import Plan, write
from spikey.training.quantise import quantise

FIGURES = 5  # digits of a model's figures
ORIGIN = ("name", "config", "calibrations", "data_sha256", "recordings", "samples")  # what identifies a training
MEASURED = 20  # steps after which the time that an epoch takes is announced


class Interrupted(InterruptedByUser):
    """The user stopped a training."""


class TrainingCallback(Callback):
    """Stores the best model and the history, announces the duration, and turns interrupts into checkpoints."""

    def __init__(self, plan: Plan, module: Module) -> None:
        self.plan, self.module = plan, module
        self.history: list[dict[str, Any]] = []
        self.steps: list[tuple[int, float]] = []
        self.best = float("inf")
        self.evaluated = -1  # step of the last evaluation
        self.asked_to_stop = False
        self._first_step = 0
        self._started = 0.0
        self._handler: Callable[[int, FrameType | None], None] | None = None
        self._leads = False  # of the processes that share the work, the one that writes

    def state_dict(self) -> dict[str, Any]:
        """History and best figure, for the checkpoint."""
        return {"history": self.history, "steps": self.steps, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.history = list(state["history"])
        best = float(state["best"])
        if round(best, FIGURES) != self.best:  # the file is older or newer than the checkpoint
            best = self.best
        self.best = best
        self.steps = [(int(step), float(loss)) for step, loss in state["steps"]]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Identify the training that the checkpoint belongs to."""
        checkpoint["fingerprint"] = self.plan.fingerprint()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Stop after the current step at the first SIGINT or SIGTERM, and at once at the second one."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(signum: int, frame: FrameType | None) -> None:
            if self.asked_to_stop:
                raise Interrupted(f"interrupted; {self.remains()}")
            self.asked_to_stop = True
            self.plan.say("stopping after this step (once more to stop at once) ...")

        self._handler = stop
        former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def adopt_best(self) -> None:
        """Adopt the best model of an interrupted training of the same configuration; move any other to its id."""
        if not self.plan.best.exists():
            return
        try:
            model = load(self.plan.best)
            described = json.loads(json.dumps(self.plan.metadata({})))
            if {key: model.metadata.get(key) for key in ORIGIN} == {key: described.get(key) for key in ORIGIN}:
                self.best = float(model.metadata["figures"]["test_bits_per_sample"])
                return
        except (DataError, LookupError, TypeError, ValueError):
            self.plan.say(f"{self.plan.best}: is damaged and is not used")
            return
        kept = kept_file(self.plan.file.parent, model.id)
        kept.parent.mkdir(parents=True, exist_ok=True)
        self.plan.best.replace(kept)
        self.plan.say(f"{kept}: the best model of another training that has not ended")

    def remains(self) -> str:
        """Describe what exists when a training stops early; the best model becomes the latest where there is none."""
        parts = []
        if self.plan.best.is_file() and self.best < float("inf"):
            with suppress(SpikeyError, OSError):  # the training has ended by another error
                if self._leads and not self.plan.file.exists():
                    self.plan.publish(self.plan.best.read_bytes())
            try:
                published = self.plan.file.read_bytes() == self.plan.best.read_bytes()
            except OSError:
                published = False
            parts.append(f"the best model so far is {self.plan.file if published else self.plan.best}")
            if not published and self.plan.file.exists():
                parts.append(f"{self.plan.file} is unchanged")
        if self.plan.checkpoint.exists():
            parts.append("the same command continues from the last checkpoint")
        return ", and ".join(parts) or "nothing is stored yet"

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start measuring; restore the handler of SIGTERM, for which Lightning would stop without a checkpoint."""
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
        self._first_step, self._started = trainer.global_step, time.monotonic()
        self._leads = trainer.is_global_zero

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record the loss, announce once how long an epoch takes, stop where asked to."""
        loss = trainer.logged_metrics.get("train_loss")
        if loss is not None and (not self.steps or trainer.global_step >= self.steps[-1][0] + 20):
            self.steps.append((trainer.global_step, float(loss)))
        done = trainer.global_step - self._first_step
        if done == 1:
            self._started = time.monotonic()  # the first step includes preparations
        if done == MEASURED and trainer.is_global_zero:
            self._announce((time.monotonic() - self._started) / (MEASURED - 1))
        if anywhere(trainer, self.asked_to_stop):
            trainer.save_checkpoint(self.plan.checkpoint)
            raise Interrupted(f"interrupted; {self.remains()}")

    def _announce(self, seconds: float) -> None:
        training = self.plan.config.training
        epoch = seconds * len(self.module.windows)
        whole = epoch * training.epochs
        if training.minutes is not None:
            whole = min(whole, 60 * training.minutes)
        self.plan.say(
            f"{self.plan.config.name}: an epoch takes about {duration(epoch)}, all of the training at most "
            f"{duration(whole)}; after an interrupt (Ctrl-C) the same command continues; the best model so far stays"
        )

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Record the figures; if they are the best ones, write the model."""
        self.evaluated = trainer.global_step
        if not trainer.is_global_zero:
            return
        loss, base = (float(trainer.callback_metrics[key]) for key in ("test_loss", "test_base"))
        entry: dict[str, Any] = {
            "epoch": self._epochs(trainer),
            "step": trainer.global_step,
            "minutes": round(self.module.seconds / 60, 2),
            "test_loss": loss,
            "base_loss": base,
        }
        model = self._model(loss, base, trainer)
        compressed = compress(self.plan.chosen(), model, self.plan.calibration)
        if compressed:
            entry["compressed"], entry["compressed_lpc"] = rates(compressed)
        self.history.append(entry)
        self.plan.say(
            f"epoch {entry['epoch']:g}, step {entry['step']}: {loss:.4f} bits per sample on the test recordings, "
            f"{gain(loss, base)} without the network, {base:.4f}{compression(compressed)}"
        )
        if loss < self.best:
            self.best = loss
            write(self.plan.best, model.file)

    def _epochs(self, trainer: Trainer) -> float:
        """Passes over the training recordings so far."""
        return round(trainer.global_step / len(self.module.windows), 2)

    def _model(self, loss: float, base: float, trainer: Trainer) -> Model:
        figures = {
            "test_bits_per_sample": round(loss, FIGURES),
            "base_bits_per_sample": round(base, 5),
            "gain_percent": round(100 * (1 - loss / base), 3),
            "epochs": self._epochs(trainer),
            "steps": trainer.global_step,
        }
        return quantise(self.module.network, self.plan.metadata(figures), self.plan.say)
