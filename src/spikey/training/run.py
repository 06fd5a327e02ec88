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
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from spikey.base.errors import DataError, UsageError
from spikey.config.schema import Config
from spikey.model.trained import named
from spikey.training.callbacks import Keeper
from spikey.training.dataset import Whole, Windows
from spikey.training.grow import grow
from spikey.training.module import Diverged, Module
from spikey.training.network import Network
from spikey.training.plan import Bar, Plan, Say, no_bar, prepare, write
from spikey.training.results import finish

SAVED = timedelta(minutes=5)  # between two checkpoints
LEAST_GAIN = 1e-4  # bits per sample that count as one


def train(config: Config, *, say: Say = print, bar: Bar = no_bar) -> str:
    """Train what a configuration describes and say what came of it.

    The model is `save_path`/NAME.safetensors, and stays under its id in `save_path`/by-id when another replaces it;
    figures, pictures, logs and checkpoints are in `save_path`/NAME. Raises UsageError, DataError or Interrupted; the
    best model so far stays.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":  # of the processes that share the work, one speaks
        say, bar = (lambda text: None), no_bar
    plan = prepare(config, say, bar)
    windows = Windows(
        plan.train,
        recurrent=plan.architecture.type == "lstm",
        batch=config.training.batch_size,
        length=config.training.sequence_length,
        window=config.training.window,
        burn_in=config.training.burn_in,
        seed=config.training.seed,
    )
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    _quieten()
    seed_everything(config.training.seed, verbose=False)
    network = Network(plan.architecture)
    if config.training.start_from is not None:
        grow(named(config.training.start_from), network)
    module = Module(network, config.training, windows, Whole(plan.test))
    keeper = Keeper(plan, module)
    trainer = _trainer(plan, keeper)
    resumed = _resumable(plan)
    if trainer.is_global_zero:
        keeper.recall()
    if resumed is not None:
        say(f"{config.name}: goes on from {resumed}")
    try:
        with keeper.interruptible():
            trainer.fit(module, ckpt_path=resumed, weights_only=True)
            if keeper.evaluated != trainer.global_step:
                trainer.validate(module, verbose=False)
            return finish(plan, keeper, module) if trainer.is_global_zero else ""
    except Diverged as error:
        raise DataError(f"{error}; {keeper.left()}") from None
    except OSError as error:
        raise UsageError(f"{plan.folder}: cannot be written ({error.strerror or error}); {keeper.left()}") from None
    except BaseException:
        keeper.left()
        raise


def _quieten() -> None:
    """Lightning's advertisements and its advice about things that are meant as they are."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", module=r"torch\..*")


class _Checkpoints(TorchCheckpointIO):
    """Checkpoints that are written beside the former one and renamed; Lightning writes them to another disk first."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a whole checkpoint or none."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write(Path(path), content.getvalue())


def _trainer(plan: Plan, keeper: Keeper) -> Trainer:
    training = plan.config.training
    callbacks: list[Callback] = [
        keeper,
        ModelCheckpoint(plan.folder, plan.checkpoint.stem, train_time_interval=SAVED, enable_version_counter=False),
    ]
    if training.patience:
        callbacks.append(EarlyStopping("test_loss", min_delta=LEAST_GAIN, patience=training.patience))
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
            gradient_clip_val=training.gradient_clip,
            accelerator=training.accelerator,
            devices="auto" if training.devices is None else training.devices,
            strategy=training.strategy,
            precision=_precision(training.precision, training.accelerator),  # type: ignore[arg-type]
            logger=_logger(plan),
            log_every_n_steps=1,  # `Module` chooses which
            use_distributed_sampler=False,  # `Windows` shares the work out
            callbacks=callbacks,
            enable_progress_bar=bar,
            enable_model_summary=False,
            default_root_dir=plan.folder,
        )
    except Exception as error:  # Lightning's own kinds, for devices or strategies that are not there
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
    except Exception:  # whatever a file that is no checkpoint makes of torch.load
        same, reason = False, "is damaged"
    if same and plan.config.training.resume == "auto":
        return path
    plan.say(f"{path}: {reason}; the training starts anew")
    path.unlink()
    return None
