"""What Lightning trains: the loss, the optimiser and its step size, the state carried from window to window."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from spikey.base.errors import DataError
from spikey.config.schema import Training
from spikey.training.evaluate import add_bits
from spikey.training.network import Network, State, bits
from spikey.training.quantise import keep_inside
from spikey.training.sampler import WholeSampler, Window, WindowSampler

WARM_UP = 100  # steps over which the step size rises to its value
LOWEST = 0.01  # of the step size, at the end of the cosine
LOGGED = 20  # steps between two entries of the training loss
KEPT_INSIDE = 100  # steps between two checks that the network fits the codec's integers


class Diverged(DataError):
    """The loss is not a finite number any more."""


def anywhere(trainer: Trainer, decision: bool) -> bool:
    """Whether the decision is true in one of the processes that share the work."""
    return decision if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(decision, all=False)


class Module(LightningModule):
    """A network in training.

    `totals` float32 (3, channels), after an evaluation: samples, bits of the network, bits of its base.
    `seconds`: of training so far, all runs together.
    """

    def __init__(self, network: Network, settings: Training, windows: WindowSampler, whole: WholeSampler) -> None:
        super().__init__()
        self.network, self.settings, self.windows, self.whole = network, settings, windows, whole
        self.state: State = None
        self.totals = torch.zeros(3, len(whole.sequences.paths))
        self.seconds = 0.0
        self._before = time.monotonic()

    def train_dataloader(self) -> WindowSampler:
        """The share of this process."""
        self.windows.rank, self.windows.ranks = self.trainer.global_rank, self.trainer.world_size
        return self.windows

    def val_dataloader(self) -> WholeSampler:
        """The same in every process."""
        return self.whole

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (Kingma and Ba, 2015)."""
        return torch.optim.Adam(self.network.parameters(), self.settings.learning_rate, betas=(0.9, 0.99))

    def on_train_start(self) -> None:
        """Start the clock."""
        self._before = time.monotonic()

    def progress(self) -> float:
        """The part of the training that is done, 0 to 1, by steps or by time."""
        done = self.global_step / (len(self.windows) * self.settings.epochs)
        if self.settings.minutes is not None:
            done = max(done, self.seconds / 60 / self.settings.minutes)
        return min(done, 1.0)

    def on_train_batch_start(self, batch: Window, batch_idx: int) -> None:
        """Set the step size: a linear rise, then half a cosine down to 1 % (Loshchilov and Hutter, 2017)."""
        now = time.monotonic()
        self.seconds, self._before = self.seconds + now - self._before, now
        rate = self.settings.learning_rate * min(1.0, (self.global_step + 1) / WARM_UP)
        rate *= LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * self.progress()))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def training_step(self, batch: Window, batch_idx: int) -> Tensor:
        """The mean code length of the usable samples of a window, in bits."""
        octaves, share, state = self.network(batch.inputs, None if batch.fresh else self.state)
        self.state = None if state is None else (state[0].detach(), state[1].detach())
        with torch.autocast(self.device.type, enabled=False):
            losses = bits(octaves, share, batch.below, batch.above)
            loss = torch.where(batch.usable, losses, 0).sum() / batch.usable.sum().clamp_min(1)
        if not torch.isfinite(loss):
            raise Diverged(
                f"the training diverged at step {self.global_step + 1}, where its loss is not a finite number; "
                f"use a training.learning_rate below {self.settings.learning_rate:g}"
            )
        if self.global_step % LOGGED == 0:
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            self.log("train_loss", loss, prog_bar=True, batch_size=1)
            self.log("learning_rate", rate, batch_size=1)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Window, batch_idx: int) -> None:
        """Keep the weights within what the codec's integers can hold; stop when the time is over."""
        if self.global_step % KEPT_INSIDE == 0:
            keep_inside(self.network)
        if self.settings.minutes is not None and anywhere(self.trainer, self.progress() >= 1):
            self.trainer.should_stop = True

    def on_validation_epoch_start(self) -> None:
        """Begin with empty totals and no state."""
        keep_inside(self.network)
        self.totals = torch.zeros_like(self.totals, device=self.device)
        self._training_state, self.state = self.state, None

    def validation_step(self, batch: Window, batch_idx: int) -> None:
        """Add the bits of a window, in full precision, to its channels' totals."""
        with torch.autocast(self.device.type, enabled=False):
            self.state = add_bits(self.network, batch, self.state, self.totals)

    def on_validation_epoch_end(self) -> None:
        """Bits per sample over all test recordings."""
        self.state = self._training_state
        samples, network, base = self.totals.cpu().double().sum(dim=1)
        self.log("test_loss", (network / samples).float(), prog_bar=True)
        self.log("test_base", (base / samples).float())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the time of training."""
        checkpoint["seconds"] = self.seconds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue from the time of training."""
        self.seconds = float(checkpoint["seconds"])
