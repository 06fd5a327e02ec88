"""One training from a configuration to a model, by Lightning's trainer."""

from __future__ import annotations

import io
import logging
import os
import warnings
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from spikey.base.errors import DataError, UsageError
from spikey.config.schema import Config
from spikey.model.trained import named
from spikey.training.callbacks import TrainingCallback
from spikey.training.grow import grow
from spikey.training.module import Diverged, Module
from spikey.training.network import Network
from spikey.training.plan import Bar, Plan, Say, no_bar, prepare, write
from spikey.training.results import finish
from spikey.training.sampler import WholeSampler, WindowSampler

SAVED = timedelta(minutes=5)  # between two checkpoints
LARGEST_GRADIENT = 0.5  # norm to which larger ones are scaled down


def train(config: Config, *, say: Say = print, bar: Bar = no_bar) -> str:
    """Train what a configuration describes and return a sentence about the result.

    The model is written to `save_path`/NAME.safetensors and, under its id, to `save_path`/by-id; figures, pictures,
    logs and checkpoints to `save_path`/NAME. Raises UsageError, DataError or Interrupted; the best model so far is not
    lost.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":  # of the processes that share the work, one reports
        say, bar = (lambda text: None), no_bar
    plan = prepare(config, say, bar)
    windows = WindowSampler(
        plan.train,
        recurrent=plan.architecture.type == "lstm",
        batch=config.training.batch_size,
        seed=config.training.seed,
    )
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    _quieten()
    seed_everything(config.training.seed, verbose=False)
    network = Network(plan.architecture)
    if config.training.start_from is not None:
        grow(named(config.training.start_from), network)
    module = Module(network, config.training, windows, WholeSampler(plan.test))
    callback = TrainingCallback(plan, module)
    trainer = _trainer(plan, callback)
    resumed = _resumable(plan)
    if trainer.is_global_zero:
        callback.adopt_best()
    if resumed is not None:
        say(f"{config.name}: continues from {resumed}")
    try:
        with callback.interruptible():
            trainer.fit(module, ckpt_path=resumed, weights_only=True)
            if callback.evaluated != trainer.global_step:
                trainer.validate(module, verbose=False)
            return finish(plan, callback, module) if trainer.is_global_zero else ""
    except Diverged as error:
        raise DataError(f"{error.text}; {callback.remains()}", code=error.code) from None
    except OSError as error:
        raise UsageError(
            f"{plan.folder}: cannot be written ({error.strerror or error}); {callback.remains()}"
        ) from None
    except BaseException:
        callback.remains()
        raise


def _quieten() -> None:
    """Silence Lightning's advertisements, and its advice about what is intended here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", module=r"torch\..*")


class _Checkpoints(TorchCheckpointIO):
    """Writes checkpoints beside the former one and renames them; Lightning writes them to another disk first."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a whole checkpoint or none."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write(Path(path), content.getvalue())


def _trainer(plan: Plan, callback: TrainingCallback) -> Trainer:
    training = plan.config.training
    callbacks: list[Callback] = [
        callback,
        ModelCheckpoint(plan.folder, plan.checkpoint.stem, train_time_interval=SAVED, enable_version_counter=False),
    ]
    bar = os.isatty(1)
    if bar:
        from lightning.pytorch.callbacks import RichProgressBar

        callbacks.append(RichProgressBar())
    try:
        return Trainer(
            plugins=[_Checkpoints()],
            max_epochs=training.epochs,
            check_val_every_n_epoch=training.eval_freq,
            num_sanity_val_steps=0,
            gradient_clip_val=LARGEST_GRADIENT,
            accelerator=training.accelerator,
            devices="auto" if training.devices is None else training.devices,
            precision=_precision(training.precision, training.accelerator),  # type: ignore[arg-type]
            logger=_logger(plan),
            log_every_n_steps=1,  # `Module` chooses which
            use_distributed_sampler=False,  # `WindowSampler` shares the work out
            callbacks=callbacks,
            enable_progress_bar=bar,
            enable_model_summary=False,
            default_root_dir=plan.folder,
        )
    except Exception as error:  # Lightning's own kinds, for devices that are not there
        raise UsageError(f"the training cannot start: {' '.join(str(error).split())[:300]}") from None


def _precision(wanted: str, accelerator: str) -> str:
    if wanted != "auto":
        return wanted
    if accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def _logger(plan: Plan) -> Any:
    if plan.config.training.logger == "none":
        return False
    if plan.config.training.logger == "wandb":
        from lightning.pytorch.loggers import WandbLogger

        return WandbLogger(name=plan.config.name, save_dir=plan.folder, project="spikey")
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(plan.folder, name="", version="logs")


def _resumable(plan: Plan) -> Path | None:
    """The checkpoint of an interrupted training of the same configuration on the same recordings, if there is one."""
    path = plan.checkpoint
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as parts:
            if parts.testzip() is not None:  # torch.load compares no checksums
                raise ValueError
        same = torch.load(path, map_location="cpu", weights_only=True).get("fingerprint") == plan.fingerprint()
        reason = "is not wanted (training.resume)" if same else "is of another configuration or other recordings"
    except Exception:  # whatever torch.load raises for a file that is not a checkpoint
        same, reason = False, "is damaged"
    if same and plan.config.training.resume == "auto":
        return path
    plan.say(f"{path}: {reason}; the training starts again")
    path.unlink()
    return None
