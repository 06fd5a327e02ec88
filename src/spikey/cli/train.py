"""`spikey train`, and `python main.py CONFIG NAME`, the documented form of the same."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from spikey.base.errors import InterruptedByUser, SpikeyError, UsageError, install


def command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration file (YAML).")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of its document. Default: the first document.")
    ] = None,
) -> None:
    """Train the predictor that a configuration describes.

    An interrupted training continues when the command is run again. Training needs PyTorch and Lightning.

    Examples
    --------
    spikey train config.yaml Test
    spikey train config.yaml Quick             # under ten minutes on two cores
    """
    typer.echo(train(str(config), name))


def main(arguments: list[str]) -> None:
    """Run the document NAME of CONFIG, or its first; an error is one sentence and status 1 or 2."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        if not 1 <= len(arguments) <= 2:
            raise UsageError("usage: python main.py CONFIG.yaml [NAME]")
        print(train(*arguments))
    except SpikeyError as error:
        sys.stderr.write(f"spikey: {error}\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.stderr.write("spikey: interrupted before the training had begun; nothing is stored\n")
        sys.exit(InterruptedByUser.exit_status)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def train(path: str, name: str | None = None) -> str:
    """Train the predictor of a configuration and return a sentence about the result."""
    from spikey.config.documents import load
    from spikey.config.schema import networks

    config = load(path, name)
    kind = config.predictor.type
    if kind not in networks():
        return (
            f"{path}, {config.name}: predictor.type {kind} adapts to each recording and has nothing to train; "
            f"use it with: python cli.py compress --config {path} --input_file IN.wav --output_file OUT.bin"
        )
    from importlib.util import find_spec

    missing = [module for module in ("torch", "lightning") if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"training needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} missing: "
            f"{install('train')}",
            code="missing-package",
        )
    from spikey.cli.common import prepare_kernels, progress_bar, say
    from spikey.training import run

    prepare_kernels()
    return run.train(config, say=say, bar=progress_bar)
