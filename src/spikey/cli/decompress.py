"""`spikey decompress`."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import DataError, OutputExistsError, SpikeyError, UsageError
from spikey.cli import options
from spikey.cli.addresses import Named, compressed_below, restore_to_addresses
from spikey.cli.arguments import Arguments, check_inputs, parse, spooled
from spikey.cli.common import prepare_kernels, trained_file
from spikey.cli.messages import note, say, set_level
from spikey.cli.run import Run, Task, run
from spikey.cli.together import restore as restore_archive
from spikey.files.names import JOURNAL, SUFFIX, restored_name
from spikey.recording.output import STDOUT, is_input, is_special, is_taken, make_folder
from spikey.recording.remote import is_address

if TYPE_CHECKING:
    from spikey.files.settings import Outcome, Progress


@dataclass
class Restoring:
    """One file to restore.

    place: where it is read. target: where the restored file is written, the first of several. root: the folder that
    side files, and all of several files, are written below, None where they are not. files: number of side files.
    parts: of files that the recording itself lies in.
    """

    source: str
    place: Path | str
    target: str
    root: Path | None
    files: int
    size: int
    parts: int = 1


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="IN... [OUT]", help="Files, folders or addresses, and the output.")
    ] = None,
    output: options.Output = None,
    input_file: options.InputFile = None,
    output_file: options.OutputFile = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Restore what is intact of a damaged file; zeros replace lost samples.")
    ] = False,
    member: Annotated[
        list[str] | None,
        typer.Option(help="Name of a recording in an archive; can be repeated. Default: all recordings."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="File of the model that the input needs. Default: searched, see spikey models."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration file, in whose model folder models are searched too. Default: none."),
    ] = None,
    name: options.Name = None,
    jobs: options.Jobs = 1,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Restore recordings byte for byte.

    No options are needed. Of a folder the tree is restored, the other files of vendors' recordings included; of an
    archive all recordings, into a folder. An existing output is not replaced without --force.

    Examples
    --------
    spikey decompress a.spky                   # writes a.wav
    spikey decompress packed/ restored/        # restores the tree
    spikey decompress all.spky one.wav --member one.wav
    spikey decompress damaged.spky out.wav --salvage
    """
    set_level(quiet, verbose)
    arguments = parse(paths, output, input_file, output_file, packs=False)
    if as_json and arguments.to_stdout:
        raise UsageError("--json and the recording cannot both go to standard output")
    if model is not None:
        from spikey.model.trained import listed, look_in

        known = {found.name: path for path, found in listed() if not isinstance(found, DataError)}
        look_in(known.get(model, Path(model)))
    force = force or arguments.documented
    check_inputs(arguments.inputs)
    if arguments.output is not None and is_address(arguments.output):
        if skip_existing or member:
            raise UsageError(f"{arguments.output}: an address, with which --skip-existing and --member cannot be used")
        _conclude(*restore_to_addresses(arguments, salvage, jobs, force), arguments, as_json)
        return
    from spikey.container.archive import is_archive

    stores = {text: compressed_below(text) for text in arguments.inputs if is_address(text)}
    if any(inside is not None for inside in stores.values()):
        arguments = replace(arguments, folder=arguments.output is not None)
    with spooled(arguments.inputs) as places:
        opened: dict[str, Path | str] = {text: text if is_address(text) else places[text] for text in arguments.inputs}
        archives = [text for text, place in opened.items() if stores.get(text) is None and is_archive(place)]
        if member and archives != list(opened):
            raise UsageError(f"{arguments.inputs[0]}: is not an archive of recordings, so --member names nothing in it")
        if archives and len(opened) > 1 and not (arguments.folder or arguments.output is None):
            raise UsageError(
                f"{archives[0]}: is an archive of recordings; restore it into a folder, ending in /", code="archive"
            )
        alone = archives == list(opened) and len(archives) == 1 and not os.path.isdir(opened[archives[0]])
        work, inner = ([], {}) if alone else _planned(arguments, opened, stores, salvage)
        if config is not None:
            _consult(config, name)
        done = Run("restored")
        damaged: list[str] = []
        if work:
            done, damaged = _restore(work, arguments, salvage, jobs, force, skip_existing, as_json or bool(inner))
        if alone:
            inner = {opened[archives[0]]: arguments}
        for place, where in inner.items():
            restored, lost = restore_archive(
                place, where, member or [], salvage, jobs, force, skip_existing, alone and not as_json
            )
            done.add(restored)
            damaged += lost
    _conclude(done, damaged, arguments, as_json)


