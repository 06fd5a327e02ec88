"""`spikey convert`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, settings_from, some
from spikey.cli.messages import set_level
from spikey.cli.run import Task, run
from spikey.cli.verify import restored_size
from spikey.recording.output import make_folder, refuse_existing


def command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A .spky file, or a folder of them.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file or folder to write.")],
    preset: Annotated[
        str | None, typer.Option(help=f"{options.PRESETS}, each smaller and slower. Default: the first.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Trained model instead of a preset, by name or file. Default: none.")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="Code widths of the ADC: auto, none, a name or a file. Default: auto.")
    ] = None,
    jobs: options.Jobs = 1,
    verify: options.Verify = True,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Compress .spky files again with another preset.

    The new files restore the same bytes, which is verified.

    Examples
    --------
    spikey convert a.spky smaller.spky --preset max
    spikey convert packed/ archive/ --preset balanced --jobs 2
    """
    set_level(quiet, verbose)
    settings = settings_from(None, None, preset, model, calibration, (None, None, None))
    pairs = [(source, target)]
    if source.is_dir():
        files = sorted(path for path in source.rglob("*.spky") if path.is_file())
        some(files, source, (".spky",))
        inside = target.resolve().is_relative_to(source.resolve())
        if inside:
            raise UsageError(f"{target}: lies within {source}, whose files are read; name a folder outside it")
        pairs = [(path, target / path.relative_to(source)) for path in files]
    for _, out in pairs:
        refuse_existing(out, force)
    from spikey.files.convert import convert_file

    prepare_kernels()
    several = len(pairs) > 1
    settings = replace(settings, jobs=1 if several else jobs, verify=verify)

    def task(path: Path, out: Path) -> Task:
        if source.is_dir():
            make_folder(out.parent)
        return Task(
            str(path),
            str(out),
            restored_size(str(path)),
            lambda progress: convert_file(path, out, settings, progress, overwrite=force),
        )

    tasks = [task(*pair) for pair in pairs]
    run(tasks, "converted", jobs, passes=2 if verify else 1, alone=not several and not as_json).conclude(as_json)
