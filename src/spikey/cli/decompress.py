"""`spikey decompress`."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.cli.common import cut, in_and_out, make_folder, pairs, run_batches, run_files, say, summary, trained_file
from spikey.cli.together import restore as restore_archive
from spikey.errors import DataError, UsageError
from spikey.recording.remote import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikey.files import Outcome


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="IN... OUT", help="Files, folders or an address, and where to.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Not needed, unless to find a model that you trained yourself.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Which of its documents; default: the first.")] = None,
    model: Annotated[str | None, typer.Option(help="The file of a model that the input needs.")] = None,
    input_file: Annotated[Path | None, typer.Option("--input_file", help="The same as IN.")] = None,
    output_file: Annotated[Path | None, typer.Option("--output_file", help="The same as OUT.")] = None,
    salvage: Annotated[bool, typer.Option("--salvage", help="Recover what is whole; lost parts become zeros.")] = False,
    member: Annotated[
        list[str] | None, typer.Option(help="A recording of an archive, by its name; may be given several times.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
) -> None:
    """Restore recordings byte for byte. The file itself says how it was coded.

    Where OUT is a folder (with a / at its end it is made), vendors' files get their own names again, and what was kept
    beside their samples is restored as well. Of an archive all recordings are restored into the folder OUT, or those
    that --member names; one of them also as a file.
    """
    addresses = {Path(path): path for path in paths or [] if is_address(path)}
    inputs, output = in_and_out([Path(path) for path in paths] if paths else None, input_file, output_file)
    into = bool(paths) and paths is not None and paths[-1].endswith("/")
    if into:
        make_folder(output)
    if model is not None:
        from spikey.model.trained import listed, look_in

        known = {found.name: path for path, found in listed() if not isinstance(found, DataError)}
        look_in(known.get(model, Path(model)))
    from spikey.container.archive import is_archive

    archives = [addresses.get(path, path) for path in inputs if is_archive(addresses.get(path, path))]
    if archives:
        if len(inputs) > 1:
            raise UsageError(f"{archives[0]}: is an archive of recordings; restore it by itself")
        if config is not None:
            _consult(config, name, [])
        restore_archive(archives[0], output, member or [], into, salvage, jobs)
        return
    if member:
        raise UsageError(f"{inputs[0]}: is no archive of recordings, so --member names nothing in it")
    work = pairs(inputs, output, (".spky", ".bin"), lambda path: _restored_name(path, addresses.get(path, path)))
    from spikey.batch import AT_ONCE, decompress_together
    from spikey.container.reader import Reader
    from spikey.errors import SpikeyError
    from spikey.files import decompress_file, describe_lost
    from spikey.side_files import original_name, write_side_files

    if config is not None:
        _consult(config, name, [source for source, _ in work])
    within = jobs if len(work) == 1 else 1
    damaged = []
    targets = dict(work)

    def seen(source: Path, result: tuple[Outcome, list[Any]]) -> Outcome:
        outcome, lost = result
        with Reader(addresses.get(source, source), salvage=salvage) as reader:
            files, name = list(reader.files), Path(original_name(reader))
            below, target = name.parts, targets[source]
            if files and output.is_dir() and target.parts[-len(below) :] == below:
                reader.lost.clear()
                write_side_files(reader, Path(*target.parts[: -len(below)]))
                lost += reader.lost
            elif files:
                more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
                say(f"note: {source} also keeps {files[0]}{more}; restore into a folder to get that as well")
        if lost:
            damaged.append(f"{source}: {describe_lost(lost)}; zeros stand for what is lost, the rest is whole")
        return outcome

    def one(source: Path, target: Path, bar: Callable[[int], None] | None) -> Outcome:
        return seen(
            source, decompress_file(addresses.get(source, source), target, salvage=salvage, jobs=within, progress=bar)
        )

    def several(batch: list[tuple[Path, Path]]) -> list[tuple[Path, Any]]:
        results = decompress_together(batch, salvage=salvage)
        return [(path, each if isinstance(each, SpikeyError) else seen(path, each)) for path, each in results]

    start = time.perf_counter()
    if len(work) > 1 and any(_names_model(source) for source, _ in work[:AT_ONCE]):
        done, failures = run_batches(cut(work, jobs, AT_ONCE), several, jobs)
    else:
        done, failures = run_files(work, one, jobs)
    if done:
        typer.echo(summary(done, time.perf_counter() - start, "restored"))
    for text in sorted(damaged):
        say(f"spikey: {text}")
    if failures or damaged:
        raise typer.Exit(1)


def _names_model(path: Path) -> bool:
    """Whether a file names a trained model; if it cannot be read, decompressing says why."""
    from spikey.container.reader import Reader
    from spikey.errors import SpikeyError

    try:
        with Reader(path) as reader:
            return bool(reader.model_id)
    except SpikeyError:
        return False


def _restored_name(path: Path, place: Path | str) -> str:
    """a.spky becomes a.wav, a.dat.spky becomes a.dat; a vendor's file becomes what it was, folders included."""
    from spikey.container.reader import Reader
    from spikey.errors import SpikeyError
    from spikey.side_files import original_name

    with suppress(SpikeyError), Reader(place) as reader:  # if it cannot be read, decompressing says why
        if name := original_name(reader):
            return name
        if reader.metadata:
            return path.with_suffix(".dat").name
    bare = path.with_suffix("")
    return bare.name if bare.suffix.lower() in (".wav", ".raw", ".dat", ".bin") else path.with_suffix(".wav").name


def _consult(config: Path, name: str | None, sources: list[Path]) -> None:
    """Have models looked for where a configuration keeps them; what else disagrees with a file is named and ignored."""
    from spikey.cli.info import describe
    from spikey.config import load
    from spikey.errors import SpikeyError
    from spikey.model.trained import look_in

    stated = load(config, name)
    look_in(trained_file(stated).parent)
    for source in sources:
        try:
            facts = describe(source)
        except SpikeyError:
            continue  # decompressing says what is wrong
        coder = facts.get("coder")
        if coder not in (None, stated.bitstream_encoding.type):
            say(f"warning: {source} is coded with {coder}; ignored: {config} says {stated.bitstream_encoding.type}")