def _conclude(done: Run, damaged: list[str], arguments: Arguments, as_json: bool) -> None:
    """Write what became of all files; exit status 1 where some are damaged."""
    for text in damaged:
        say(f"spikey: {text}")
    done.extra["damaged"] = damaged
    done.conclude(as_json, arguments.to_stdout)
    if damaged:
        raise typer.Exit(1)


def _planned(
    arguments: Arguments, opened: dict[str, Path | str], stores: dict[str, list[Named] | None], salvage: bool
) -> tuple[list[Restoring], dict[Path | str, Arguments]]:
    """Every file to restore, with its target; and the archives, each with the folder that it is restored into."""
    from spikey.container.archive import is_archive

    work: list[Restoring] = []
    archives: dict[Path | str, Arguments] = {}

    def into(text: str, place: Path | str, below: Path) -> None:
        home = Path(text).parent if arguments.output is None else Path(arguments.output, below)
        archives[place] = Arguments((text,), str(home / Path(text).stem), folder=True)

    for text, place in opened.items():
        if (inside := stores.get(text)) is not None:
            for source, name in inside:
                if is_archive(source):
                    into(source, source, Path(name).parent)
                else:
                    work.append(_one(arguments, source, source, Path(name).parent, salvage))
            continue
        if not os.path.isdir(place) and is_archive(place):
            into(text, place, Path(""))
            continue
        if is_address(text) or not os.path.isdir(place):
            work.append(_one(arguments, text, place, Path(""), salvage))
            continue
        files, others = _files_in(Path(place))
        if others:
            note(f"{text}: {others:,} file{'s are' if others > 1 else ' is'} not compressed and not restored")
        for file in files:
            below = file.relative_to(place).parent
            if is_archive(file):
                into(str(file), file, below)
            else:
                work.append(_one(arguments, str(file), file, below, salvage))
    taken: dict[str, Restoring] = {}
    inputs = tuple(Path(place) for place in (each.place for each in work) if not is_address(str(place)))
    for each in work:
        if each.target == STDOUT and len(work) > 1:
            raise UsageError("only one file can be restored to standard output")
        other = taken.setdefault(os.path.abspath(each.target), each)
        if other is not each:
            raise UsageError(f"{other.source} and {each.source} would both be written to {each.target}")
        if is_input(each.target, inputs):
            raise UsageError(f"{each.target}: would be read and written at once; name another output", code="same-file")
    return work, archives


def _files_in(folder: Path) -> tuple[list[Path], int]:
    """The compressed files below a folder, and the number of other files, the journal of `spikey watch` aside."""
    from spikey.container.layout import MAGIC

    found, others = [], 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        wanted = path.suffix.lower() == SUFFIX
        if path.suffix.lower() == ".bin":
            with suppress(OSError), path.open("rb") as file:
                wanted = file.read(4) == MAGIC
        found += [path] * wanted
        others += not wanted and path.name != JOURNAL
    if not found:
        raise UsageError(f"{folder}: contains no files that end in {SUFFIX}", code="nothing-found")
    return found, others


def _one(arguments: Arguments, text: str, place: Path | str, below: Path, salvage: bool) -> Restoring:
    """Where one file is restored to. below: its folder, below the folder that was given."""
    from spikey.container.reader import Reader

    size, files, parts = 0, 0, 1
    packed = Path(text).name
    name = Path(packed).with_suffix(".wav").name  # if it cannot be read, restoring it raises the error
    with suppress(SpikeyError), Reader(place, salvage=salvage) as reader:
        name, files = restored_name(reader, packed), len(reader.files)
        size = reader.frames * (reader.layout.frame_bytes if reader.layout.channels else 1)
        parts = 1 if reader.file_map is None else len(reader.file_map.names)
        name = name if reader.file_map is None else reader.file_map.names[0]
    if arguments.output is not None and not arguments.folder:
        return Restoring(text, place, arguments.output, None, files, size, parts)
    folder = Path(text).parent if arguments.output is None else Path(arguments.output, below)
    if is_address(text) and arguments.output is None:
        folder = below
    inner = Path(name).parent.parts
    root = folder
    if inner and folder.parts[-len(inner) :] == inner:  # the folders in the name are there already
        root = Path(*folder.parts[: -len(inner)])
    return Restoring(text, place, str(root / name), root, files, size, parts)


