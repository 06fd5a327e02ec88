"""The command line, one file a command. Each imports what it needs when it runs, so that `--help` answers at once.

`main` is the entry point of `spikey`, `python -m spikey` and `cli.py`. Nothing imports this package.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any

import typer

from spikey.cli import (
    bench,
    budget,
    calibrate,
    compress,
    decompress,
    demo,
    doctor,
    info,
    models,
    simulate,
    stream,
    telemetry,
    topology,
    train,
    verify,
)
from spikey.errors import SpikeyError


class _Interrupted(SpikeyError):
    """The user stopped a command; Typer would turn a KeyboardInterrupt into a status of its own."""


def _interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt:
            raise _Interrupted("interrupted; no unfinished output was kept") from None

    return call


_usual_line = warnings.formatwarning
app = typer.Typer(
    help="Lossless compression of raw brain recordings.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    compress,
    decompress,
    info,
    verify,
    topology,
    train,
    models,
    calibrate,
    simulate,
    bench,
    budget,
    doctor,
    demo,
):
    app.command(command.__name__.rsplit(".", 1)[1])(_interruptible(command.command))
app.add_typer(stream.app, name="stream")
app.add_typer(telemetry.app, name="telemetry")


def main() -> None:
    """Run the command line; every expected failure is one sentence on standard error and exit status 1 or 2."""
    signal.signal(signal.SIGTERM, _stop)
    warnings.formatwarning = _line_of
    try:
        app()
    except SpikeyError as error:
        sys.stderr.write(f"spikey: {error}\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.stderr.write("spikey: interrupted\n")
        sys.exit(1)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        sys.stderr.write("spikey: there is not enough memory\n")
        sys.exit(1)


def _line_of(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning that is meant for users in one line, any other as Python writes it."""
    if issubclass(category, UserWarning):
        return f"spikey: note: {' '.join(str(message).split())}\n"
    return _usual_line(message, category, filename, lineno, line)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
