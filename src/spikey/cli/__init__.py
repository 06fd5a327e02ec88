"""The command line, one file a command. Each imports what it needs when it runs, so that `--help` answers at once.

`main` is the entry point of `spikey`, `python -m spikey` and `cli.py`.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import FrameType
from typing import Annotated, Any

import typer

from spikey.base.errors import InterruptedByUser, SpikeyError
from spikey.base.interrupts import redeliver_lost
from spikey.cli import (
    bench,
    budget,
    calibrate,
    compress,
    convert,
    decompress,
    demo,
    doctor,
    info,
    key,
    models,
    mount,
    repair,
    simulate,
    stream,
    telemetry,
    topology,
    train,
    verify,
    watch,
)
from spikey.cli.messages import say
from spikey.cli.options import HELP_OPTIONS, Command
from spikey.recording.output import remove_unfinished


def _interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt:
            # Typer would turn a KeyboardInterrupt into a status of its own.
            raise InterruptedByUser(KEPT) from None

    return call


_usual_line = warnings.formatwarning


PATIENCE = 8.0  # seconds that threads have to end in after an interrupt
KEPT = "interrupted; no unfinished output was kept"
_patience: threading.Timer | None = None
_announced = False


def _print_version(wanted: bool) -> None:
    if wanted:
        from spikey.base.version import __version__

        typer.echo(f"spikey {__version__}")
        raise typer.Exit


app = typer.Typer(
    help="Lossless compression of raw neural recordings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)
COMMANDS = {  # the groups of the help text
    "Compress and restore": (compress, decompress),
    "Check and repair": (info, verify, repair, doctor),
    "Recordings as files and folders": (convert, mount, watch, topology),
    "Models and calibration": (calibrate, train, models),
    "Measure": (bench, budget, simulate, demo),
}
for panel, commands in COMMANDS.items():
    for module in commands:
        name = module.__name__.rsplit(".", 1)[1]
        app.command(name, cls=Command, rich_help_panel=panel)(_interruptible(module.command))
for name, group in (("stream", stream), ("telemetry", telemetry), ("key", key)):
    app.add_typer(group.app, name=name, rich_help_panel="Streams and telemetry")


@app.callback()
def _application(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line, and end the process."""
    try:
        run_command()
    except SystemExit as stop:
        if isinstance(stop.code, int | None):
            _leave(stop.code or 0)
        raise
    _leave(0)


def _leave(status: int) -> None:
    """End the process without taking apart all that Numba has loaded, which takes a third of a second."""
    if threading.active_count() > 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    for output in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            output.flush()
    os._exit(status)


def run_command() -> None:
    """Run the command line; every expected failure is one sentence on standard error and exit status 1 or 2."""
    global _announced
    _have_standard_streams()
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    redeliver_lost(signal.SIGINT, _forget)
    warnings.formatwarning = _line_of
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
            if _patience is not None and threading.active_count() <= 2:  # this one and the timer
                _patience.cancel()
    except SpikeyError as error:
        _announced = isinstance(error, InterruptedByUser)
        if _announced:
            remove_unfinished()
        say(f"spikey: {error}")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        say("spikey: interrupted")
        sys.exit(InterruptedByUser.exit_status)
    except BrokenPipeError:  # the reader of the output has ended
        _discard_output()
        sys.exit(1)
    except OSError as error:  # of files all are dealt with where they are read and written
        _discard_output()
        say(f"spikey: {error.filename or 'standard output'}: {error.strerror or error}")
        sys.exit(1)
    except MemoryError:
        say("spikey: there is not enough memory")
        sys.exit(1)


def _have_standard_streams() -> None:
    """Open what of standard input, output and error is closed, as files opened later would take their places."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)


def _discard_output() -> None:
    """Discard the rest of standard output."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line_of(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning that is meant for users in one line, any other as Python writes it."""
    if issubclass(category, UserWarning):
        return f"spikey: note: {' '.join(str(message).split())}\n"
    return _usual_line(message, category, filename, lineno, line)


def _stop(signum: int, frame: FrameType | None) -> None:
    """Interrupt the command. Where its threads do not end within seconds, or at a second signal, end without them."""
    global _patience
    if _patience is not None:
        _end_at_once()
    _patience = threading.Timer(PATIENCE, _end_at_once)
    _patience.daemon = True
    _patience.start()
    raise KeyboardInterrupt


def _forget() -> None:
    """Take the next signal for the first one: the exception that this one raised was lost."""
    global _patience
    if _patience is not None:
        _patience.cancel()
        _patience = None


def _end_at_once() -> None:
    """Remove what is unfinished and end, whatever threads are doing."""
    remove_unfinished()
    if not _announced:
        say(f"spikey: {KEPT}")
    os._exit(InterruptedByUser.exit_status)