def _restore(
    work: list[Restoring],
    arguments: Arguments,
    salvage: bool,
    jobs: int,
    force: bool,
    skip_existing: bool,
    several: bool,
) -> tuple[Run, list[str]]:
    """Restore files; what became of them, and what is damaged. several: whether no failure is raised."""
    from spikey.files.batch import AT_ONCE, decompress_together
    from spikey.files.decompress import decompress_file, decompress_files, describe_lost

    alone = len(work) == 1 and not several
    within = jobs if len(work) == 1 else 1
    damaged: list[str] = []
    if alone and not force and not skip_existing and is_taken(work[0].target):
        raise OutputExistsError(work[0].target)
    for folder in {Path(each.target).parent for each in work if not is_special(each.target)}:
        if arguments.folder or arguments.output is None:
            make_folder(folder)
    prepare_kernels()

    def seen(each: Restoring, result: tuple[Outcome, list[Any]]) -> Outcome:
        outcome, lost = result
        beside, more = _side_files(each, salvage, force)
        lost = lost + more
        if lost:
            damaged.append(f"{each.source}: {describe_lost(lost)}; zeros replace the lost samples, the rest is intact")
        return replace(outcome, original=outcome.original + beside, beside=beside)

    def task(each: Restoring) -> Task:
        def do(progress: Progress) -> Outcome:
            if not force and is_taken(each.target):
                if skip_existing and (same := _same(each, within)) is not None:
                    _side_files(each, salvage, force)  # those that exist are compared
                    return same
                other = ", and was not restored from this input" if skip_existing else ""
                raise OutputExistsError(each.target, other)
            options: Any = {"salvage": salvage, "jobs": within, "progress": progress, "overwrite": force}
            if each.parts > 1 and each.root is not None:
                return seen(each, decompress_files(each.place, each.root, **options))
            return seen(each, decompress_file(each.place, each.target, **options))

        return Task(each.source, each.target, each.size, do)

    tasks = [task(each) for each in work]
    if not alone and not skip_existing and any(_names_model(each.place) for each in work[:AT_ONCE]):
        by_target = {each.target: each for each in work}

        def batched(batch: list[Task]) -> list[Outcome | SpikeyError]:
            pairs = [(Path(each.source), Path(each.target)) for each in batch]
            results = decompress_together(pairs, salvage=salvage, overwrite=force)
            return [
                result if isinstance(result, SpikeyError) else seen(by_target[each.target], result)
                for each, (_, result) in zip(batch, results, strict=True)
            ]

        done = run(tasks, "restored", jobs, together=batched, most=AT_ONCE)
    else:
        done = run(tasks, "restored", jobs, alone=alone)
    return done, sorted(damaged)


def _side_files(each: Restoring, salvage: bool, force: bool) -> tuple[int, list[Any]]:
    """Restore the side files of a file; how many bytes they have, and what of them is lost."""
    from spikey.container.reader import Reader
    from spikey.files.side_files import write_side_files

    if not each.files:
        return 0, []
    if each.root is None:
        with Reader(each.place, salvage=salvage) as reader:
            first = next(iter(reader.files))
        more = f" and {each.files - 1:,} more files" if each.files > 1 else ""
        note(f"{each.source} also contains {first}{more}; restore into a folder to get that as well")
        return 0, []
    with Reader(each.place, salvage=salvage) as reader:
        reader.lost.clear()
        like = None if is_address(str(each.place)) else each.place
        write_side_files(reader, each.root, overwrite=force, like=like)
        return sum(reader.files.values()), list(reader.lost)


def _same(each: Restoring, jobs: int) -> Outcome | None:
    """The outcome where the output was restored from this input: same modification time, same bytes."""
    from spikey.files.matching import matches, same_file_time

    if is_address(str(each.place)) or not same_file_time(each.place, each.target):
        return None
    return matches(each.place, each.target, each.root if each.parts > 1 else None, jobs=jobs, beside=False)


def _names_model(path: Path | str) -> bool:
    """Whether a file needs a trained model; if it cannot be read, decompressing raises the error."""
    from spikey.container.reader import Reader

    try:
        with Reader(path) as reader:
            return bool(reader.model_id)
    except SpikeyError:
        return False


def _consult(config: Path, name: str | None) -> None:
    """Search models in the folder of a configuration too."""
    from spikey.config.documents import load
    from spikey.model.trained import look_in

    look_in(trained_file(load(config, name)).parent)
